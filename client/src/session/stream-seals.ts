/** What a session needs to know of sealed streams. It lives as long as the positions in the streams, over connections. */
import type { AnsweredKey } from "../codec/control-messages.js";
import type { NotOpened, Opened } from "../codec/seal.js";
import type { MessageType } from "../protocol.js";
import type { StreamPosition } from "./stream-book.js";

/** Why an opened message is discarded. */
export type NotTaken = Exclude<NotOpened, "unknown key">;

export interface StreamSeals {
  /** Returns true if plain messages of the stream are refused. */
  isSealed(stream: string): boolean;
  /** Returns true if the application has keys of the stream. Those in answers are ignored then. */
  hasOwnKeys(stream: string): boolean;
  /** Returns true if the key is known. */
  knows(keyId: number): boolean;
  /**
   * Takes the keys of an answer.
   *
   * @throws ProtocolError 0x202, check 12, reason "key", if an id is that of another key
   */
  takeKeys(stream: string, keys: readonly AnsweredKey[]): void;
  /**
   * Compares the stream that an opened message names with that of its key.
   *
   * @param version 3 if the header names no stream
   * @throws ProtocolError 0x202, check 8, reason "stream"
   */
  check(opened: Opened, data: unknown, version: 3 | 4): void;
  /**
   * Enters the counter of a message that is taken, where it belongs: among what is live, or in a history. Returns null, or why
   * the message is discarded.
   */
  take(opened: Opened, history: number | null): NotTaken | null;
  /** Begins to open the frames of a history. What was received of it is known by its owner, over all its requests. */
  beginHistory(request: number, owner: object): void;
  /** Notes that no more frames of a history will come. */
  endHistory(request: number): void;
  /** Returns true if a message is older than it may be. */
  isStale(stream: string, data: unknown): boolean;

  /** True if signatures are verified. */
  readonly verifies: boolean;
  /** Returns true if messages of that type have to be signed, by a known signer. */
  requiresSignature(type: MessageType): boolean;
  /** Enters the digest of a signed message that is taken. Returns false if it was received before. */
  takeDigest(stream: string, digest: string, history: number | null): boolean;
  /** Notes a message without a trailer that is taken, which an attestation may name later. It returns at once. */
  noteUnsigned(position: StreamPosition, type: MessageType, form: number, payload: Uint8Array): void;
}

/** Numbers of signatures. */
export interface SignatureCounts {
  /** Messages whose signature is right. */
  valid: number;
  /** Messages of signers that are not known. */
  unknownSigner: number;
  /** Messages and attestations that were refused, because their signature is not right, or missing. */
  refused: number;
  /** Messages that an attestation has named. */
  attested: number;
  /** Messages that no attestation has named in time. */
  unattested: number;
}

export function noSignatureCounts(): SignatureCounts {
  return { valid: 0, unknownSigner: 0, refused: 0, attested: 0, unattested: 0 };
}

/** Numbers of sealed frames. */
export interface SealCounts {
  /** Messages that were opened. */
  opened: number;
  /** Plain messages of sealed streams, which were refused. */
  plain: number;
  /** Messages that were discarded because their key was not known in time, or too many waited for theirs. */
  unknownKey: number;
  /** Messages whose counter was received before, or is too old to be known. */
  repeated: number;
  /** Messages that were discarded because their key has had too many senders. */
  tooManySenders: number;
}

export function noSealCounts(): SealCounts {
  return { opened: 0, plain: 0, unknownKey: 0, repeated: 0, tooManySenders: 0 };
}

/** Adds counts to others. */
export function addCounts<Counts extends { [name in keyof Counts]: number }>(
  sum: Counts,
  more: Readonly<Counts>,
): void {
  for (const name of Object.keys(sum) as (keyof Counts)[]) (sum[name] as number) += more[name];
}
