import { UUID_SPELLING } from "../protocol.js";

/** A UUID. Compare two by `String(a) === String(b)`. */
export class Uuid {
  readonly #text: string;

  /**
   * @param text 32 hexadecimal digits, upper or lower case, in groups of 8, 4, 4, 4 and 12
   * @throws SyntaxError the text is not a UUID
   */
  constructor(text: string) {
    if (!UUID_SPELLING.test(text)) throw new SyntaxError("not a UUID");
    this.#text = text.toLowerCase();
  }

  /** Returns the lower-case text, such as `550e8400-e29b-41d4-a716-446655440000`. */
  toString(): string {
    return this.#text;
  }

  /** Returns the UUID as text. */
  toJSON(): string {
    return this.#text;
  }
}
