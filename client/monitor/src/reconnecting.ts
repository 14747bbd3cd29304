/** Below the words that the signal is lost: which stream is not there, when the page connects anew, a button to do so now. */

import { element, setText } from "./dom.js";

export interface Attempt {
  /** Whether there is no connection now, nor one on its way. */
  readonly isApart: boolean;
  /** When the next attempt is, in milliseconds since 1970; null where none is planned. */
  readonly next: number | null;
  /** That the stream is not there, in words; nothing otherwise. */
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
