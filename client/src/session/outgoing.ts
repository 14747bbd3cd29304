/** Frames on their way out, and the order in which they leave. */
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

/** Which waiting frames leave first. */
export type Tier = 0 | 1 | 2;
const URGENT: Tier = 0;
const CONTROL: Tier = 1;
const DATA: Tier = 2;

/** One encoded frame that waits to be sent. */
export interface Outgoing {
  readonly frame: Uint8Array<ArrayBuffer>;
  readonly type: MessageType;
  readonly timestamp: bigint;
  readonly tier: Tier;
  /** Whether the server is to acknowledge it. */
  readonly acknowledged: boolean;
  /** Whether its payload is larger than it looks. */
  readonly deflated: boolean;
}

/** Which of the flags a peer of that version with those capabilities understands. */
export function understood(flags: number, version: Version, capabilities: ReadonlySet<Capability>): number {
  let kept = 0;
  for (const flag of [Flag.PRIORITY, Flag.BROADCAST, Flag.ACK_REQUIRED] as const) {
    if (flags & flag && version >= FLAG_SINCE[flag] && capabilities.has(CAPABILITY_OF_FLAG[flag])) kept |= flag;
  }
  return kept;
}

/** How a frame waits. Of negotiation nothing may be said before in what it agrees on. */
export function tierOf(type: MessageType, flags: number): Tier {
  if (flags & Flag.PRIORITY || type === MessageType.ANOMALY_ALERT || type === MessageType.PROTOCOL_NEGOTIATION) {
    return URGENT;
  }
  return DATA_TYPES.has(type) ? DATA : CONTROL;
}

/** What waits to be sent: what overtakes, then control messages, then data. */
export class SendQueue {
  readonly #tiers: readonly [Outgoing[], Outgoing[], Outgoing[]] = [[], [], []];

  get frames(): number {
    return this.#tiers[URGENT].length + this.#tiers[CONTROL].length + this.#tiers[DATA].length;
  }

  put(outgoing: Outgoing): void {
    this.#tiers[outgoing.tier].push(outgoing);
  }

  peek(): Outgoing | undefined {
    return this.#tiers[URGENT][0] ?? this.#tiers[CONTROL][0] ?? this.#tiers[DATA][0];
  }

  pop(): Outgoing | undefined {
    return this.#tiers[URGENT].shift() ?? this.#tiers[CONTROL].shift() ?? this.#tiers[DATA].shift();
  }

  /**
   * The frames that may leave in one message behind a first one.
   *
   * A deflated frame travels alone: a receiver bounds what the frames of one message may inflate to.
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

  /** Lets the data go that waits. */
  letDataGo(): void {
    this.#tiers[DATA].length = 0;
  }

  clear(): void {
    for (const tier of this.#tiers) tier.length = 0;
  }
}
