/** Which streams there are, and the field in which one is chosen. */

import { element, setText } from "./dom.js";

/** The stream that is watched where nobody says which: neither the address nor the server. */
const FIRST = "ecg/1";
/** Milliseconds that the list may take. */
const PATIENCE = 4000;
/** Names of other streams that a sentence takes. */
const NAMED = 4;

/** The names of the server's streams; null where it does not say. */
export async function listStreams(url: URL): Promise<string[] | null> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(PATIENCE), credentials: "same-origin" });
    const body: unknown = answer.ok ? await answer.json() : null;
    const names = typeof body === "object" && body !== null && "streams" in body ? body.streams : null;
    return Array.isArray(names) ? names.filter((name) => typeof name === "string" && name !== "") : null;
  } catch {
    return null;
  }
}

export class StreamChooser {
  readonly #field = element("stream", HTMLSelectElement);
  #current = "";
  /** Nobody asked for the current one, and no server named it: a stream that is named takes its place. */
  #isGuess = false;
  /** As the server named them last; null where it never did. */
  #names: readonly string[] | null = null;
  /** What was watched: it can be chosen again, though no list has it. */
  readonly #watched = new Set<string>();

  /**
   * @param asked what the page's address asks for, if it does.
   * @param chosen is called with the name whenever another stream is to be watched, and whether by a person's choice.
   */
  constructor(
    readonly asked: string | null,
    readonly chosen: (name: string, byHand: boolean) => void,
  ) {
    this.#field.addEventListener("change", () => this.#watch(this.#field.value, true));
  }

  /** The stream that is watched; nothing until it is known which. */
  get value(): string {
    return this.#current;
  }

  /** The server named these; null where it did not say. Names that it no longer names go. */
  offer(names: readonly string[] | null): void {
    this.#names = names ?? this.#names;
    const isBetter = this.#isGuess && (names?.length ?? 0) > 0;
    if (this.#current === "" || isBetter) {
      const pick = this.asked || this.#names?.[0];
      this.#isGuess = pick === undefined;
      if (pick !== this.#current) this.#watch(pick ?? FIRST, false);
    }
    this.#render();
  }

  /** Go to the next stream, or the one before. */
  step(by: 1 | -1): void {
    const { options, selectedIndex } = this.#field;
    if (options.length < 2) return;
    this.#watch(options[(selectedIndex + by + options.length) % options.length].value, true);
  }

  /** In words, that the server names no stream of that name; nothing where it does, or names none at all. */
  get absence(): string {
    const names = this.#names ?? [];
    if (this.#current === "" || names.includes(this.#current)) return "";
    if (this.#names === null) return "";
    if (names.length === 0) return `The server names no stream; the page waits for “${this.#current}”.`;
    const others = names.slice(0, NAMED).join(", ") + (names.length > NAMED ? ` and ${names.length - NAMED} more` : "");
    return `The server has no stream “${this.#current}”. It has ${others}.`;
  }

  #watch(name: string, byHand: boolean): void {
    if (byHand) this.#isGuess = false;
    this.#current = name;
    if (!this.#isGuess) this.#watched.add(name);
    this.#render();
    this.chosen(name, byHand);
  }

  #render(): void {
    const names = this.#names ?? [];
    const more = [...this.#watched, this.#current].filter((name) => name !== "" && !names.includes(name));
    const wanted = [...new Set([...more, ...names])];
    const label = (name: string): string =>
      this.#names !== null && names.length > 0 && !names.includes(name) ? `${name} (not there)` : name;
    const { options } = this.#field;
    // Only where something changed: a list that is open stays as it is.
    if (wanted.length !== options.length || wanted.some((name, place) => options[place].value !== name)) {
      this.#field.replaceChildren(...wanted.map((name) => new Option(label(name), name)));
    } else for (const option of options) setText(option, label(option.value));
    this.#field.value = this.#current;
    this.#field.title = this.#current;
  }
}
