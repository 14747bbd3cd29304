/**
 * The line above the paper: of which lead the rate is, which leads are off, saturated or noisy, and what the sender says
 * of filter and pacing. A lead that is off has its own words and colour: it is no asystole.
 */

import { element, make, setText } from "./dom.js";
import type { EcgSignal, LeadQuality } from "./signal.js";

const FAULTS: readonly { readonly quality: LeadQuality; readonly words: string }[] = [
  { quality: "off", words: "Lead off" },
  { quality: "saturated", words: "Saturated" },
  { quality: "noisy", words: "Noisy" },
];
/** Names that are written out; of more only how many. */
const NAMED = 6;

export class SignalLine {
  readonly #source = element("rate-source", HTMLElement);
  readonly #faults = element("lead-faults", HTMLElement);
  readonly #sender = element("sender-says", HTMLElement);
  #shown = "";

  update(signal: EcgSignal | null): void {
    setText(this.#source, signal === null ? "" : sourceOf(signal));
    setText(this.#sender, signal === null ? "" : saidBySender(signal));
    const faults = signal === null ? [] : faultsOf(signal);
    const text = faults.map(({ text }) => text).join("\n");
    if (text === this.#shown) return;
    this.#shown = text;
    this.#faults.replaceChildren(
      ...faults.map(({ quality, text }) => {
        const chip = make("span", text, "fault");
        chip.dataset.quality = quality;
        return chip;
      }),
    );
  }
}

function sourceOf({ heart, quality, rate, refusal }: EcgSignal): string {
  if (refusal !== "") return refusal;
  if (heart.lead === "") return "No heart rate: no lead is usable";
  const usable = quality.filter((one) => one === "ok").length;
  const leads = usable === quality.length ? "" : ` · ${usable} of ${quality.length} leads usable`;
  return `${Number.isNaN(rate) ? "No heart rate: beats are sought in" : "Heart rate from"} lead ${heart.lead}${leads}`;
}

function faultsOf({ buffer, quality }: EcgSignal): { quality: LeadQuality; text: string }[] {
  return FAULTS.flatMap(({ quality: kind, words }) => {
    const names = buffer.leads.filter((_, lead) => quality[lead] === kind);
    if (names.length === 0) return [];
    const few = names.length === buffer.leads.length && names.length > 1 ? "all leads" : listed(names);
    return [{ quality: kind, text: `${words}: ${few}` }];
  });
}

function listed(names: readonly string[]): string {
  const more = names.length - NAMED;
  return more > 0 ? `${names.slice(0, NAMED).join(", ")} and ${more} more` : names.join(", ");
}

function saidBySender({ told, isGuessed }: EcgSignal): string {
  const said = [isGuessed ? "Amplitude guessed: the units are no voltage" : "", `Filter: ${told.filter ?? "not told"}`];
  return [...said, told.pacing === null ? "" : `Pacing: ${told.pacing}`].filter(Boolean).join(" · ");
}
