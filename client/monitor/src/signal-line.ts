/**
 * The line above the paper: the lead of the heart rate, the leads that are off, saturated or noisy, and the filter and
 * pacing that the sender states. Lead-off has its own text and colour, so that nobody takes it for asystole.
 */

import { element, make, setText } from "./dom.js";
import type { EcgSignal, LeadQuality } from "./signal.js";

const FAULTS: readonly { readonly quality: LeadQuality; readonly words: string }[] = [
  { quality: "off", words: "Lead off" },
  { quality: "saturated", words: "Saturated" },
  { quality: "noisy", words: "Noisy" },
];
/** Text for pacing spikes that the sender does not mark: it may not know of a pacemaker. */
const SPIKES_DETECTED = "Pacing spikes detected in the signal";
/** Largest number of leads whose names are shown; of the others, only the number is. */
const MOST_NAMES = 6;

export class SignalLine {
  readonly #source = element("rate-source", HTMLElement);
  readonly #faults = element("lead-faults", HTMLElement);
  readonly #sender = element("sender-says", HTMLElement);
  #shown = "";

  update(signal: EcgSignal | null): void {
    setText(this.#source, signal === null ? "" : sourceOf(signal));
    setText(this.#sender, signal === null ? "" : saidBySender(signal));
    this.#sender.toggleAttribute("data-stated", signal !== null && statesSomething(signal)); // else narrow pages hide it
    const faults: { quality: string; text: string }[] = signal === null ? [] : faultsOf(signal);
    if (signal?.showsPacing === true) faults.push({ quality: "pacing", text: SPIKES_DETECTED });
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

function sourceOf({ heart, ecgQuality: quality, rate, refusal }: EcgSignal): string {
  if (refusal !== "") return refusal;
  if (heart.lead === "") return "No heart rate: no lead is usable";
  const usable = quality.filter((one) => one === "ok").length;
  const leads = usable === quality.length ? "" : ` · ${usable} of ${quality.length} leads usable`;
  return `${Number.isNaN(rate) ? "No heart rate: looking for beats in" : "Heart rate from"} lead ${heart.lead}${leads}`;
}

/** Texts about the leads that are off, saturated or noisy. */
export function faultsOf({ buffer, quality }: EcgSignal): { quality: LeadQuality; text: string }[] {
  return FAULTS.flatMap(({ quality: kind, words }) => {
    const names = buffer.leads.filter((_, lead) => quality[lead] === kind);
    if (names.length === 0) return [];
    const which = names.length === buffer.leads.length && names.length > 1 ? "all leads" : listOf(names);
    return [{ quality: kind, text: `${words}: ${which}` }];
  });
}

function listOf(names: readonly string[]): string {
  const more = names.length - MOST_NAMES;
  return more > 0 ? `${names.slice(0, MOST_NAMES).join(", ")} and ${more} more` : names.join(", ");
}

function statesSomething({ told, isGuessed }: EcgSignal): boolean {
  return isGuessed || told.filter !== null || told.pacing !== null;
}

function saidBySender({ told, isGuessed }: EcgSignal): string {
  const said = [
    isGuessed ? "Amplitude assumed: the unit is not a voltage" : "",
    `Filter: ${told.filter ?? "not stated"}`,
  ];
  return [...said, told.pacing === null ? "" : `Pacing: ${told.pacing}`].filter(Boolean).join(" · ");
}
