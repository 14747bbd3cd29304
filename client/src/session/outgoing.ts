/** All frames that wait to be sent, data included, and their order. */
import { CAPABILITY_OF_FLAG, type Capability, FLAG_SINCE, Flag, HEADER_SIZES, type Version } from "../protocol.js";
import { BULK, DATA, FrameQueue, type Leaving, type Outgoing, type Tier } from "./frame-queue.js";

/** Bytes of other data that leave for each byte in bulk while both wait. */
const LIVE_PARTS = 7;

/** Returns the flags that a peer of that version with those capabilities understands. */
export function understood(flags: number, version: Version, capabilities: ReadonlySet<Capability>): number {
  let kept = 0;
  for (const flag of [Flag.PRIORITY, Flag.BROADCAST, Flag.ACK_REQUIRED] as const) {
    if (flags & flag && version >= FLAG_SINCE[flag] && capabilities.has(CAPABILITY_OF_FLAG[flag])) kept |= flag;
  }
  return kept;
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
export class SendQueue extends FrameQueue {
  /** Set once the peer is known to put fragments together. */
  cutter: Cutter | null = null;
  /** By tier, the frame of which some fragments have left, and the number of bytes of its payload in them. */
  readonly #cuts = new Map<Tier, { readonly outgoing: Outgoing; offset: number }>();
  /** Bytes of other data that left while data in bulk waited, less seven times those in bulk. */
  #liveShare = 0;

  override get frames(): number {
    return super.frames + this.#cuts.size;
  }

  /** Takes the next frame, or the next fragment of one. What follows a frame of which fragments have left waits for the last. */
  override pop(): Leaving | undefined {
    const first = super.pop();
    if (first) return first;
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
    const data = this.tiers[tier].shift();
    if (!data) return undefined;
    if (!this.cutter?.isCut(data)) return this.whole(data);
    const begun = { outgoing: data, offset: 0 };
    this.#cuts.set(tier, begun);
    return this.#nextFragment(begun, tier);
  }

  #waits(tier: Tier): boolean {
    return this.#cuts.has(tier) || this.tiers[tier].length > 0;
  }

  /** Returns whether data in bulk is next, or other data. */
  #nextTier(): Tier {
    if (!this.#waits(BULK)) return DATA;
    if (!this.#waits(DATA)) return BULK;
    const { frame } = (this.#cuts.get(BULK)?.outgoing ?? this.tiers[BULK][0]) as Outgoing;
    const piece = Math.min(frame.length, this.cutter?.size ?? frame.length);
    return this.#liveShare >= LIVE_PARTS * piece ? BULK : DATA;
  }

  #nextFragment(cut: { readonly outgoing: Outgoing; offset: number }, tier: Tier): Leaving {
    const { fragmentAt, size } = this.cutter as Cutter;
    const { outgoing } = cut;
    const bytes = fragmentAt(outgoing.frame, cut.offset);
    cut.offset += size;
    const isWhole = cut.offset >= outgoing.frame.length - HEADER_SIZES[4];
    if (isWhole) {
      this.waitingBytes -= outgoing.frame.length;
      this.#cuts.delete(tier);
    }
    return { bytes, outgoing, isWhole, isAlone: true };
  }

  protected override peek(): Outgoing | undefined {
    const first = super.peek();
    if (first) return first;
    const tier = this.#nextTier();
    const data = this.#cuts.has(tier) ? undefined : this.tiers[tier][0];
    return data && this.cutter?.isCut(data) ? undefined : data;
  }

  override discardData(): void {
    for (const tier of [DATA, BULK]) {
      for (const { frame } of this.tiers[tier].splice(0)) this.waitingBytes -= frame.length;
      this.waitingBytes -= this.#cuts.get(tier)?.outgoing.frame.length ?? 0;
    }
    this.#cuts.clear();
  }

  override clear(): void {
    super.clear();
    this.#cuts.clear();
  }
}
