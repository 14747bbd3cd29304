/** The last frames with their errors, limited in number and in bytes. */

import { Flag, type Header, MessageType, ProtocolError, ProtocolHandler, type Version } from "../../src/index.js";
import { FLAG_SINCE } from "../../src/protocol.js";

export interface LoggedFrame {
  /** Counts up from 1. */
  readonly number: number;
  readonly direction: "in" | "out";
  /** Unix seconds. */
  readonly at: number;
  readonly type: string;
  readonly version: string;
  readonly flags: string;
  readonly length: string;
  readonly checksum: string;
  readonly timestamp: string;
  readonly note: string;
  readonly isError: boolean;
}

/** Number of frames that are kept, and bytes of each: enough for headers and short payloads. */
const KEPT = 200;
const KEPT_BYTES = 512;

interface Raw {
  readonly number: number;
  readonly direction: "in" | "out";
  readonly at: number;
  readonly bytes: Uint8Array;
  readonly size: number;
  readonly error: string | null;
}

const TYPE_NAMES = new Map<number, string>(Object.entries(MessageType).map(([name, value]) => [value, name]));

export class FrameLog {
  /** Number of all frames. */
  count = 0;
  readonly #frames: Raw[] = [];
  readonly #handler = new ProtocolHandler();

  /**
   * Add a frame. It is decoded when the panel is open.
   *
   * @param error its error, or null.
   */
  add(direction: "in" | "out", bytes: Uint8Array, at: number, error: string | null = null): void {
    this.count += 1;
    // A copy, as a view would keep a large message alive.
    const kept = bytes.slice(0, KEPT_BYTES);
    this.#frames.push({ number: this.count, direction, at, bytes: kept, size: bytes.length, error });
    if (this.#frames.length > KEPT) this.#frames.shift();
  }

  /** Add an error to the last received frame. */
  blame(error: string): void {
    const last = this.#frames.findLastIndex((frame) => frame.direction === "in");
    if (last >= 0) this.#frames[last] = { ...this.#frames[last], error };
  }

  /** Return the last frames with their headers decoded, the newest first. */
  latest(limit: number): LoggedFrame[] {
    return this.#frames
      .slice(-limit)
      .reverse()
      .map((frame) => this.#read(frame));
  }

  #read(frame: Raw): LoggedFrame {
    const { number, direction, at, size, error } = frame;
    try {
      const header = this.#handler.readHeader(frame.bytes);
      const isError = error !== null || header.type === MessageType.ERROR;
      return {
        number,
        direction,
        at,
        type: TYPE_NAMES.get(header.type) ?? hex(header.type, 2),
        version: `V${header.version}`,
        flags: flagNames(header.flags, header.version),
        length: String(header.length),
        checksum: hex(header.checksum, 8),
        timestamp: header.timestamp === null ? "" : String(header.timestamp),
        note: error ?? this.#note(frame, header),
        isError,
      };
    } catch (failure) {
      const note = error ?? (failure instanceof ProtocolError ? failure.message : String(failure));
      const start = Array.from(frame.bytes.subarray(0, 11), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
      return {
        number,
        direction,
        at,
        type: start,
        version: "",
        flags: "",
        length: String(size),
        checksum: "",
        timestamp: "",
        note,
        isError: true,
      };
    }
  }

  /** The payload of a short message as JSON; empty for samples, which a record of version 4 holds without their template. */
  #note(frame: Raw, header: Header): string {
    if (frame.size > header.size + header.length) return "batch";
    if (frame.size > frame.bytes.length || header.type === MessageType.ECG_DATA) return "";
    const { data } = this.#handler.decode(frame.bytes);
    return data === null ? "" : shortened(JSON.stringify(data, (_, value) => readable(value)));
  }
}

function flagNames(flags: number, version: Version): string {
  const defined = Object.entries(Flag).filter(([, bit]) => FLAG_SINCE[bit] <= version);
  const names = defined.filter(([, bit]) => flags & bit).map(([name]) => name);
  const known = defined.reduce((sum, [, bit]) => sum | bit, 0);
  if (flags & ~known) names.push(hex(flags & ~known, 2));
  return names.join(" ") || "–";
}

function readable(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  return value instanceof Uint8Array ? `${value.length} bytes` : value;
}

function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}

function shortened(text: string): string {
  return text.length > 160 ? `${text.slice(0, 159)}…` : text;
}
