/** What is measured, in whichever engine runs it: `measure(messages)` gives microseconds. */
import { crc32, ProtocolHandler } from "../src/index.js";

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
  return inTurns(works);
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
