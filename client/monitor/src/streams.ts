/** The server's streams, and the field to choose one. */

import { element, setText } from "./dom.js";
import { isRecord } from "./feed.js";

/** The stream that is shown if neither the address nor the server names one. */
const FIRST = "ecg/1";
/** Milliseconds that the request for the list may take. */
const TIMEOUT = 4000;
/** Number of other streams that a sentence names. */
const NAMED = 4;

/** What the server says to whoever asks for its streams. */
export interface Listing {
  readonly streams: string[];
  /** The name of the identity with which the page has asked; empty if it has none. */
  readonly user: string;
}

/** Characters of a user's name that are shown. */
const LONGEST_NAME = 80;

/**
 * Returns the names of the server's streams, and that of the user; null if it does not list them.
 *
 * @param url where the server lists them.
 * @param token the token of the page; null if it has none. Only the server of the page itself gets it: browsers do not
 *   send it to another one before that has answered a request with the method OPTIONS, which ours do not.
 */
export async function listStreams(url: URL, token: string | null): Promise<Listing | null> {
  if (token !== null && url.origin !== location.origin) return null;
  const headers: Record<string, string> = token === null ? {} : { Authorization: `Bearer ${token}` };
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT), credentials: "same-origin", headers });
    const body: unknown = answer.ok ? await answer.json() : null;
    if (!isRecord(body) || !Array.isArray(body.streams)) return null;
    const user = typeof body.user === "string" ? body.user.slice(0, LONGEST_NAME) : "";
    return { streams: body.streams.filter((name) => typeof name === "string" && name !== ""), user };
  } catch {
    return null;
  }
}

export class StreamChooser {
  readonly #field = element("stream", HTMLSelectElement);
  #current = "";
  /** True if the current stream is only a default, which a stream that the server lists replaces. */
  #isGuess = false;
  /** The streams that the server listed last; null if it never did. */
  #names: readonly string[] | null = null;
  /** Streams that were shown: they can be chosen again even if the server does not list them. */
  readonly #watched = new Set<string>();

  /**
   * @param asked the stream in the page's address; null if there is none.
   * @param chosen called with the name of each stream to show, and whether the user chose it.
   */
  constructor(
    readonly asked: string | null,
    readonly chosen: (name: string, byHand: boolean) => void,
  ) {
    this.#field.addEventListener("change", () => this.#watch(this.#field.value, true));
  }

  /** The stream that is shown; empty until it is known. */
  get value(): string {
    return this.#current;
  }

  /** True if the server has listed its streams. */
  get isListed(): boolean {
    return this.#names !== null;
  }

  /** Takes the list of the server; null if it gave none. */
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

  /** A sentence that says that the server does not list the stream; empty if it does, or gave no list. */
  get absence(): string {
    const names = this.#names ?? [];
    if (this.#current === "" || names.includes(this.#current)) return "";
    if (this.#names === null) return "";
    if (names.length === 0) return `The server lists no streams. Waiting for “${this.#current}”.`;
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
      this.#names !== null && names.length > 0 && !names.includes(name) ? `${name} (unavailable)` : name;
    const { options } = this.#field;
    // Only if something changed, so that an open list stays open.
    if (wanted.length !== options.length || wanted.some((name, place) => options[place].value !== name)) {
      this.#field.replaceChildren(...wanted.map((name) => new Option(label(name), name)));
    } else for (const option of options) setText(option, label(option.value));
    this.#field.value = this.#current;
    this.#field.title = this.#current;
  }
}
