/** The heart rate, and a heart that beats when the screen comes to an R peak. */

import { element, setText } from "./dom.js";
import type { EcgSignal } from "./signal.js";

/** Seconds between two looks at the rate. */
const PAUSE = 0.5;

export class Heart {
  readonly #rate = element("rate", HTMLOutputElement);
  readonly #lead = element("rhythm", HTMLElement);
  readonly #heart = element("heart", SVGElement);
  #beaten = 0;
  #next = 0;

  /** Show the rate, and a beat where there is one. */
  update(signal: EcgSignal, now: number): void {
    const { position } = signal.head;
    const passed = signal.peaks.findLast((peak) => peak <= position) ?? 0;
    if (passed !== this.#beaten) {
      this.#beaten = passed;
      this.#heart.classList.remove("beat");
      requestAnimationFrame(() => this.#heart.classList.add("beat"));
    }
    if (now < this.#next) return;
    this.#next = now + PAUSE;
    const { rate } = signal;
    setText(this.#rate, Number.isNaN(rate) ? "––" : String(Math.round(rate)));
    setText(this.#lead, signal.buffer.leads[signal.rhythm]);
  }

  /** There is no signal any more. */
  clear(): void {
    setText(this.#rate, "––");
  }
}
