/**
 * Opens sealed streams for a service. A page that watches plain streams only does not import it, and has nothing of it in
 * its bundle.
 */
import type { AnsweredKey } from "../codec/control-messages.js";
import { fieldOf } from "../codec/fields.js";
import {
  checkStream,
  Key,
  type Keyring,
  type Opened,
  Opener,
  type OpenOptions,
  ReplayWindow,
  StoredKeys,
} from "../codec/seal.js";
import { type Attested, digest, type Unattested, Verifier } from "../codec/signing.js";
import { hexOf, joined } from "../codec/webcrypto.js";
import { ProtocolError } from "../errors.js";
import { Capability, ErrorCode, HISTORY_WINDOW, type MessageType } from "../protocol.js";
import type { Arrival, Outcome, SignedBy, Unverified } from "../session/arrivals.js";
import type { StreamPosition } from "../session/stream-book.js";
import type { NotTaken, StreamSeals } from "../session/stream-seals.js";
import { StreamAttestations } from "./stream-attestations.js";

/** Milliseconds after which a sealed message counts as stale. */
const STALE_AFTER = 90_000;
/** Digests of signed messages of one stream that are known; the oldest is forgotten. */
const DIGESTS_KEPT = 4096;
/** Keys of one stream from answers that are kept; the oldest is forgotten. */
const KEYS_KEPT = 16;

/** Which keys open the sealed streams of a service. */
export interface SealingOptions {
  /**
   * Keys of the application. The keys that a server hands out are ignored for streams that have keys here, and these streams
   * are accepted only sealed: they may be sealed from end to end, by keys that the server does not have.
   */
  readonly keys?: Keyring;
  /** Public keys of the signers that are known, 32 bytes each. With it, signatures are verified, in version 4. */
  readonly signers?: Iterable<Uint8Array>;
  /** Types of messages that have to be signed by a known signer; others of them are refused. */
  readonly requireSignature?: Iterable<MessageType>;
}

/**
 * Lets a service watch sealed streams: `new WebSocketBinaryService({ sealing: new Sealing() })`.
 *
 * It needs WebCrypto, which browsers offer to pages that were loaded over TLS, or from localhost. Elsewhere the service does
 * without it, and servers deny it sealed streams.
 */
export class Sealing {
  readonly #options: SealingOptions;

  constructor(options: SealingOptions = {}) {
    this.#options = options;
  }

  /** The capabilities that a service with it can announce; none without WebCrypto. */
  get capabilities(): readonly Capability[] {
    if (globalThis.crypto?.subtle === undefined) return [];
    return this.#options.signers ? [Capability.ENCRYPTION, Capability.SIGNING] : [Capability.ENCRYPTION];
  }

  /** Used by a service, once: the state of its sealed streams. Null without WebCrypto. */
  attach(): SealedStreams | null {
    return this.capabilities.length === 0 ? null : new SealedStreams(this.#options);
  }
}

/** What was received of a history, over all its requests. */
interface Reviewed {
  readonly opener: Opener;
  readonly digests: Set<string>;
}

/** The keys of a service, and what was received with them. */
export class SealedStreams implements StreamSeals {
  /** Keys of the application. */
  readonly own: Keyring | null;
  /** By stream, in milliseconds. */
  readonly #staleAfter = new Map<string, number>();
  /** Keys that answers brought, and their ids by stream. */
  readonly #received = new StoredKeys();
  readonly #idsOf = new Map<string, number[]>();
  /** Streams that the application has subscribed to as sealed. */
  readonly #subscribed = new Set<string>();
  /** Streams of which a key was received; also after their subscription has ended. */
  readonly #hadKeys = new Set<string>();
  readonly #keyring: Keyring = { current: () => null, find: (keyId) => this.#find(keyId) };
  readonly #verifier: Promise<Verifier> | null;
  readonly #required: ReadonlySet<MessageType>;
  /** By stream. */
  readonly #digests = new Map<string, Set<string>>();
  readonly #attestations = new Map<string, StreamAttestations>();
  /** Called with what is attested, and with what is not. */
  onAttestation: (stream: string, found: Attested | Unattested) => void = () => {};
  /** By stream; each has the replay window of the present subscription. */
  readonly #openers = new Map<string, Opener>();
  /** What was received of histories, by request, and by what asks for them. */
  readonly #histories = new Map<number, Reviewed>();
  readonly #reviewed = new WeakMap<object, Reviewed>();

