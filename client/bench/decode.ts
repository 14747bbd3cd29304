/** What is measured, in whichever engine runs it: `measure(messages)` gives microseconds. */
import {
  type Content,
  crc32,
  ExactSamples,
  Form,
  MessageType,
  type NdArray,
  ProtocolHandler,
  recordContent,
  Template,
} from "../src/index.js";

/** Of each message, the frames in hexadecimal by their form, and the JSON text of the same data. */
export type Messages = Record<string, Record<string, string>>;

/** Microseconds by message and by what is done: of many rounds, the one that a tenth were faster than. */
export type Figures = Record<string, Record<string, number>>;

const ROUNDS = 61;
const ROUND = 5; // milliseconds
const WARM_UP = 150; // milliseconds

export function measure(messages: Messages): Figures {
  return Object.fromEntries(Object.entries(messages).map(([name, forms]) => [name, measureForms(forms)]));
}

function measureForms(forms: Record<string, string>): Record<string, number> {
  const handler = new ProtocolHandler();
  const { json, ...frames } = forms;
  const works: Record<string, () => unknown> = { "JSON.parse": () => JSON.parse(json) };
  for (const [form, hex] of Object.entries(frames)) {
    const frame = bytesOf(hex);
    works[`decode ${form}`] = () => handler.decode(frame);
  }
  const binary = bytesOf(frames.binary);
  works["of it CRC, binary"] = () => crc32(binary);
  return inTurns({ ...works, ...recordWorks(handler, handler.decode(binary).data as Record<string, unknown>) });
}

/** The same message as a record of version 4; of millivolts, the counts that they were. */
function recordWorks(handler: ProtocolHandler, data: Record<string, unknown>): Record<string, () => unknown> {
  const exact = new ExactSamples().take(data.signal);
  const { signal, time, sequence, fields } = recordContent(data, "ecg/bed-7") as Content;
  const more = exact ? { missing: exact.missing, scale: exact.scale } : {};
  const samples: NdArray = exact?.counts ?? signal;
  const template = Template.of({ signal: samples, time, sequence, fields }, 1, "ecg/bed-7", more);
  const book = { get: () => template };
  const works: Record<string, () => unknown> = {};
  for (const [name, delta] of [
    ["record", false],
    ["record, delta", true],
  ] as const) {
    const record = template.encode(samples, time, sequence, { delta });
    const options = { version: 4, form: Form.RECORD, streamId: 1, sequence: 1 } as const;
    const frame = new ProtocolHandler({ compression: null }).encode(MessageType.ECG_DATA, record, options);
    works[`decode ${name}`] = () => handler.decode(frame, book);
    if (delta) works["of it the samples"] = () => template.decode(record);
  }
  works["encode record, delta"] = () => template.encode(samples, time, sequence);
  return works;
}

/** Each in turn, many times over, so that what the machine does besides meets all alike. */
function inTurns(works: Record<string, () => unknown>): Record<string, number> {
  const counts = Object.entries(works).map(([name, work]) => [name, work, countFor(work)] as const);
  const times = new Map<string, number[]>(counts.map(([name]) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, work, count] of counts) times.get(name)?.push(timeOf(work, count) / count);
  }
  return Object.fromEntries([...times].map(([name, list]) => [name, 1000 * quick(list)]));
}

/** How often it is done in a round, once it is warm. */
function countFor(work: () => unknown): number {
  let done = 0;
  const start = performance.now();
  while (performance.now() - start < WARM_UP) {
    work();
    done++;
  }
  return Math.max(1, Math.round((done * ROUND) / WARM_UP));
}

let sink: unknown;

function timeOf(work: () => unknown, count: number): number {
  const start = performance.now();
  for (let i = 0; i < count; i++) sink = work();
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
