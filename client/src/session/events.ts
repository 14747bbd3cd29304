/** What a session tells its owner. */
import type { SubscriptionAnswer } from "../codec/control-messages.js";
import type { Message } from "../codec/frame-reader.js";
import type { ProtocolError } from "../errors.js";
import type { Capability, Version } from "../protocol.js";
import type { Arrival, Unverified } from "./arrivals.js";
import type { StreamPosition } from "./stream-book.js";

/** The events that a session returns to its owner. */
export type SessionEvent =
  | { kind: "negotiated"; version: Version; capabilities: ReadonlySet<Capability>; negotiated: boolean }
  /** A data message arrived. In version 4, `position` is its number in its stream; null without a stream. */
  | { kind: "received"; message: Message; position: StreamPosition | null }
  /** A numbered message that describes its stream, such as a template. The application does not get it. */
  | { kind: "explained"; position: StreamPosition; timestamp: bigint }
  /** A frame is sealed. The owner opens it, and calls `opened` with the result. */
  | { kind: "sealed"; arrival: Arrival }
  /** A message is signed, or is an attestation. The owner verifies it, and calls `verified` with the result. */
  | { kind: "signed"; arrival: Arrival; unverified: Unverified }
  /** Frames wait for a key that is not known. `stream` is null if their header names none, as in version 3. */
  | { kind: "key-missing"; stream: string | null }
  /** The keys in the answer to a subscription, or to the request `history`, cannot be taken: it ends. */
  | { kind: "keys-refused"; stream: string; history: number | null; error: ProtocolError }
  /** A sealed message of a history was let go, as its key is not known: nothing waits for it. */
  | { kind: "unopened"; position: StreamPosition }
  /** A message arrived whose number was received before. Its subscription decides whether it is acknowledged again. */
  | { kind: "repeated"; position: StreamPosition; message: Acknowledgeable }
  | {
      kind: "answered";
      stream: string;
      status: SubscriptionAnswer["status"];
      code: number | null;
      /** Why it was denied, for a person; null if the server does not tell. */
      reason: string | null;
      /** The time from which messages follow, in microseconds since 1970; null if the server states none. */
      from: bigint | null;
      timestamp: bigint | null;
      /** The numbering of the stream, and the number of the first message that follows; null before version 4. */
      line: StreamNumbers | null;
      /** In an answer about a history. */
      history?: HistoryAnswer;
    }
  /**
   * In the answer to the opening of a stream, `next` is the number that the server expects next, and `lost` how many messages it
   * passed over; else they are null and 0.
   */
  | { kind: "acknowledged"; timestamp: bigint; next: number | null; lost: number }
  | { kind: "undelivered"; timestamp: bigint; attempts: number }
  | { kind: "error"; code: number; message: string; details: unknown }
  /**
   * A frame was refused. For a numbered message, `position` is its number and `timestamp` its time. `isAgain` is true if the
   * message was refused over an earlier connection as well; it then counts as lost.
   */
  | {
      kind: "refused";
      error: ProtocolError;
      position: StreamPosition | null;
      timestamp: bigint | null;
      isAgain: boolean;
    }
  | { kind: "round-trip"; seconds: number; offset: number | null };

/** What an answer says of a history. */
export interface HistoryAnswer {
  /** The number of the request. */
  readonly request: number;
  /** The number after the last message that follows; null if none follows. */
  readonly end: number | null;
  /** The time from which to ask for the rest, in microseconds since 1970; null if there is none. */
  readonly more: bigint | null;
}

/** The numbers of a stream, as an answer states them. */
export interface StreamNumbers {
  readonly epoch: number;
  /** The number of the first message that follows. */
  readonly next: number;
  /** If another epoch has begun: the number that would have been next in the epoch before; null if that is unknown. */
  readonly ended: number | null;
}

/** The properties of a message that an acknowledgement names. */
export type Acknowledgeable = Pick<Message, "type" | "flags" | "timestamp">;
