/** The last frames, as they were on the wire, and what was wrong with them; bounded in number and in bytes. */

import { Flag, MessageType, ProtocolError, ProtocolHandler } from "../../src/index.js";

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

/** Frames that are kept; bytes of each that are, which hold every header and short payloads whole. */
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
  /** Frames so far. */
  count = 0;
  readonly #frames: Raw[] = [];
  readonly #handler = new ProtocolHandler();

  /**
   * Keep a frame. It is not read until somebody looks.
   *
   * @param error what was wrong with it, or null.
   */
  add(direction: "in" | "out", bytes: Uint8Array, at: number, error: string | null = null): void {
    this.count += 1;
    // A copy: a view would keep the whole of a large message alive.
    const kept = bytes.slice(0, KEPT_BYTES);
    this.#frames.push({ number: this.count, direction, at, bytes: kept, size: bytes.length, error });
    if (this.#frames.length > KEPT) this.#frames.shift();
  }

  /** The last frame that came turned out to be wrong. */
  blame(error: string): void {
    const last = this.#frames.findLastIndex((frame) => frame.direction === "in");
    if (last >= 0) this.#frames[last] = { ...this.#frames[last], error };
  }

  /** The last frames with their headers read, the newest first. */
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
        flags: flagNames(header.flags),
        length: String(header.length),
        checksum: hex(header.checksum, 8),
        timestamp: header.timestamp === null ? "" : String(header.timestamp),
        note: error ?? this.#note(frame, header.size + header.length),
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

  /** What a short control message says: the page shows no samples here. */
  #note(frame: Raw, frameSize: number): string {
    if (frame.size > frameSize) return "batch";
    if (frame.size > frame.bytes.length) return "";
    const message = this.#handler.decode(frame.bytes);
    if (message.type === MessageType.ECG_DATA) return "";
    return message.data === null
      ? ""
      : shortened(JSON.stringify(message.data, (_, value) => (typeof value === "bigint" ? Number(value) : value)));
  }
}

function flagNames(flags: number): string {
  const names = Object.entries(Flag)
    .filter(([, bit]) => flags & bit)
    .map(([name]) => name);
  const known = Object.values(Flag).reduce((sum, bit) => sum | bit, 0);
  if (flags & ~known) names.push(hex(flags & ~known, 2));
  return names.join(" ") || "–";
}

function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}

function shortened(text: string): string {
  return text.length > 160 ? `${text.slice(0, 159)}…` : text;
}
