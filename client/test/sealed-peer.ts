/** Sealed frames, and a client's session that opens them. */
import {
  crc32,
  Key,
  NdArray,
  ProtocolHandler,
  type Sealer,
  Sealing,
  type SealingOptions,
  type SigningKey,
  type Template,
} from "../src/index.js";
import { Capability, Flag, Form, HEADER_SIZES, MessageType, type Version } from "../src/protocol.js";
import type { SealedStreams } from "../src/service/sealing.js";
import type { Arrival } from "../src/session/arrivals.js";
import type { SessionEvent } from "../src/session/client-session.js";
import { supported } from "../src/session/settings.js";
import { NO_POSITIONS, type StreamPositions } from "../src/session/stream-book.js";
import { Client, ID, OFFER, offer, STREAM, V4 } from "./v4-peer.js";

export const SECRET = Uint8Array.from({ length: 32 }, (_, i) => i);
export const KEY_ID = 9;
export const SEALED_OFFER = { ...OFFER, capabilities: [...OFFER.capabilities, "encryption"] };

export function key(id = KEY_ID, stream = STREAM, secret = SECRET): Key {
  return new Key(id, stream, secret);
}

/** An entry of `keys` in an answer. */
export function entry(id = KEY_ID, secret = SECRET): Record<string, unknown> {
  return { id, key: secret };
}

/** The same frame with a sealed payload. */
export async function sealed(frame: Uint8Array, by: Sealer): Promise<Uint8Array<ArrayBuffer>> {
  const version = frame[0] as 3 | 4;
  const size = HEADER_SIZES[version];
  const header = { version, type: frame[1] as MessageType, flags: frame[2], form: version === 4 ? frame[19] : 0 };
  const payload = await by.seal(frame.subarray(size), header);
  const whole = new Uint8Array(size + payload.length);
  whole.set(frame.subarray(0, size));
  whole.set(payload, size);
  whole[2] |= Flag.ENCRYPTED;
  return summed(whole);
}

/** The same frame of version 4 with a trailer. Sign before sealing. */
export async function signed(frame: Uint8Array, by: SigningKey, stream = STREAM): Promise<Uint8Array<ArrayBuffer>> {
  const payload = frame.subarray(HEADER_SIZES[4]);
  const trailer = await by.trailer(stream, frame[1] as MessageType, frame[19], payload);
  const whole = new Uint8Array(frame.length + trailer.length);
  whole.set(frame);
  whole.set(trailer, frame.length);
  whole[2] |= Flag.SIGNED;
  return summed(whole);
}

/** The frame of an attestation. */
export function attestation(payload: Uint8Array, sequence: number, streamId = ID): Uint8Array<ArrayBuffer> {
  return codec.frame(MessageType.STREAM_ATTESTATION, payload, { streamId, sequence });
}

/** The frame with the length and the checksum of its payload. */
export function summed(frame: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const size = HEADER_SIZES[frame[0] as Version];
  const view = new DataView(frame.buffer, frame.byteOffset);
  view.setUint32(3, frame.length - size);
  view.setUint32(7, crc32(frame, size));
  return frame;
}

const codec = new ProtocolHandler({ version: 4, compression: null });

/** A record that is bound to its template, with the number of its message as its first sample. */
export function bound(of: Template, sequence: number, streamId = ID): Uint8Array<ArrayBuffer> {
  const samples = new Int16Array(8).map((_, i) => sequence + i);
  const options = { bound: true, delta: false };
  const payload = of.encode(new NdArray(samples, [2, 4], "int16"), BigInt(sequence) * 8000n, sequence, options);
  return codec.encode(MessageType.ECG_DATA, payload, { form: Form.RECORD, streamId, sequence });
}

/** A client that opens frames when the test says so. */
export class OpeningClient extends Client {
  readonly seals: SealedStreams;
  /** Frames that are to be opened. */
  readonly waiting: Arrival[] = [];
  /** Messages that are to be verified. */
  readonly unverified: Extract<SessionEvent, { kind: "signed" }>[] = [];

  constructor(options: SealingOptions = {}, positions: StreamPositions = NO_POSITIONS) {
    const seals = new Sealing(options).attach() as SealedStreams;
    super(positions, { capabilities: new Set([...supported(V4), Capability.ENCRYPTION]) }, seals);
    this.seals = seals;
    this.receive(offer(SEALED_OFFER));
    for (const stream of [STREAM, "ecg/2"]) {
      seals.begin(stream, false);
      this.session.subscribe(stream, null);
    }
    this.sent();
  }

  override receive(...frames: Uint8Array[]): SessionEvent[] {
    return this.#noted(super.receive(...frames));
  }

  /** Verifies what waits. Returns what follows of it. */
  async verifyAll(): Promise<SessionEvent[]> {
    const events: SessionEvent[] = [];
    for (let next = this.unverified.shift(); next; next = this.unverified.shift()) {
      const verdict = await this.seals.verify(next.unverified);
      events.push(...this.#noted(this.session.protected?.verified(next.arrival, verdict, this.now) ?? []));
    }
    return events;
  }

  /** Opens one of the frames that wait. Returns what follows of it. */
  async open(arrival: Arrival = this.waiting[0]): Promise<SessionEvent[]> {
    this.waiting.splice(this.waiting.indexOf(arrival), 1);
    const outcome = await this.seals.open(arrival);
    return this.#noted(this.session.protected?.opened(arrival, outcome, this.now) ?? []);
  }

  /** Opens all frames that wait, and those that then begin to. */
  async openAll(): Promise<SessionEvent[]> {
    const events: SessionEvent[] = [];
    while (this.waiting.length || this.unverified.length) {
      while (this.waiting.length) events.push(...(await this.open()));
      events.push(...(await this.verifyAll()));
    }
    return events;
  }

  /** Receives frames and opens them. */
  async took(...frames: Uint8Array[]): Promise<SessionEvent[]> {
    const events = this.receive(...frames);
    return [...events, ...(await this.openAll())];
  }

  tick(): SessionEvent[] {
    return this.#noted(this.session.tick(this.now));
  }

  #noted(events: SessionEvent[]): SessionEvent[] {
    for (const event of events) {
      if (event.kind === "sealed") this.waiting.push(event.arrival);
      if (event.kind === "signed") this.unverified.push(event);
    }
    return events.filter(({ kind }) => kind !== "sealed" && kind !== "signed");
  }
}
