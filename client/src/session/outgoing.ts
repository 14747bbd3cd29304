/** Frames that wait to be sent, and their order. */
import {
  CAPABILITY_OF_FLAG,
  type Capability,
  DATA_TYPES,
  FLAG_SINCE,
  Flag,
  HEADER_SIZES,
  MAX_BATCH_FRAMES,
  MessageType,
  type Version,
} from "../protocol.js";

/** The order in which waiting frames leave: urgent, control, then data, of which that in bulk has one part of eight of the bytes. */
export type Tier = 0 | 1 | 2 | 3;
export const URGENT: Tier = 0;
const CONTROL: Tier = 1;
export const DATA: Tier = 2;
export const BULK: Tier = 3;
/** Bytes of other data that leave for each byte in bulk while both wait. */
const LIVE_PARTS = 7;

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

/** A fragment of a frame, or a frame that is not cut. */
export interface Leaving {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly outgoing: Outgoing;
  /** False for a fragment that is not the last of its frame. */
  readonly isWhole: boolean;
  /** True if it leaves alone. */
  readonly isAlone: boolean;
}

/** Cuts frames into fragments; see `fragmenting.ts`. */
export interface Cutter {
  /** Returns true if the frame is to be cut. */
  isCut(outgoing: Outgoing): boolean;
  /** Returns the fragment whose piece begins at that byte of the payload. */
  fragmentAt(frame: Uint8Array, offset: number): Uint8Array<ArrayBuffer>;
  /** Bytes of a piece. */
  readonly size: number;
}

/** The frames of a connection that wait to be sent, by tier. */
export class SendQueue {
  /** Set once the peer is known to put fragments together. */
  cutter: Cutter | null = null;
  readonly #tiers: readonly [Outgoing[], Outgoing[], Outgoing[], Outgoing[]] = [[], [], [], []];
  /** By tier, the frame of which some fragments have left, and the number of bytes of its payload in them. */
  readonly #cuts = new Map<Tier, { readonly outgoing: Outgoing; offset: number }>();
  /** Bytes of other data that left while data in bulk waited, less seven times those in bulk. */
  #liveShare = 0;
  #bytes = 0;

  /** Bytes of all frames that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  get frames(): number {
    return this.#tiers.reduce((sum, tier) => sum + tier.length, this.#cuts.size);
  }

  put(outgoing: Outgoing): void {
    this.#tiers[outgoing.tier].push(outgoing);
    this.#bytes += outgoing.frame.length;
  }

  /** Takes the next frame, or the next fragment of one. What follows a frame of which fragments have left waits for the last. */
  pop(): Leaving | undefined {
    const first = this.#tiers[URGENT].shift() ?? this.#tiers[CONTROL].shift();
    if (first) return this.#whole(first);
    const tier = this.#nextTier();
    const isShared = this.#waits(DATA) && this.#waits(BULK);
    const leaving = this.#popData(tier);
    const bytes = leaving?.bytes.length ?? 0;
    this.#liveShare = isShared ? this.#liveShare + (tier === BULK ? -LIVE_PARTS * bytes : bytes) : 0;
    return leaving;
  }

  #popData(tier: Tier): Leaving | undefined {
    const cut = this.#cuts.get(tier);
    if (cut) return this.#nextFragment(cut, tier);
    const data = this.#tiers[tier].shift();
    if (!data) return undefined;
    if (!this.cutter?.isCut(data)) return this.#whole(data);
    const begun = { outgoing: data, offset: 0 };
    this.#cuts.set(tier, begun);
    return this.#nextFragment(begun, tier);
  }

  #waits(tier: Tier): boolean {
    return this.#cuts.has(tier) || this.#tiers[tier].length > 0;
  }

  /** Returns whether data in bulk is next, or other data. */
  #nextTier(): Tier {
    if (!this.#waits(BULK)) return DATA;
    if (!this.#waits(DATA)) return BULK;
    const { frame } = (this.#cuts.get(BULK)?.outgoing ?? this.#tiers[BULK][0]) as Outgoing;
    const piece = Math.min(frame.length, this.cutter?.size ?? frame.length);
    return this.#liveShare >= LIVE_PARTS * piece ? BULK : DATA;
  }

  #whole(outgoing: Outgoing): Leaving {
    this.#bytes -= outgoing.frame.length;
    return { bytes: outgoing.frame, outgoing, isWhole: true, isAlone: outgoing.deflated };
  }

  #nextFragment(cut: { readonly outgoing: Outgoing; offset: number }, tier: Tier): Leaving {
    const { fragmentAt, size } = this.cutter as Cutter;
    const { outgoing } = cut;
    const bytes = fragmentAt(outgoing.frame, cut.offset);
    cut.offset += size;
    const isWhole = cut.offset >= outgoing.frame.length - HEADER_SIZES[4];
    if (isWhole) {
      this.#bytes -= outgoing.frame.length;
      this.#cuts.delete(tier);
    }
    return { bytes, outgoing, isWhole, isAlone: true };
  }

  /** The frame that leaves next, if it leaves whole. */
  #peek(): Outgoing | undefined {
    const first = this.#tiers[URGENT][0] ?? this.#tiers[CONTROL][0];
    if (first) return first;
    const tier = this.#nextTier();
    const data = this.#cuts.has(tier) ? undefined : this.#tiers[tier][0];
    return data && this.cutter?.isCut(data) ? undefined : data;
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
    for (let next = this.#peek(); next && batch.length < MAX_BATCH_FRAMES; next = this.#peek()) {
      if (first.isAlone || next.deflated || next.frame.length > room) break;
      room -= next.frame.length;
      batch.push(this.pop() as Leaving);
    }
    return batch;
  }

  /** Discards the data that waits. */
  discardData(): void {
    for (const tier of [DATA, BULK]) {
      for (const { frame } of this.#tiers[tier].splice(0)) this.#bytes -= frame.length;
      this.#bytes -= this.#cuts.get(tier)?.outgoing.frame.length ?? 0;
    }
    this.#cuts.clear();
  }

  clear(): void {
    for (const tier of this.#tiers) tier.length = 0;
    this.#cuts.clear();
    this.#bytes = 0;
  }
}
