/** The data messages that a session sends: how they are framed, how many may wait, and those that are to be acknowledged. */
import type { FrameSender } from "../codec/control-sender.js";
import { fieldOf } from "../codec/fields.js";
import { Capability, FLAG_SINCE, Flag, FRAGMENT_SIZE, type MessageType, type Version } from "../protocol.js";
import { Unacknowledged } from "./acknowledgements.js";
import type { Settings } from "./basic-settings.js";
import type { SessionEvent } from "./events.js";
import { fragmentAt, isCut } from "./fragmenting.js";
import { type Outgoing, tierOf } from "./frame-queue.js";
import { type Cutter, SendQueue, understood } from "./outgoing.js";

const CUTTER: Cutter = { isCut, fragmentAt, size: FRAGMENT_SIZE };

/** A packed message that waits for a connection, which determines how it is framed. */
export interface Packed {
  readonly type: MessageType;
  readonly flags: number;
  readonly timestamp: bigint;
  /** Packed in list form, which every peer reads, if the message may be sent over several connections; otherwise null. */
  readonly payload: Uint8Array | null;
  readonly data: unknown;
  /** How often it may be sent over one connection if it has ACK_REQUIRED. */
  readonly attempts: number;
}

/** The session that sends. */
export interface DataSendingOwner {
  readonly session: { readonly version: Version; readonly capabilities: ReadonlySet<Capability> };
  /** True once the session ends: what is sent then is discarded. */
  isEnding(): boolean;
  /** Queues a frame. It closes the connection if too much waits. */
  enqueue(outgoing: Outgoing): void;
}

export class DataSending {
  readonly queue = new SendQueue();
  readonly #settings: Settings;
  readonly #owner: DataSendingOwner;
  readonly #unacknowledged: Unacknowledged;
  /** Encodes data messages, within the payload limit that the server announced. */
  #sender: FrameSender;

  /** @param sender of the version in which the session begins */
  constructor(settings: Settings, sender: FrameSender, owner: DataSendingOwner) {
    this.#settings = settings;
    this.#sender = sender;
    this.#owner = owner;
    this.#unacknowledged = new Unacknowledged(settings.acknowledgementTimeout);
  }

  // --- what the session calls ---

  /** Sends by another sender, as both sides have agreed on a version or a limit. */
  agreed(sender: FrameSender): void {
    this.#sender = sender;
    const isCut = this.#owner.session.capabilities.has(Capability.FRAGMENTS);
    this.queue.cutter = isCut ? CUTTER : null;
  }

  /** Notes that a frame was sent. */
  sent(outgoing: Outgoing, now: number): void {
    if (outgoing.acknowledged) this.#unacknowledged.sent(outgoing, now);
  }

  /** Notes that the server has acknowledged the message of that timestamp. @param data of the PONG */
  acknowledged(timestamp: bigint, data: unknown, events: SessionEvent[]): void {
    if (!this.#unacknowledged.acknowledged(timestamp)) return;
    events.push({
      kind: "acknowledged",
      timestamp,
      next: numberOf(fieldOf(data, "next")),
      lost: numberOf(fieldOf(data, "lost")) ?? 0,
    });
  }

  /** When `sendAgain` is due. */
  deadline(): number {
    return this.#unacknowledged.deadline();
  }

  /** Sends messages again that were not acknowledged in time, or gives them up. */
  sendAgain(now: number, events: SessionEvent[]): void {
    for (const { outgoing, attempts, most } of this.#unacknowledged.due(now)) {
      const { timestamp } = outgoing;
      if (attempts >= most) {
        this.#unacknowledged.acknowledged(timestamp);
        events.push({ kind: "undelivered", timestamp, attempts });
      } else if (!this.#owner.isEnding()) {
        this.#owner.enqueue(outgoing);
      }
    }
  }

  /** Returns an event for each message that was not acknowledged when the connection was lost. */
  lost(): SessionEvent[] {
    return this.#unacknowledged
      .clear()
      .map(({ outgoing, attempts }) => ({ kind: "undelivered", timestamp: outgoing.timestamp, attempts }));
  }

  // --- what the application calls ---

  /** Queues a data message. Flags that the server does not understand are left out. */
  send({ type, payload, data, flags: wanted, timestamp, attempts }: Packed): void {
    if (this.#owner.isEnding()) return;
    const { version, capabilities } = this.#owner.session;
    const flags = understood(wanted, version, capabilities);
    const options = { flags, ...(version >= 3 ? { timestamp } : {}) };
    const frame = payload ? this.#sender.frame(type, payload, options) : this.#sender.encode(type, data, options);
    const outgoing: Outgoing = {
      frame,
      type,
      timestamp,
      tier: tierOf(type, wanted),
      acknowledged: (flags & Flag.ACK_REQUIRED) !== 0,
      deflated: version >= FLAG_SINCE[Flag.COMPRESSED] && (frame[2] & Flag.COMPRESSED) !== 0,
    };
    this.#enqueue(outgoing, attempts);
  }

  /** Queues a frame of version 4. @param attempts how often it may be sent, where it is to be acknowledged */
  sendFrame(outgoing: Outgoing, attempts: number): void {
    if (!this.#owner.isEnding()) this.#enqueue(outgoing, attempts);
  }

  #enqueue(outgoing: Outgoing, attempts: number): void {
    if (outgoing.acknowledged) this.#unacknowledged.add(outgoing, attempts);
    this.#owner.enqueue(outgoing);
  }

  /** Does not send a message again that is not acknowledged. */
  giveUp(timestamp: bigint): void {
    this.#unacknowledged.acknowledged(timestamp);
  }

  /** True if the application may add a message that is not urgent; a part of the queue is reserved for urgent ones. */
  get hasRoom(): boolean {
    const { queueFrames, queueBytes, maxUnacknowledged } = this.#settings;
    return (
      this.queue.frames < queueFrames / 2 &&
      this.queue.bytes < queueBytes &&
      this.#unacknowledged.size < maxUnacknowledged - Math.floor(maxUnacknowledged / 8) &&
      this.#unacknowledged.bytes < queueBytes &&
      this.hasRoomForUrgent
    );
  }

  /** True if the application may add a message that overtakes the others. */
  get hasRoomForUrgent(): boolean {
    const { queueFrames, queueBytes, maxPayload, maxUnacknowledged } = this.#settings;
    return (
      !this.#owner.isEnding() &&
      this.queue.frames < queueFrames &&
      this.queue.bytes < queueBytes + maxPayload &&
      this.#unacknowledged.size < maxUnacknowledged &&
      this.#unacknowledged.bytes < queueBytes + maxPayload
    );
  }
}

/** A number of messages as packers write it. */
function numberOf(value: unknown): number | null {
  return typeof value === "bigint" || typeof value === "number" ? Number(value) : null;
}
