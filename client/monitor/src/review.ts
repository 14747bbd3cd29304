/** The bar below a frozen screen: where in the recording it is, and what the calipers read. */

import { clockTime, element, setText } from "./dom.js";
import type { Screen } from "./screen.js";
import type { EcgSignal } from "./signal.js";

export class ReviewBar {
  readonly #bar = element("review", HTMLElement);
  readonly #scroll = element("scroll", HTMLInputElement);
  readonly #place = element("place", HTMLElement);
  readonly #reading = element("reading", HTMLElement);
  readonly #freeze = element("freeze", HTMLButtonElement);
  readonly #calipers = element("calipers", HTMLButtonElement);
  readonly #overlay = element("overlay", HTMLCanvasElement);

  constructor(readonly screen: Screen) {
    this.#scroll.addEventListener("input", () => screen.scrollTo(Number(this.#scroll.value)));
  }

  /** Show how things are. */
  update(signal: EcgSignal | null): void {
    const { review, calipers, reading } = this.screen;
    this.#bar.hidden = review === null;
    press(this.#freeze, review !== null);
    press(this.#calipers, calipers !== null);
    this.#overlay.classList.toggle("measuring", calipers !== null);
    setText(this.#reading, reading);
    if (review === null || signal === null) return;
    const { from, to } = this.screen.scrollable;
    this.#scroll.min = String(from);
    this.#scroll.max = String(to);
    this.#scroll.value = String(review.first);
    const back = (to - review.first) / review.buffer.samplingRate;
    const text = `${clockTime(signal.timeOf(review.first))} · ${back.toFixed(1)} s back`;
    setText(this.#place, text);
    this.#scroll.setAttribute("aria-valuetext", text);
  }
}

function press(button: HTMLButtonElement, isPressed: boolean): void {
  button.setAttribute("aria-pressed", String(isPressed));
}