  constructor({ keys, signers, requireSignature = [] }: SealingOptions) {
    this.#verifier = signers ? Verifier.create(signers) : null;
    this.#verifier?.catch(() => {}); // each message that needs it gets the error
    this.#required = new Set(requireSignature);
    this.own = keys ?? null;
  }

  // --- what subscriptions tell ---

  /**
   * Notes that a subscription begins: it has received nothing yet.
   *
   * @param isSealed whether plain messages are refused
   * @param staleAfter milliseconds after which a message is stale
   */
  begin(stream: string, isSealed: boolean, staleAfter = STALE_AFTER): void {
    this.#staleAfter.set(stream, staleAfter);
    this.#forget(stream);
    if (isSealed) this.#subscribed.add(stream);
  }

  /** Notes that a subscription has ended. */
  end(stream: string): void {
    this.#forget(stream);
    this.#subscribed.delete(stream);
    this.#staleAfter.delete(stream);
    for (const id of this.#idsOf.get(stream) ?? []) this.#received.remove(id);
    this.#idsOf.delete(stream);
  }

  #forget(stream: string): void {
    this.#openers.delete(stream);
    this.#digests.delete(stream);
    this.#attestations.get(stream)?.end();
    this.#attestations.delete(stream);
  }

  // --- histories ---

  beginHistory(request: number, owner: object): void {
    const reviewed = this.#reviewed.get(owner) ?? {
      // A server that seals old messages again gives them later counters than those that follow have.
      opener: new Opener(this.#keyring, new ReplayWindow({ window: HISTORY_WINDOW })),
      digests: new Set<string>(),
    };
    this.#reviewed.set(owner, reviewed);
    this.#histories.set(request, reviewed);
  }

  endHistory(request: number): void {
    this.#histories.delete(request);
  }

  #ofHistory(request: number): Reviewed {
    if (!this.#histories.has(request)) this.beginHistory(request, {}); // frames of one that was ended
    return this.#histories.get(request) as Reviewed;
  }

  // --- keys ---

  isSealed(stream: string): boolean {
    return this.#subscribed.has(stream) || this.#hadKeys.has(stream) || this.hasOwnKeys(stream);
  }

  hasOwnKeys(stream: string): boolean {
    try {
      return (this.own?.current(stream) ?? null) !== null;
    } catch {
      return true; // it is sealed, and no key is valid now
    }
  }

  knows(keyId: number): boolean {
    return this.#find(keyId) !== null;
  }

  takeKeys(stream: string, keys: readonly AnsweredKey[]): void {
    if (this.hasOwnKeys(stream)) return;
    for (const { id, key, begins, ends } of keys) {
      const taken = new Key(id, stream, key, { begins, ends });
      const own = this.#ownKey(id);
      const known = own ?? this.#find(id);
      if (known && !known.isSame(taken)) throw refusedKey(collision(taken, known, own !== null));
      this.#received.add(taken);
      const ids = [...(this.#idsOf.get(stream) ?? []).filter((one) => one !== id), id];
      for (const old of ids.splice(0, Math.max(0, ids.length - KEYS_KEPT))) this.#received.remove(old);
      this.#idsOf.set(stream, ids);
      this.#hadKeys.add(stream);
    }
  }

  #find(keyId: number): Key | null {
    const own = this.#ownKey(keyId);
    if (own) return own;
    const received = this.#received.find(keyId);
    return received && this.hasOwnKeys(received.stream) ? null : received;
  }

  #ownKey(keyId: number): Key | null {
    try {
      return this.own?.find(keyId) ?? null;
    } catch (error) {
      const name = error instanceof Error ? error.name : typeof error;
      throw refusedKey(
        `the application's keyring failed for the key id ${keyId}: find() threw ${name}; ` +
          "it is to return null for a key that it does not have",
      );
    }
  }

  // --- messages ---

  /** Opens a frame. It never rejects: an error is the result. */
  async open({ frame: { header, payload }, stream, history, place }: Arrival): Promise<Outcome> {
    try {
      const { type, flags, form = 0 } = header;
      const version = header.version as 3 | 4;
      const options: OpenOptions = { version, type, flags, form, stream, again: place !== null };
      const opener =
        history === null ? this.#openerOf(stream ?? this.#streamOf(payload)) : this.#ofHistory(history).opener;
      return await opener.open(payload, options);
    } catch (error) {
      if (error instanceof ProtocolError) return error;
      const why = `the payload cannot be opened: ${error}`;
      return new ProtocolError(ErrorCode.AUTHENTICATION_FAILED, why, { check: 8 });
    }
  }

