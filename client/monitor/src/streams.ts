/** Which streams there are, and the field in which one is chosen. */

import { element } from "./dom.js";

/** The stream that is watched where nobody says which. */
const FIRST = "ecg/1";

/** The names of the server's streams; none where it does not say. */
export async function listStreams(url: URL): Promise<string[]> {
  try {
    const answer = await fetch(url);
    const body: unknown = answer.ok ? await answer.json() : null;
    const names = typeof body === "object" && body !== null && "streams" in body ? body.streams : [];
    return Array.isArray(names) ? names.filter((name) => typeof name === "string") : [];
  } catch {
    return [];
  }
}

export class StreamChooser {
  readonly #field = element("stream", HTMLSelectElement);

  /**
   * @param asked what the page's address asks for, if it does.
   * @param chosen is called with the name whenever another stream is chosen.
   */
  constructor(
    readonly asked: string | null,
    chosen: (name: string) => void,
  ) {
    this.#field.addEventListener("change", () => chosen(this.#field.value));
    this.offer([]);
  }

  get value(): string {
    return this.#field.value;
  }

  /** Offer these streams; the one that is watched stays. */
  offer(names: readonly string[]): void {
    const current = this.#field.value || this.asked || names[0] || FIRST;
    const all = names.includes(current) ? names : [current, ...names];
    this.#field.replaceChildren(...all.map((name) => new Option(name, name, false, name === current)));
  }

  /** Go to the next stream, or the one before. */
  step(by: 1 | -1): void {
    const { options, selectedIndex } = this.#field;
    if (options.length < 2) return;
    this.#field.selectedIndex = (selectedIndex + by + options.length) % options.length;
    this.#field.dispatchEvent(new Event("change"));
  }
}
