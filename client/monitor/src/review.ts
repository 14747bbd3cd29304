/** The bar below the paper: the position in the recording, and the reading of the calipers. */

import { clockTime, element, setText } from "./dom.js";
import { duration } from "./presence-words.js";
import type { Screen } from "./screen.js";
import type { EcgSignal } from "./signal.js";

export class ReviewBar {
  readonly #bar = element("review", HTMLElement);
  readonly #scroll = element("scroll", HTMLInputElement);
  readonly #place = element("place", HTMLElement);
  readonly #reading = element("reading", HTMLElement);
  readonly #scale = element("scale", HTMLElement);
  readonly #freeze = element("freeze", HTMLButtonElement);
  readonly #calipers = element("calipers", HTMLButtonElement);
  readonly #overlay = element("overlay", HTMLCanvasElement);

  constructor(readonly screen: Screen) {
    this.#scroll.addEventListener("input", () => {
      const first = Number(this.#scroll.value);
      screen.freeze();
      screen.scrollTo(first);
    });
  }

  /** Bring the bar up to date. It is always visible, so that the paper does not move when the screen is frozen. */
  update(signal: EcgSignal | null): void {
    const { review, calipers, reading, layout } = this.screen;
    this.#bar.dataset.state = review === null ? "live" : "frozen";
    this.screen.stage.classList.toggle("frozen", review !== null);
    press(this.#freeze, review !== null);
    press(this.#calipers, calipers !== null);
    this.#overlay.classList.toggle("measuring", calipers !== null);
    setText(this.#reading, reading);
    this.#scroll.disabled = signal === null;
    setText(this.#scale, layout === null ? "" : `${layout.scale.speed} mm/s · ${layout.scale.gain} mm/mV`);
    if (signal === null) {
      setText(this.#place, "");
      return;
    }
    const { from, to } = this.screen.scrollable;
    const first = review?.first ?? to;
    set(this.#scroll, "min", Math.min(from, to - 1)); // so that the end is at the right even if there is nothing to scroll
    set(this.#scroll, "max", to);
    set(this.#scroll, "value", first);
    const text = review === null ? this.#live(signal) : this.#frozen(review.signal, review.first, to, signal);
    setText(this.#place, text);
    if (this.#scroll.getAttribute("aria-valuetext") !== text) this.#scroll.setAttribute("aria-valuetext", text);
  }

  #frozen(signal: EcgSignal, first: number, to: number, live: EcgSignal): string {
    const { samplingRate, end } = live.buffer;
    const isOther = signal !== live; // a stretch of the past, or of other leads
    const back = isOther ? live.timeOf(end) - signal.timeOf(first) : (to - first) / samplingRate;
    const words = isOther ? duration(back) : `${back.toFixed(1)} s`;
    return `${clockTime(signal.timeOf(first))} · ${words} back`;
  }

  #live(signal: EcgSignal): string {
    const { sheet } = this.screen;
    if (sheet === null) {
      const { buffer } = signal;
      return `${Math.floor((buffer.end - buffer.start) / buffer.samplingRate)} s to scroll back`;
    }
    const time = (sample: number): string => clockTime(signal.timeOf(sample)).replace(/\..*/, "");
    const next = sheet.isWhole ? "next page" : "complete";
    return `${time(sheet.first)} to ${time(sheet.last)} · ${next} in ${Math.ceil(sheet.seconds)} s`;
  }
}

function press(button: HTMLButtonElement, isPressed: boolean): void {
  button.setAttribute("aria-pressed", String(isPressed));
}

/** Set an attribute only if it changes: each change costs a layout. */
function set(field: HTMLInputElement, name: "min" | "max" | "value", value: number): void {
  if (field[name] !== String(value)) field[name] = String(value);
}
