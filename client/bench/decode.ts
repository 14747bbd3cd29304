/** What is measured, in whichever engine runs it: `measure(messages)` gives microseconds. */
import {
  type Content,
  crc32,
  ExactSamples,
  Flag,
  Form,
  Key,
  MessageType,
  type NdArray,
  Opener,
  ProtocolHandler,
  recordContent,
  Sealer,
  StoredKeys,
  Template,
} from "../src/index.js";
import { HEADER_SIZES } from "../src/protocol.js";

/** Of each message, the frames in hexadecimal by their form, and the JSON text of the same data. */
export type Messages = Record<string, Record<string, string>>;

/** Microseconds by message and by what is done: of many rounds, the one that a tenth were faster than. */
export type Figures = Record<string, Record<string, number>>;

const STREAM = "ecg/bed-7";
/** Samples of a live frame at most: 50 ms of 12 leads. */
const LIVE = 300;
const ROUNDS = 61;
const ROUND = 5; // milliseconds
const WARM_UP = 150; // milliseconds

/** What is done; a promise if it is done later. */
type Works = Record<string, () => unknown>;

export async function measure(messages: Messages): Promise<Figures> {
  const figures: Figures = {};
  for (const [name, forms] of Object.entries(messages)) figures[name] = await measureForms(forms);
  return figures;
}

async function measureForms(forms: Record<string, string>): Promise<Record<string, number>> {
  const handler = new ProtocolHandler();
  const { json, ...frames } = forms;
  const works: Works = { "JSON.parse": () => JSON.parse(json) };
  for (const [form, hex] of Object.entries(frames)) {
    const frame = bytesOf(hex);
    works[`decode ${form}`] = () => handler.decode(frame);
  }
  const binary = bytesOf(frames.binary);
  works["of it CRC, binary"] = () => crc32(binary);
  const data = handler.decode(binary).data as Record<string, unknown>;
  return inTurns({ ...works, ...(await recordWorks(handler, data)) });
}

/** The same message as a record of version 4; of millivolts, the counts that they were. */
async function recordWorks(handler: ProtocolHandler, data: Record<string, unknown>): Promise<Works> {
  const exact = new ExactSamples().take(data.signal);
  const { signal, time, sequence, fields } = recordContent(data, STREAM) as Content;
  const more = exact ? { missing: exact.missing, scale: exact.scale } : {};
  const samples: NdArray = exact?.counts ?? signal;
  const template = Template.of({ signal: samples, time, sequence, fields }, 1, STREAM, more);
  const book = { get: () => template };
  const plain = new ProtocolHandler({ version: 4, compression: null });
  const works: Works = {};
  for (const [name, delta] of [
    ["record", false],
    ["record, delta", true],
  ] as const) {
    const record = template.encode(samples, time, sequence, { delta });
    const frame = plain.encode(MessageType.ECG_DATA, record, { form: Form.RECORD, streamId: 1, sequence: 1 });
    works[`decode ${name}`] = () => handler.decode(frame, book);
    if (delta) works["of it the samples"] = () => template.decode(record);
  }
  works["encode record, delta"] = () => template.encode(samples, time, sequence);
  if (samples.size > LIVE) return works;
  const told = plain.frame(MessageType.STREAM_TEMPLATE, template.payload, { streamId: 1, sequence: 1 });
  works["decode template"] = () => {
    handler.decode(told);
    return new Template(told.subarray(HEADER_SIZES[4]));
  };
  works["open and decode sealed record"] = await sealedWork(template, samples, time, sequence);
  return works;
}

/** Opens a sealed record and decodes it, as a session does: WebCrypto gives the result later. */
async function sealedWork(template: Template, samples: NdArray, time: bigint, sequence: Content["sequence"]) {
  const header = { version: 4, type: MessageType.ECG_DATA, form: Form.RECORD } as const;
  const key = new Key(1, STREAM, new Uint8Array(32).fill(7));
  const record = template.encode(samples, time, sequence, { bound: true, delta: false });
  const payload = await new Sealer(key).seal(record, header);
  const options = { form: Form.RECORD, streamId: 1, sequence: 1 };
  const frame = new ProtocolHandler({ version: 4, compression: null }).encode(MessageType.ECG_DATA, payload, options);
  frame[2] |= Flag.ENCRYPTED;
  const opener = new Opener(new StoredKeys([key]));
  const reader = new ProtocolHandler({ opens: true });
  const book = { get: () => template };
  const reading = { defers: () => true };
  return async () => {
    const [{ deferred }] = reader.frames(frame, undefined, book, reading);
    if (!deferred) throw new Error("the frame is damaged");
    const opened = await opener.open(deferred.payload, { ...header, stream: STREAM });
    if (typeof opened === "string") throw new Error(opened);
    const { item } = deferred.decode(opened.payload);
    if (item instanceof Error) throw item;
    return item;
  };
}

/** Each in turn, many times over, so that what the machine does besides meets all alike. */
async function inTurns(works: Works): Promise<Record<string, number>> {
  const counts: [name: string, work: () => unknown, count: number][] = [];
  for (const [name, work] of Object.entries(works)) counts.push([name, work, await countFor(work)]);
  const times = new Map<string, number[]>(counts.map(([name]) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, work, count] of counts) {
      const took = isLater(work) ? await timeOfLater(work, count) : timeOf(work, count);
      times.get(name)?.push(took / count);
    }
  }
  return Object.fromEntries([...times].map(([name, list]) => [name, 1000 * quick(list)]));
}

/** How often it is done in a round, once it is warm. */
async function countFor(work: () => unknown): Promise<number> {
  const later = isLater(work);
  let done = 0;
  const start = performance.now();
  while (performance.now() - start < WARM_UP) {
    if (later) await work();
    else work();
    done++;
  }
  return Math.max(1, Math.round((done * ROUND) / WARM_UP));
}

/** Returns true for the works that are async functions. */
function isLater(work: () => unknown): boolean {
  return work.constructor !== Function;
}

let sink: unknown;

function timeOf(work: () => unknown, count: number): number {
  const start = performance.now();
  for (let i = 0; i < count; i++) sink = work();
  return performance.now() - start;
}

async function timeOfLater(work: () => unknown, count: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < count; i++) sink = await work();
  return performance.now() - start;
}

/** What the machine does besides only ever adds to a time. */
function quick(list: number[]): number {
  return list.sort((a, b) => a - b)[Math.floor(list.length / 10)];
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

Object.assign(globalThis, { measure, lastResult: () => sink });
