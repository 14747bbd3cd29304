/**
 * The heart rate, and a heart that beats when the screen comes to an R peak. A rate stands there only while there are
 * beats, and is never faster than the silence since the last one allows; asystole and fibrillation take its place, in
 * red, for as long as they last.
 */

import { element, setText } from "./dom.js";
import type { Finding } from "./findings.js";
import type { EcgSignal, LeadQuality } from "./signal.js";

/** Seconds between two looks at a rate that is allowed; one that is not goes at once. */
const PAUSE = 0.5;
/** Seconds for which the page says that the heart beats again. */
const RELIEF = 8;
const NO_RATE = "––";

const ALARMS = { asystole: "Asystole", ventricular_fibrillation: "Ventricular fibrillation?", lead_off: "" } as const;

export class Heart {
  readonly #box = element("vital", HTMLElement);
  readonly #rate = element("rate", HTMLOutputElement);
  readonly #lead = element("rhythm", HTMLElement);
  readonly #heart = element("heart", SVGElement);
  readonly #words = element("rhythm-words", HTMLElement);
  readonly #name = element("rhythm-name", HTMLElement);
  readonly #length = element("rhythm-length", HTMLElement);
  readonly #said = element("rhythm-said", HTMLElement);
  #beaten = 0;
  #next = 0;
  /** The words in red; empty where there are none. */
  alarm = "";
  #relievedAt = Number.NEGATIVE_INFINITY;

  /** A beat where the screen comes to one; to be called for each frame of the display. */
  beat(signal: EcgSignal): void {
    const { position } = signal.head;
    const passed = signal.peaks.findLast((peak) => peak <= position) ?? 0;
    if (passed === this.#beaten) return;
    this.#beaten = passed;
    this.#heart.classList.remove("beat");
    requestAnimationFrame(() => this.#heart.classList.add("beat"));
  }

  /** Show the rate, or the words that stand in its place: those of asystole or fibrillation while that lasts. */
  update(signal: EcgSignal, episode: Finding | undefined, now: number): void {
    this.#showRate(signal, now);
    const { rhythm, secondsSinceBeat } = signal.heart;
    const alarm = episode === undefined ? "" : ALARMS[episode.kind];
    if (alarm === "" && this.alarm !== "" && rhythm === "beating") this.#relievedAt = now;
    const seconds = Math.floor(secondsSinceBeat ?? signal.seconds);
    if (alarm !== "") this.#say("alarm", alarm, alarm === ALARMS.asystole ? `no beat for ${seconds} s` : "");
    else if (rhythm === "unknown" && !signal.quality.includes("ok"))
      this.#say("blind", reasonOf(signal), "no heart rate");
    else if (now < this.#relievedAt + RELIEF && rhythm === "beating") this.#say("relief", "Beats again", "");
    else this.#say("", "", "");
  }

  /** There is no signal any more. */
  clear(): void {
    this.#next = 0;
    setText(this.#rate, NO_RATE);
    this.#say("", "", "");
  }

  #showRate(signal: EcgSignal, now: number): void {
    const rate = Math.round(signal.rateAt(now));
    const isTooFast = Number.isNaN(rate) || !(Number(this.#rate.textContent) <= rate);
    if (now < this.#next && !isTooFast) return;
    this.#next = now + PAUSE;
    setText(this.#rate, Number.isNaN(rate) ? NO_RATE : String(rate));
    setText(this.#lead, signal.heart.lead || "no lead");
  }

  #say(state: "" | "alarm" | "blind" | "relief", name: string, length: string): void {
    const alarm = state === "alarm" ? name : "";
    this.#box.dataset.state = state;
    this.#words.hidden = state === "";
    this.#words.classList.toggle("long", name === ALARMS.ventricular_fibrillation);
    setText(this.#name, length === "" ? name : `${name}:`);
    setText(this.#length, length);
    // Said once, at the beginning and at the end: a voice that counts seconds would drown out everything else.
    if (alarm !== this.alarm)
      setText(this.#said, state === "relief" ? "The heart beats again." : [alarm, length].filter(Boolean).join(": "));
    this.alarm = alarm;
  }
}

/** Why no lead can be used. */
function reasonOf({ quality }: EcgSignal): string {
  const all = (one: LeadQuality): boolean => quality.every((other) => other === one);
  if (all("off")) return quality.length > 1 ? "Leads off" : "Lead off";
  if (all("saturated")) return "Saturated";
  return all("noisy") ? "Noise" : "No usable lead";
}
