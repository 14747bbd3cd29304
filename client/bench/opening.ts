/** Measures how long a page takes from the arrival of a sealed frame to the callback of its subscription. */
import {
  crc32,
  Key,
  MessageType,
  NdArray,
  ProtocolHandler,
  Sealer,
  Sealing,
  Template,
  WebSocketBinaryService,
} from "../src/index.js";

const HEADER = 32;
const ENCRYPTED = 2;
const RECORD = 4;
const EVERY = 50;
/** Frames of each stream at the beginning, in which keys are derived and functions compiled, that count by themselves. */
const STARTING = 20;

const codec = new ProtocolHandler({ version: 4, compression: null });

/** A WebSocket whose server is this script. */
class Line {
  static latest: Line;
  binaryType = "";
  readyState = 0;
  bufferedAmount = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: ArrayBuffer }) => void) | null = null;
  onclose: (() => void) | null = null;
  onerror: (() => void) | null = null;
  readonly heard: { type: number; data: unknown }[] = [];

  constructor() {
    Line.latest = this;
  }

  send(bytes: Uint8Array): void {
    this.heard.push(...codec.decodeAll(bytes.slice()));
  }

  close(): void {}

  deliver(frame: Uint8Array): void {
    this.onmessage?.({ data: frame.slice().buffer });
  }
}

async function sealed(frame: Uint8Array, by: Sealer): Promise<Uint8Array> {
  const header = { version: 4, type: frame[1] as MessageType, form: frame[19] } as const;
  const payload = await by.seal(frame.subarray(HEADER), header);
  const whole = new Uint8Array(HEADER + payload.length);
  whole.set(frame.subarray(0, HEADER));
  whole.set(payload, HEADER);
  whole[2] |= ENCRYPTED;
  const view = new DataView(whole.buffer);
  view.setUint32(3, payload.length);
  view.setUint32(7, crc32(whole, HEADER));
  return whole;
}

/** The frames of one stream: its template, and records of 12 leads with 25 samples. */
async function framesOf(stream: string, id: number, secret: Uint8Array, count: number) {
  const by = new Sealer(new Key(id, stream, secret));
  const leads = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
  const fields = { sampling_rate: 500, leads, units: "mV", gain: 200 };
  const template = new Template({ number: 1, stream, dtype: "int16", rows: 12, fields });
  const at = (sequence: number) => ({ streamId: id, sequence });
  const told = await sealed(codec.frame(MessageType.STREAM_TEMPLATE, template.payload, at(1)), by);
  const records: Uint8Array[] = [];
  for (let number = 0; number < count; number++) {
    const samples = new Int16Array(300).map((_, i) => number + i);
    const payload = template.encode(new NdArray(samples, [12, 25], "int16"), 0n, number, { bound: true, delta: false });
    const frame = codec.encode(MessageType.ECG_DATA, payload, { ...at(number + 2), form: RECORD });
    records.push(await sealed(frame, by));
  }
  return { told, records };
}

/** Returns a function that decrypts 648 bytes and notes how long that took. */
async function bareDecryption(): Promise<(times: number[]) => Promise<void>> {
  const iv = new Uint8Array(12);
  const key = await crypto.subtle.importKey("raw", new Uint8Array(32), "AES-GCM", false, ["encrypt", "decrypt"]);
  const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, new Uint8Array(648));
  return async (times) => {
    const began = performance.now();
    await crypto.subtle.decrypt({ name: "AES-GCM", iv }, key, sealed);
    times.push(performance.now() - began);
  };
}

export interface Measured {
  /** Milliseconds, sorted. */
  readonly took: number[];
  /** Those of the first second. */
  readonly first: number[];
  readonly received: number;
  readonly expected: number;
  /** The same of as many bare decryptions by WebCrypto, between the frames. */
  readonly bare: number[];
}

/** Delivers 20 frames a second of each stream, and measures each. */
export async function measure(streams: number, seconds: number): Promise<Measured> {
  const service = new WebSocketBinaryService({
    versions: [1, 2, 3, 4],
    sealing: new Sealing(),
    WebSocket: Line as never,
  });
  const decryptBare = await bareDecryption();
  const bare: number[] = [];
  const first: number[] = [];
  const count = (1000 / EVERY) * seconds;
  const took: number[] = [];
  const arrivals = new Map<string, number>();
  const names = Array.from({ length: streams }, (_, i) => `ecg/${i}`);
  const connected = service.connect("ws://here");
  const line = Line.latest;
  line.readyState = 1;
  line.onopen?.();
  const offer = { versions: [1, 2, 3, 4], preferred: 4, capabilities: ["encryption", "templates", "ndarray-bin"] };
  line.deliver(new ProtocolHandler({ version: 1 }).encode(MessageType.PROTOCOL_NEGOTIATION, offer));
  await connected;
  const all: Uint8Array[][] = [];
  for (const [i, stream] of names.entries()) {
    const secret = crypto.getRandomValues(new Uint8Array(32));
    const { told, records } = await framesOf(stream, i + 1, secret, count);
    all.push(records);
    service.subscribe(stream, ({ data }) => {
      const milliseconds = performance.now() - (arrivals.get(`${stream} ${data.sequence}`) as number);
      (Number(data.sequence) < STARTING ? first : took).push(milliseconds);
    });
    const keys = [{ id: i + 1, key: secret }];
    const numbers = { id: i + 1, epoch: 5, next: 2, templates: [told] };
    line.deliver(codec.encode(MessageType.SUBSCRIPTION_ACK, { stream, status: "subscribed", ...numbers, keys }));
  }
  for (let number = 0; number < count; number++) {
    const due = new Promise((resolve) => setTimeout(resolve, EVERY));
    for (const [i, records] of all.entries()) {
      arrivals.set(`${names[i]} ${number}`, performance.now());
      line.deliver(records[number]);
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY / 2));
    for (let i = 0; i < streams; i++) void decryptBare(bare);
    await due;
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  await service.close().catch(() => {});
  bare.sort((a, b) => a - b);
  first.sort((a, b) => a - b);
  return {
    first,
    bare,
    took: took.sort((a, b) => a - b),
    received: took.length + first.length,
    expected: streams * count,
  };
}

Object.assign(globalThis, { measureOpening: measure });
