/** Shows whether the stream is sealed and signed, and makes it unmistakable when something that is not authentic came. */

import { type Attested, Flag, type Message, ProtocolError } from "../../src/index.js";
import { faultInWords, knownInDetail, knownInWords, refusedInWords } from "./authenticity-words.js";
import { element, setText } from "./dom.js";

/** Signers that are kept and shown. */
const MOST_SIGNERS = 4;
const SIGNER = /^[0-9a-f]{64}$/i;

export class Authenticity {
  readonly #line = element("seal", HTMLElement);
  readonly #words = element("seal-words", HTMLElement);
  readonly #bar = element("refused", HTMLElement);
  readonly #text = element("refused-text", HTMLElement);
  #isSealed = false;
  /** Number of messages that no signer has attested in time, since the last attestation. */
  #unattested = 0;
  /** The same since somebody has seen it. */
  #doubted = 0;
  readonly #signers = new Set<string>();
  readonly #strangers = new Set<string>();
  readonly #faults = new Map<string, number>();

  #standing: readonly string[];

  /** @param standing faults of this page itself, which do not end with a stream */
  constructor(standing: readonly string[]) {
    this.#standing = standing;
    element("refused-seen", HTMLButtonElement).addEventListener("click", () => {
      this.#standing = [];
      this.#faults.clear();
      this.#doubted = 0;
      this.#show();
    });
    this.clear();
  }

  /** True while a refusal, or what is not attested, is shown that nobody has confirmed. */
  get isDoubted(): boolean {
    return this.#faults.size > 0 || this.#doubted > 0;
  }

  /** Starts anew, for another stream. */
  clear(): void {
    this.#isSealed = false;
    this.#unattested = this.#doubted = 0;
    this.#signers.clear();
    this.#strangers.clear();
    this.#faults.clear();
    for (const fault of this.#standing) this.#faults.set(fault, 1);
    this.#show();
  }

  /** Notes a message of the stream. */
  took({ flags, version, signature, signer }: Message): void {
    this.#isSealed = version >= 3 && (flags & Flag.ENCRYPTED) !== 0;
    if (signature && signer) note(signature === "valid" ? this.#signers : this.#strangers, hexOf(signer));
    this.#show();
  }

  attested({ signer }: Pick<Attested, "signer">): void {
    this.#unattested = 0;
    note(this.#signers, hexOf(signer));
    this.#show();
  }

  unattested(numbers: readonly number[]): void {
    this.#unattested += numbers.length;
    this.#doubted += numbers.length;
    this.#show();
  }

  /** Notes an error, if it says that something is not authentic. */
  failed(error: Error): void {
    const fault = error instanceof ProtocolError ? faultInWords(error.reason) : null;
    if (fault === null) return;
    this.#faults.set(fault, (this.#faults.get(fault) ?? 0) + 1);
    this.#show();
  }

  #show(): void {
    const known = {
      isSealed: this.#isSealed,
      signers: [...this.#signers],
      strangers: [...this.#strangers],
      unattested: this.#unattested,
    };
    const words = knownInWords(known);
    this.#line.hidden = words === "";
    this.#line.title = knownInDetail(known);
    this.#line.dataset.state = known.strangers.length > 0 || known.unattested > 0 ? "doubtful" : "good";
    this.#line.toggleAttribute("data-sealed", known.isSealed);
    setText(this.#words, words);
    this.#bar.hidden = !this.isDoubted;
    setText(this.#text, refusedInWords(this.#faults, this.#doubted));
  }
}

/** The public keys of the signers in the page's address (`?signer=` and 64 hexadecimal digits, any number of times). */
export function signersIn(search: string): { readonly keys: Uint8Array[]; readonly faults: string[] } {
  const given = new URLSearchParams(search).getAll("signer");
  const keys = given.filter((text) => SIGNER.test(text));
  return {
    keys: keys.map((text) => Uint8Array.from(text.match(/../g) as string[], (pair) => Number.parseInt(pair, 16))),
    faults:
      keys.length < given.length ? ["a signer in the address of this page is not a key of 64 hexadecimal digits"] : [],
  };
}

function note(names: Set<string>, name: string): void {
  names.delete(name);
  names.add(name);
  if (names.size > MOST_SIGNERS) names.delete(names.values().next().value as string);
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
