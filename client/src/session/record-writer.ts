/** Makes records of ECG_DATA messages: finds the template for a message, or makes a new one. */
import type { ExactCounts } from "../codec/exact.js";
import { type RecordFields, recordContent, Template, templateKey } from "../codec/record.js";
import { ProtocolError } from "../errors.js";
import { LARGEST_TEMPLATE, TEMPLATES_IN_FORCE, TEMPLATES_PER_MINUTE } from "../protocol.js";

const MINUTE = 60;

/** A message as a record. */
export interface Written {
  readonly template: Template;
  readonly payload: Uint8Array;
  /** True if the template is new: it has to be sent before the record, and `writeWith` called then. */
  readonly isNew: boolean;
}

/** The templates with which the records of one epoch of a stream are written. */
export class RecordWriter {
  readonly #stream: string;
  /** The largest number of a template. */
  #latest = 0;
  /** Those that are written with, by what they have in common with others, the oldest first. */
  readonly #byKey = new Map<string, Template>();
  #madeAt: number[] = [];

  constructor(stream: string) {
    this.#stream = stream;
  }

  /**
   * Makes a record of an ECG_DATA message.
   *
   * @param data its fields by their names on the wire
   * @param now in seconds of a monotonic clock
   * @param counts if its samples travel as counts
   * @param delta whether the receiver takes the filter delta
   * @param maxPayload bytes of the largest signal that a record may stand for
   * @param bound whether the record is bound to its template, as is required if it is sealed, signed or attested
   * @returns undefined if the message has to travel as MessagePack
   */
  recordOf(
    data: RecordFields,
    now: number,
    counts: ExactCounts | undefined,
    delta: boolean,
    maxPayload: number,
    bound = false,
  ): Written | undefined {
    const content = recordContent(counts ? withSignal(data, counts) : data, this.#stream);
    if (!content) return undefined;
    const more = counts ? { missing: counts.missing, scale: counts.scale } : {};
    try {
      const known = this.#byKey.get(templateKey(content, more));
      if (!known && !this.#mayMake(now)) return undefined;
      const template = known ?? Template.of(content, this.#latest + 1, this.#stream, more);
      const payload = template.encode(content.signal, content.time, content.sequence, { delta, bound, maxPayload });
      return { template, payload, isNew: !known };
    } catch (error) {
      // Its fields are more than a template has; MessagePack carries them.
      if (error instanceof ProtocolError || error instanceof TypeError || error instanceof RangeError) return undefined;
      throw error;
    }
  }

  /** Writes records with a template, which was sent. The 16 latest are written with. */
  writeWith(template: Template, now: number): void {
    this.#latest = template.number;
    this.#madeAt.push(now);
    this.#byKey.set(template.key, template);
    if (this.#byKey.size > TEMPLATES_IN_FORCE) this.#byKey.delete(this.#byKey.keys().next().value as string);
  }

  /** Forgets the templates that are written with: others are made, with other numbers. */
  forgetTemplates(): void {
    this.#byKey.clear();
  }

  #mayMake(now: number): boolean {
    this.#madeAt = this.#madeAt.filter((at) => at > now - MINUTE);
    return this.#madeAt.length < TEMPLATES_PER_MINUTE && this.#latest < LARGEST_TEMPLATE;
  }
}

function withSignal(data: RecordFields, { counts }: ExactCounts): RecordFields {
  return data instanceof Map ? new Map([...data, ["signal", counts]]) : { ...data, signal: counts };
}
