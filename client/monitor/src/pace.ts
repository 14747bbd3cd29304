/** Times of the last frames of the display, for tests. */

const KEPT = 600;

export class Pace {
  readonly #drawn = new Float64Array(KEPT);
  readonly #between = new Float64Array(KEPT);
  #count = 0;
  #last = Number.NaN;

  /** Note a frame. Times are in milliseconds. */
  note(at: number, took: number): void {
    const place = this.#count % KEPT;
    this.#drawn[place] = took;
    this.#between[place] = at - this.#last;
    this.#last = at;
    this.#count += 1;
  }

  get times(): { drawing: number[]; between: number[] } {
    const size = Math.min(this.#count, KEPT);
    const recent = (values: Float64Array): number[] =>
      Array.from(values.subarray(0, size)).filter((value) => !Number.isNaN(value));
    return { drawing: recent(this.#drawn), between: recent(this.#between) };
  }
}
