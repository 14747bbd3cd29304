/** The server's end of a connection of version 4, made of the codec: frames, and a client's session that takes them. */
import { SendClock } from "../src/codec/send-clock.js";
import { type EncodeOptions, type Message, MessageType, NdArray, ProtocolHandler, Template } from "../src/index.js";
import { Flag, Form, type Version } from "../src/protocol.js";
import { ClientSession, type SessionEvent } from "../src/session/client-session.js";
import { DEFAULT_SETTINGS, type Settings, supported } from "../src/session/settings.js";
import { NO_POSITIONS, type StreamPositions } from "../src/session/stream-book.js";
import type { StreamSeals } from "../src/session/stream-seals.js";

export const V4: readonly Version[] = [1, 2, 3, 4];
export const STREAM = "ecg/1";
export const ID = 7;
export const EPOCH = 4_738_201;

const codec = new ProtocolHandler({ version: 4, compression: null });

export const OFFER = {
  versions: [1, 2, 3, 4],
  preferred: 4,
  capabilities: ["ack", "batch", "compression", "delta", "ndarray-bin", "priority", "templates", "timestamps"],
  max_payload: 1 << 20,
  heartbeat_interval: 15,
};

export function offer(more: Record<string, unknown> = {}): Uint8Array<ArrayBuffer> {
  return new ProtocolHandler({ version: 1 }).encode(MessageType.PROTOCOL_NEGOTIATION, { ...OFFER, ...more });
}

/** A frame of no stream. */
export function control(type: MessageType, data: unknown, options: EncodeOptions = {}): Uint8Array<ArrayBuffer> {
  return codec.encode(type, data, options);
}

/** The answer that binds the id to the stream. */
export function answer(more: Record<string, unknown> = {}, stream = STREAM): Uint8Array<ArrayBuffer> {
  const line = { id: ID, epoch: EPOCH, next: 1, templates: [] };
  return control(MessageType.SUBSCRIPTION_ACK, { stream, status: "subscribed", ...line, ...more });
}

/** Two leads of counts at 500 Hz. */
export function template(number = 1, stream = STREAM): Template {
  const fields = { sampling_rate: 500, leads: ["I", "II"], units: "mV", gain: 200, baseline: 0, device_id: "bed 7" };
  return new Template({ number, stream, dtype: "int16", rows: 2, fields });
}

export function templateFrame(told: Template, sequence: number, streamId = ID): Uint8Array<ArrayBuffer> {
  return codec.frame(MessageType.STREAM_TEMPLATE, told.payload, { streamId, sequence });
}

/** What a message says by its number; messages of streams with other ids say something else. */
function said(sequence: number, streamId: number): number {
  return sequence + 1000 * (streamId - ID);
}

/** A record of 4 samples a lead, the first of which is the number of its message. */
export function record(
  of: Template,
  sequence: number,
  streamId = ID,
  options: EncodeOptions = {},
): Uint8Array<ArrayBuffer> {
  const samples = new Int16Array(8).map((_, i) => said(sequence, streamId) + i);
  const time = BigInt(said(sequence, streamId)) * 8000n;
  const payload = of.encode(new NdArray(samples, [2, 4], "int16"), time, sequence);
  return codec.encode(MessageType.ECG_DATA, payload, { form: Form.RECORD, streamId, sequence, ...options });
}

/** An alert, which overtakes; its payload has no name of a stream. */
export function alert(sequence: number, streamId = ID, options: EncodeOptions = {}): Uint8Array<ArrayBuffer> {
  const data = { kind: "asystole", timestamp: said(sequence, streamId) };
  return codec.encode(MessageType.ANOMALY_ALERT, data, { flags: Flag.PRIORITY, streamId, sequence, ...options });
}

/** A message of a stream in MessagePack. */
export function packed(sequence: number, streamId = ID, options: EncodeOptions = {}): Uint8Array<ArrayBuffer> {
  return codec.encode(
    MessageType.FEATURE_DATA,
    { features: { n: said(sequence, streamId) } },
    { streamId, sequence, ...options },
  );
}

/** The same frame with a payload that fails its checksum. */
export function broken(frame: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const copy = frame.slice();
  copy[copy.length - 1] ^= 1;
  return copy;
}

export function joined(...frames: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const size = frames.reduce((sum, frame) => sum + frame.length, 0);
  const whole = new Uint8Array(size);
  let at = 0;
  for (const frame of frames) {
    whole.set(frame, at);
    at += frame.length;
  }
  return whole;
}

/** A client's session, in virtual time, that has agreed on version 4. */
export class Client {
  readonly session: ClientSession;
  now = 0;

  constructor(positions: StreamPositions = NO_POSITIONS, more: Partial<Settings> = {}, seals?: StreamSeals) {
    const settings = { ...DEFAULT_SETTINGS, versions: V4, capabilities: new Set(supported(V4)), ...more };
    this.session = new ClientSession(settings, new SendClock(), positions, seals);
    this.session.start(this.now);
  }

  /** Negotiates, subscribes to two streams, and drops what the client says. */
  static agreed(positions?: StreamPositions): Client {
    return Client.agreedOn(OFFER.versions, positions);
  }

  /** The same with a server that has those versions. */
  static agreedOn(versions: number[], positions?: StreamPositions): Client {
    const client = new Client(positions);
    client.receive(offer({ versions }));
    for (const stream of [STREAM, "ecg/2"]) client.session.subscribe(stream, null);
    client.sent();
    return client;
  }

  receive(...frames: Uint8Array[]): SessionEvent[] {
    return this.session.receive(joined(...frames), this.now);
  }

  /** What the client sends. */
  sent(): Message<Record<string, unknown>>[] {
    const messages: Message[] = [];
    for (let bytes = this.session.nextMessage(this.now); bytes; bytes = this.session.nextMessage(this.now)) {
      messages.push(...codec.decodeAll(bytes));
    }
    return messages as Message<Record<string, unknown>>[];
  }
}

/** What a test says of events: data messages by their number, others by their kind. */
export function summary(events: readonly SessionEvent[]): string[] {
  return events.map((event) => {
    switch (event.kind) {
      case "received":
      case "explained":
      case "repeated":
        return `${event.kind} ${event.position?.number ?? "-"}`;
      case "refused":
        return `refused 0x${event.error.code.toString(16)} check ${event.error.check}`;
      default:
        return event.kind;
    }
  });
}
