/** The rest of the notice of a lost signal: an unavailable stream, the next attempt to connect, and the button to retry. */

import { element, setText } from "./dom.js";

export interface Attempt {
  /** True if there is no connection. */
  readonly isApart: boolean;
  /** Time of the next attempt, in milliseconds since 1970; null if none is planned. */
  readonly next: number | null;
  /** The sentence about a stream that the server does not list; empty otherwise. */
  readonly absence: string;
}

export class Reconnecting {
  readonly #next = element("lost-next", HTMLElement);
  readonly #absence = element("lost-stream", HTMLElement);
  readonly #button = element("reconnect", HTMLButtonElement);

  /** @param retry connects at once. */
  constructor(retry: () => void) {
    this.#button.addEventListener("click", retry);
  }

  update({ isApart, next, absence }: Attempt): void {
    const seconds = next === null ? null : Math.max(0, Math.ceil((next - Date.now()) / 1000));
    setText(this.#next, isApart && seconds !== null ? `Next attempt in ${seconds} s` : "");
    setText(this.#absence, isApart ? "" : absence);
  }
}
