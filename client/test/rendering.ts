/** The vectors' way to write a value in JSON, explained in `tests/vectors/README.md`. */
import { readFileSync } from "node:fs";
import { findDType } from "../src/codec/ndarray.js";
import { halves } from "../src/codec/read-float16.js";
import { DateTime, NdArray, type Samples, Uuid } from "../src/index.js";

const VECTORS = new URL("../../tests/vectors/", import.meta.url);

export type Rendered = null | boolean | number | string | Rendered[] | { [key: string]: Rendered };

export interface RenderedMessage {
  version: 1 | 2 | 3;
  type: number;
  flags: number;
  timestamp: string | null;
  data: Rendered;
}

export interface FramesVector {
  name: string;
  frames: string;
  max_payload?: number;
  messages: RenderedMessage[];
  canonical: null | { ndarray: "list" | "binary"; compression?: boolean };
}

export interface RefusedVector {
  name: string;
  frame: string;
  max_payload?: number;
  code: string;
  check: number;
  /** Where check 12 finds the fault; not there where it is no field's. */
  path?: string;
}

export interface RenderedHeaderOfV4 {
  version: 4;
  type: number;
  flags: number;
  timestamp: string;
  form: number;
  stream: number;
  sequence: number;
}

/** The vectors of version 4's frames. */
export interface VectorsOfV4 {
  accepted: (Omit<FramesVector, "messages"> & { messages: (RenderedHeaderOfV4 & { data: Rendered })[] })[];
  /** Headers that pass the checks 1 to 7, whatever the payload is. */
  headers: { name: string; frame: string; header: RenderedHeaderOfV4; payload: string }[];
  refused: RefusedVector[];
}

/** The vectors of version 4's records and templates. */
export interface RecordVectors {
  accepted: {
    name: string;
    template_payload: string;
    record: string;
    message: Rendered;
    counts: Rendered;
    time: string;
    /** True if a writer makes exactly these bytes of the counts. */
    written: boolean;
  }[];
  refused: {
    name: string;
    template_payload: string;
    record: string;
    max_payload?: number;
    code: string;
    check: number;
    reason?: string;
  }[];
  refused_templates: { name: string; payload: string; code: string; check: number; path?: string }[];
  /** Floats that are counts times a gain, and what becomes of them. */
  exact: { name: string; signal: Rendered; scale: Rendered; counts: Rendered }[];
}

interface HowSealed {
  version: 3 | 4;
  type: number;
  flags: number;
  form: number;
  stream: string;
}

/** The vectors of sealed payloads, signatures and attestations, and of the primitives under them. */
export interface SealVectors {
  key: { id: number; secret: string; sender: string; derived: string; iv: string };
  signer: { secret: string; public: string; name: string };
  sealed: (HowSealed & { name: string; counter: number; plain: string; sealed: string })[];
  refused: (HowSealed & { name: string; sealed: string; code: string; check: number; reason: string | null })[];
  signed: {
    name: string;
    stream: string;
    type: number;
    form: number;
    payload: string;
    digest: string;
    trailer: string;
  }[];
  attestations: { name: string; digests: string[]; payload: string }[];
  primitives: {
    gcm: {
      name: string;
      key: string;
      nonce: string;
      plain: string;
      associated: string;
      sealed: string;
      valid: boolean;
    }[];
    hkdf: { secret: string; salt: string; info: string; okm: string }[];
    ed25519: { name: string; secret?: string; public: string; message: string; signature: string; valid: boolean }[];
  };
}

/** Streams that are not valid deflate, each with a valid stream of the same payload. */
export const INVALID_DEFLATE: { name: string; stream: string; valid: string }[] = read("invalid-deflate.json");
export const SEAL: SealVectors = read("seal.json");
export const V4: VectorsOfV4 = read("v4.json");
export const RECORDS: RecordVectors = read("v4-records.json");
export const FRAMES: FramesVector[] = read("frames.json");
export const REFUSED: RefusedVector[] = read("refused.json");

/** Returns the vectors of a file of the protocol. */
export function vectorsOf<T>(name: string): T {
  return read<T>(name);
}

function read<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(name, VECTORS), "utf8"));
}

export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Reads a rendered value. */
export function fromJson(rendered: Rendered): unknown {
  if (Array.isArray(rendered)) return rendered.map(fromJson);
  if (rendered === null || typeof rendered !== "object") return rendered;
  const [tag, content] = Object.entries(rendered)[0] ?? [];
  switch (tag) {
    case "$int":
      return BigInt(content as string);
    case "$float":
      return floatOf(content as string);
    case "$bytes":
      return fromHex(content as string);
    case "$datetime":
      return new DateTime(content as string);
    case "$uuid":
      return new Uuid(content as string);
    case "$map":
      return mapOf((content as [Rendered, Rendered][]).map(([key, item]) => [fromJson(key), fromJson(item)]));
    case "$ndarray":
      return arrayOf(content as unknown as { dtype: string; shape: number[]; data: string });
    default:
      return Object.fromEntries(Object.entries(rendered).map(([key, item]) => [key, fromJson(item)]));
  }
}

/** Returns whether a value has a whole float, which JavaScript writes as an integer, or a NaN, whose bits may change. */
export function losesBytes(rendered: Rendered): boolean {
  if (Array.isArray(rendered)) return rendered.some(losesBytes);
  if (rendered === null || typeof rendered !== "object") return false;
  if ("$ndarray" in rendered) return false;
  if ("$float" in rendered) {
    const value = floatOf(rendered.$float as string);
    return Number.isNaN(value) || (Number.isSafeInteger(value) && !Object.is(value, -0));
  }
  return Object.values(rendered).some(losesBytes);
}

function floatOf(text: string): number {
  return { inf: Infinity, "-inf": -Infinity, nan: Number.NaN }[text] ?? Number(text);
}

function mapOf(entries: [unknown, unknown][]): unknown {
  const plain = entries.every(([key]) => typeof key === "string");
  return plain ? Object.fromEntries(entries as [string, unknown][]) : new Map(entries);
}

function arrayOf({ dtype, shape, data }: { dtype: string; shape: number[]; data: string }): NdArray {
  const bytes = fromHex(data);
  const type = findDType(dtype);
  if (!type) throw new Error(`dtype ${dtype}`);
  const size = bytes.length / type.size;
  const samples: Samples =
    type.size === 2 && type.kind === "float" ? halves(bytes, 0, size) : new type.Samples(bytes.buffer, 0, size);
  return new NdArray(samples, shape, dtype);
}
