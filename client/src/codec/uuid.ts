/** A UUID. Two of the same text are equal by `String(a) === String(b)`. */
export class Uuid {
  readonly #text: string;

  /**
   * @param text 32 hexadecimal digits of either case, with or without hyphens, braces or `urn:uuid:`
   * @throws SyntaxError where it is no such text
   */
  constructor(text: string) {
    const digits = text
      .replace("urn:", "")
      .replace("uuid:", "")
      .replace(/^[{}]+|[{}]+$/g, "")
      .replaceAll("-", "");
    if (!/^[0-9a-fA-F]{32}$/.test(digits)) throw new SyntaxError("not a UUID");
    this.#text = digits.toLowerCase().replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }

  /** As in `550e8400-e29b-41d4-a716-446655440000`. */
  toString(): string {
    return this.#text;
  }

  toJSON(): string {
    return this.#text;
  }
}
