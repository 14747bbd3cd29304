/**
 * The heart rate, and a heart icon that pulses when the playhead reaches an R peak. The rate never exceeds 60 divided by
 * the seconds since the last beat, and there is none without beats. Asystole and fibrillation replace it, in red.
 */

import { element, setText } from "./dom.js";
import type { Finding } from "./findings.js";
import type { EcgSignal, LeadQuality } from "./signal.js";

/** Seconds between two updates of the displayed rate. If it has become too high, it is replaced at once. */
const UPDATE_INTERVAL = 0.5;
/** Seconds for which the page shows "Beats again". */
const RECOVERY_SECONDS = 8;
const NO_RATE = "––";

const ALARMS = { asystole: "Asystole", ventricular_fibrillation: "Ventricular fibrillation?", lead_off: "" } as const;

export class HeartRateDisplay {
  readonly #box = element("vital", HTMLElement);
  readonly #rate = element("rate", HTMLOutputElement);
  readonly #lead = element("rhythm", HTMLElement);
  readonly #heart = element("heart", SVGElement);
  readonly #words = element("rhythm-words", HTMLElement);
  readonly #name = element("rhythm-name", HTMLElement);
  readonly #detail = element("rhythm-length", HTMLElement);
  readonly #announcement = element("rhythm-said", HTMLElement);
  /** The R peak that the playhead reached last. */
  #lastPeak = 0;
  #nextUpdate = 0;
  /** The text in red; empty if there is none. */
  alarm = "";
  #recoveredAt = Number.NEGATIVE_INFINITY;

  /** Animate the heart icon when the playhead reaches an R peak. To be called for each frame of the display. */
  beat(signal: EcgSignal): void {
    const { position } = signal.head;
    const peak = signal.peaks.findLast((sample) => sample <= position) ?? 0;
    if (peak === this.#lastPeak) return;
    this.#lastPeak = peak;
    this.#heart.classList.remove("beat");
    requestAnimationFrame(() => this.#heart.classList.add("beat"));
  }

  /** Show the rate, or asystole or fibrillation while it lasts. */
  update(signal: EcgSignal, episode: Finding | undefined, now: number): void {
    this.#showRate(signal, now);
    const { rhythm } = signal.heart;
    const alarm = episode === undefined ? "" : ALARMS[episode.kind];
    if (alarm === "" && this.alarm !== "" && rhythm === "beating") this.#recoveredAt = now;
    const seconds = Math.floor(signal.seconds - (episode?.start ?? signal.seconds));
    if (alarm !== "") this.#say("alarm", alarm, alarm === ALARMS.asystole ? `no beat for ${seconds} s` : "");
    else if (rhythm === "unknown" && !signal.ecgQuality.includes("ok"))
      this.#say("no-lead", reasonOf(signal), "no heart rate");
    else if (now < this.#recoveredAt + RECOVERY_SECONDS && rhythm === "beating")
      this.#say("recovered", "Beats again", "");
    else this.#say("", "", "");
  }

  /** Show that there is no signal. */
  clear(): void {
    this.#nextUpdate = 0;
    setText(this.#rate, NO_RATE);
    this.#say("", "", "");
  }

  #showRate(signal: EcgSignal, now: number): void {
    const rate = Math.round(signal.rateAt(now));
    const isShownTooHigh = Number.isNaN(rate) || !(Number(this.#rate.textContent) <= rate);
    if (now < this.#nextUpdate && !isShownTooHigh) return;
    this.#nextUpdate = now + UPDATE_INTERVAL;
    setText(this.#rate, Number.isNaN(rate) ? NO_RATE : String(rate));
    setText(this.#lead, signal.heart.lead || "no lead");
  }

  #say(state: "" | "alarm" | "no-lead" | "recovered", name: string, detail: string): void {
    const alarm = state === "alarm" ? name : "";
    this.#box.dataset.state = state;
    this.#words.hidden = state === "";
    this.#words.classList.toggle("long", name === ALARMS.ventricular_fibrillation);
    setText(this.#name, detail === "" ? name : `${name}:`);
    setText(this.#detail, detail);
    // Screen readers announce the beginning and the end, not each second.
    if (alarm !== this.alarm)
      setText(
        this.#announcement,
        state === "recovered" ? "The heart beats again." : [alarm, detail].filter(Boolean).join(": "),
      );
    this.alarm = alarm;
  }
}

/** Why no lead is usable. */
function reasonOf({ ecgQuality: quality, refusal }: EcgSignal): string {
  if (quality.length === 0) return refusal;
  const all = (one: LeadQuality): boolean => quality.every((other) => other === one);
  if (all("off")) return quality.length > 1 ? "Leads off" : "Lead off";
  if (all("saturated")) return "Saturated";
  return all("noisy") ? "Noise" : "No usable lead";
}
