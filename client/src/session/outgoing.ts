/** Frames that wait to be sent, and their order. */
import {
  CAPABILITY_OF_FLAG,
  type Capability,
  DATA_TYPES,
  FLAG_SINCE,
  Flag,
  MAX_BATCH_FRAMES,
  MessageType,
  type Version,
} from "../protocol.js";

/** The order in which waiting frames leave: urgent, control, data. */
export type Tier = 0 | 1 | 2;
export const URGENT: Tier = 0;
const CONTROL: Tier = 1;
const DATA: Tier = 2;

/** One encoded frame that waits to be sent. */
export interface Outgoing {
  readonly frame: Uint8Array<ArrayBuffer>;
  readonly type: MessageType;
  readonly timestamp: bigint;
  readonly tier: Tier;
  /** True if the server is to acknowledge it. */
  readonly acknowledged: boolean;
  /** True if its payload is compressed. */
  readonly deflated: boolean;
}

/** Returns the flags that a peer of that version with those capabilities understands. */
export function understood(flags: number, version: Version, capabilities: ReadonlySet<Capability>): number {
  let kept = 0;
  for (const flag of [Flag.PRIORITY, Flag.BROADCAST, Flag.ACK_REQUIRED] as const) {
    if (flags & flag && version >= FLAG_SINCE[flag] && capabilities.has(CAPABILITY_OF_FLAG[flag])) kept |= flag;
  }
  return kept;
}

/** Returns the tier of a frame. Negotiation is urgent: no frame in the new version may leave before it. */
export function tierOf(type: MessageType, flags: number): Tier {
  if (flags & Flag.PRIORITY || type === MessageType.ANOMALY_ALERT || type === MessageType.PROTOCOL_NEGOTIATION) {
    return URGENT;
  }
  return DATA_TYPES.has(type) ? DATA : CONTROL;
}

/** The frames of a connection that wait to be sent, by tier. */
export class SendQueue {
  readonly #tiers: readonly [Outgoing[], Outgoing[], Outgoing[]] = [[], [], []];
  #bytes = 0;

  /** Bytes of all frames that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  get frames(): number {
    return this.#tiers[URGENT].length + this.#tiers[CONTROL].length + this.#tiers[DATA].length;
  }

  put(outgoing: Outgoing): void {
    this.#tiers[outgoing.tier].push(outgoing);
    this.#bytes += outgoing.frame.length;
  }

  peek(): Outgoing | undefined {
    return this.#tiers[URGENT][0] ?? this.#tiers[CONTROL][0] ?? this.#tiers[DATA][0];
  }

  pop(): Outgoing | undefined {
    const next = this.#tiers[URGENT].shift() ?? this.#tiers[CONTROL].shift() ?? this.#tiers[DATA].shift();
    this.#bytes -= next?.frame.length ?? 0;
    return next;
  }

  /**
   * Takes the frames that can leave in one WebSocket message with a first one.
   *
   * A compressed frame is sent alone: receivers limit the inflated size of all frames of one message.
   *
   * @param bytes of all frames together, at most
   */
  popBatch(first: Outgoing, bytes: number): Outgoing[] {
    const batch = [first];
    let room = bytes - first.frame.length;
    for (let next = this.peek(); next && batch.length < MAX_BATCH_FRAMES; next = this.peek()) {
      if (first.deflated || next.deflated || next.frame.length > room) break;
      room -= next.frame.length;
      this.pop();
      batch.push(next);
    }
    return batch;
  }

  /** Discards the data that waits. */
  discardData(): void {
    for (const { frame } of this.#tiers[DATA].splice(0)) this.#bytes -= frame.length;
  }

  clear(): void {
    for (const tier of this.#tiers) tier.length = 0;
    this.#bytes = 0;
  }
}
