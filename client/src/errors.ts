import type { ErrorCode } from "./protocol.js";

/** Where an error was found. */
export interface ErrorPlace {
  /** Number of the check that failed. After checks 1 to 6, the start of the next frame is unknown. */
  readonly check?: number;
  /** Path of the value in the payload, such as `data["leads"][3]`. */
  readonly path?: string;
  /** Byte offset in the received buffer (checks 1 to 7) or in the decompressed payload (check 11). */
  readonly offset?: number;
  /** The violated rule, if the application can react to it: "template" for a record with an unknown template. */
  readonly reason?: string;
}

/** A frame or its payload violates the specification. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  /** Error code of the specification, or another number that a peer sent. */
  readonly code: ErrorCode | number;
  readonly check: number | null;
  readonly path: string | null;
  readonly offset: number | null;
  readonly reason: string | null;

  constructor(code: ErrorCode | number, message: string, place: ErrorPlace = {}) {
    super(message);
    this.code = code;
    this.check = place.check ?? null;
    this.path = place.path ?? null;
    this.offset = place.offset ?? null;
    this.reason = place.reason ?? null;
  }
}