  check(opened: Opened, data: unknown, version: 3 | 4): void {
    checkStream(opened, data, version);
  }

  take(opened: Opened, history: number | null): NotTaken | null {
    const opener = history === null ? this.#openerOf(opened.key.stream) : this.#ofHistory(history).opener;
    return opener.take(opened) as NotTaken | null;
  }

  isStale(stream: string, data: unknown): boolean {
    const timestamp = fieldOf(data, "timestamp");
    const time = timestamp instanceof Date ? timestamp.getTime() : 1000 * Number(timestamp);
    return Date.now() - time > (this.#staleAfter.get(stream) ?? STALE_AFTER);
  }

  // --- signatures ---

  get verifies(): boolean {
    return this.#verifier !== null;
  }

  requiresSignature(type: MessageType): boolean {
    return this.#required.has(type);
  }

  /** Verifies a signature or an attestation. It never rejects: an error is the result. */
  async verify(unverified: Unverified): Promise<SignedBy | ProtocolError> {
    try {
      const verifier = await (this.#verifier as Promise<Verifier>);
      const { stream, epoch, type, form, payload, trailer } = unverified;
      if (trailer) {
        const { signature, signer } = await verifier.verify(stream, type, form, joined(payload, trailer));
        return { signature, signer, digest: hexOf(await digest(stream, type, form, payload)) };
      }
      return await this.#attestationsOf(stream, epoch ?? 0).attest(epoch ?? 0, payload);
    } catch (error) {
      if (error instanceof ProtocolError) return error;
      const why = `the signature cannot be verified: ${error}`;
      return new ProtocolError(ErrorCode.AUTHENTICATION_FAILED, why, { check: 14, reason: "signature" });
    }
  }

  takeDigest(stream: string, digest: string, history: number | null): boolean {
    const had = history === null ? (this.#digests.get(stream) ?? new Set()) : this.#ofHistory(history).digests;
    if (history === null) this.#digests.set(stream, had);
    if (had.has(digest)) return false;
    had.add(digest);
    if (had.size > DIGESTS_KEPT) had.delete(had.values().next().value as string);
    return true;
  }

  noteUnsigned({ stream, epoch, number }: StreamPosition, type: MessageType, form: number, payload: Uint8Array): void {
    this.#attestationsOf(stream, epoch).add(epoch, number, digest(stream, type, form, payload));
  }

  /** Notes that the connection is lost: what waits for an attestation waits for the next one. */
  disconnected(): void {
    this.#histories.clear();
    for (const one of this.#attestations.values()) one.pause();
  }

  /** Notes that another connection begins. */
  connected(): void {
    for (const one of this.#attestations.values()) one.resume();
  }

  #attestationsOf(stream: string, epoch: number): StreamAttestations {
    let found = this.#attestations.get(stream);
    if (!found) {
      const tell = (result: Attested | Unattested) => this.onAttestation(stream, result);
      found = new StreamAttestations(this.#verifier as Promise<Verifier>, stream, epoch, tell);
      this.#attestations.set(stream, found);
    }
    found.enter(epoch);
    return found;
  }

  /** Returns the stream of the key of a payload; empty if the key is not known. */
  #streamOf(payload: Uint8Array): string {
    if (payload.length < 4) return "";
    return this.#find(new DataView(payload.buffer, payload.byteOffset).getUint32(0))?.stream ?? "";
  }

  #openerOf(stream: string): Opener {
    let opener = this.#openers.get(stream);
    if (!opener) {
      opener = new Opener(this.#keyring);
      this.#openers.set(stream, opener);
    }
    return opener;
  }
}

function refusedKey(why: string): ProtocolError {
  return new ProtocolError(ErrorCode.AUTHENTICATION_FAILED, why, { check: 12, reason: "key" });
}

function collision(taken: Key, known: Key, isOwn: boolean): string {
  const where = isOwn ? "the application's keyring has it" : "the server has handed it out";
  const wayOut = "give every stream key of the server an id of its own";
  return (
    `the key id ${taken.id} of the stream "${taken.stream}" is that of another key already: ${where} for the stream ` +
    `"${known.stream}"; ${isOwn ? `remove the key ${taken.id} from that keyring, or ` : ""}${wayOut}`
  );
}
