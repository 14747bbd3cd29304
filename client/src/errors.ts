import type { ErrorCode } from "./protocol.js";

/** Where an error was found, as far as that is known. */
export interface ErrorPlace {
  /** The row of the receiver's table of checks that failed. Up to 6, the stream can no longer be trusted. */
  readonly check?: number;
  /** Where in the payload, as in `data["leads"][3]`. */
  readonly path?: string;
  /** Byte of the received buffer (checks 1 to 7) or of the inflated payload (check 11). */
  readonly offset?: number;
}

/** A frame, or what it carries, is not what the specification allows. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  /** The specification's error code, or what a peer sent in its place. */
  readonly code: ErrorCode | number;
  readonly check: number | null;
  readonly path: string | null;
  readonly offset: number | null;

  constructor(code: ErrorCode | number, message: string, place: ErrorPlace = {}) {
    super(message);
    this.code = code;
    this.check = place.check ?? null;
    this.path = place.path ?? null;
    this.offset = place.offset ?? null;
  }
}
