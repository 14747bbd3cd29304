/** Control frames that wait to be sent, and their order. `SendQueue` adds data. */
import { DATA_TYPES, Flag, MAX_BATCH_FRAMES, MessageType } from "../protocol.js";

/** The order in which waiting frames leave: urgent, control, then data, of which that in bulk has one part of eight of the bytes. */
export type Tier = 0 | 1 | 2 | 3;
export const URGENT: Tier = 0;
export const CONTROL: Tier = 1;
export const DATA: Tier = 2;
export const BULK: Tier = 3;

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

/** Returns the tier of a frame. Negotiation is urgent: no frame in the new version may leave before it. */
export function tierOf(type: MessageType, flags: number): Tier {
  if (flags & Flag.PRIORITY || type === MessageType.ANOMALY_ALERT || type === MessageType.PROTOCOL_NEGOTIATION) {
    return URGENT;
  }
  return DATA_TYPES.has(type) ? DATA : CONTROL;
}

/** A fragment of a frame, or a frame that is not cut. */
export interface Leaving {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly outgoing: Outgoing;
  /** False for a fragment that is not the last of its frame. */
  readonly isWhole: boolean;
  /** True if it leaves alone. */
  readonly isAlone: boolean;
}

/** The urgent and the control frames of a connection that wait to be sent. */
export class FrameQueue {
  /** By tier; those of data stay empty here. */
  protected readonly tiers: readonly [Outgoing[], Outgoing[], Outgoing[], Outgoing[]] = [[], [], [], []];
  protected waitingBytes = 0;

  /** Bytes of all frames that wait. */
  get bytes(): number {
    return this.waitingBytes;
  }

  get frames(): number {
    return this.tiers.reduce((sum, tier) => sum + tier.length, 0);
  }

  put(outgoing: Outgoing): void {
    this.tiers[outgoing.tier].push(outgoing);
    this.waitingBytes += outgoing.frame.length;
  }

  /** Takes the next frame, or the next fragment of one. */
  pop(): Leaving | undefined {
    const first = this.tiers[URGENT].shift() ?? this.tiers[CONTROL].shift();
    return first && this.whole(first);
  }

  /** The frame that leaves next, if it leaves whole. */
  protected peek(): Outgoing | undefined {
    return this.tiers[URGENT][0] ?? this.tiers[CONTROL][0];
  }

  /** Takes a frame out that leaves whole. */
  protected whole(outgoing: Outgoing): Leaving {
    this.waitingBytes -= outgoing.frame.length;
    return { bytes: outgoing.frame, outgoing, isWhole: true, isAlone: outgoing.deflated };
  }

  /**
   * Takes the frames that can leave in one WebSocket message with a first one.
   *
   * A compressed frame is sent alone: receivers limit the inflated size of all frames of one message. So is a fragment.
   *
   * @param bytes of all frames together, at most
   */
  popBatch(first: Leaving, bytes: number): Leaving[] {
    const batch = [first];
    let room = bytes - first.bytes.length;
    for (let next = this.peek(); next && batch.length < MAX_BATCH_FRAMES; next = this.peek()) {
      if (first.isAlone || next.deflated || next.frame.length > room) break;
      room -= next.frame.length;
      batch.push(this.pop() as Leaving);
    }
    return batch;
  }

  /** Discards the data that waits; there is none here. */
  discardData(): void {}

  clear(): void {
    for (const tier of this.tiers) tier.length = 0;
    this.waitingBytes = 0;
  }
}
