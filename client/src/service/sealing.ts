/**
 * Opens sealed streams for a service. A page that watches plain streams only does not import it, and has nothing of it in
 * its bundle.
 */
import type { AnsweredKey } from "../codec/control-messages.js";
import { fieldOf } from "../codec/fields.js";
import { checkStream, Key, type Keyring, type Opened, Opener, type OpenOptions, StoredKeys } from "../codec/seal.js";
import { ProtocolError } from "../errors.js";
import { Capability, ErrorCode } from "../protocol.js";
import type { Arrival, Outcome } from "../session/arrivals.js";
import type { NotTaken, StreamSeals } from "../session/stream-seals.js";

/** Milliseconds after which a sealed message counts as stale. */
const STALE_AFTER = 90_000;
/** Keys of one stream from answers that are kept; the oldest is forgotten. */
const KEYS_KEPT = 16;

export interface SealingOptions {
  /**
   * Keys of the application. The keys that a server hands out are ignored for streams that have keys here, so that the
   * server needs none: these streams may be sealed from end to end.
   */
  readonly keyring?: Keyring;
  /** Milliseconds by the local clock after which a message is marked as stale; 90,000 by default. */
  readonly staleAfter?: number;
}

/**
 * Lets a service watch sealed streams: `new WebSocketBinaryService({ sealing: new Sealing() })`.
 *
 * It needs WebCrypto, which browsers offer to pages that were loaded over TLS, or from localhost. Elsewhere the service does
 * without it, and servers deny it sealed streams.
 */
export class Sealing {
  readonly #options: SealingOptions;

  /** @throws RangeError if `staleAfter` is not above 0 */
  constructor(options: SealingOptions = {}) {
    if (options.staleAfter !== undefined && !(options.staleAfter > 0))
      throw new RangeError("staleAfter is a number of milliseconds above 0");
    this.#options = options;
  }

  /** The capabilities that a service with it can announce; none without WebCrypto. */
  get capabilities(): readonly Capability[] {
    return globalThis.crypto?.subtle === undefined ? [] : [Capability.ENCRYPTION];
  }

  /** Used by a service, once: the state of its sealed streams. Null without WebCrypto. */
  attach(): SealedStreams | null {
    return this.capabilities.length === 0 ? null : new SealedStreams(this.#options);
  }
}

/** The keys of a service, and what was received with them. */
export class SealedStreams implements StreamSeals {
  readonly #own: Keyring | null;
  readonly #staleAfter: number;
  /** Keys that answers brought, and their ids by stream. */
  readonly #received = new StoredKeys();
  readonly #idsOf = new Map<string, number[]>();
  /** Streams that the application has subscribed to as sealed. */
  readonly #subscribed = new Set<string>();
  /** Streams of which a key was received; also after their subscription has ended. */
  readonly #hadKeys = new Set<string>();
  /** By stream; each has the replay window of the present subscription. */
  readonly #openers = new Map<string, Opener>();

  constructor({ keyring, staleAfter = STALE_AFTER }: SealingOptions) {
    this.#own = keyring ?? null;
    this.#staleAfter = staleAfter / 1000;
  }

  // --- what subscriptions tell ---

  /** Notes that a subscription begins: it has received nothing yet. @param isSealed whether plain messages are refused */
  begin(stream: string, isSealed: boolean): void {
    this.#openers.delete(stream);
    if (isSealed) this.#subscribed.add(stream);
  }

  /** Notes that a subscription has ended. */
  end(stream: string): void {
    this.#openers.delete(stream);
    this.#subscribed.delete(stream);
    for (const id of this.#idsOf.get(stream) ?? []) this.#received.remove(id);
    this.#idsOf.delete(stream);
  }

  // --- keys ---

  isSealed(stream: string): boolean {
    return this.#subscribed.has(stream) || this.#hadKeys.has(stream) || this.hasOwnKeys(stream);
  }

  hasOwnKeys(stream: string): boolean {
    try {
      return (this.#own?.current(stream) ?? null) !== null;
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
      const known = this.#find(id);
      if (known && !known.isSame(taken))
        throw new ProtocolError(ErrorCode.AUTHENTICATION_FAILED, `the stream key ${id} is another one already`, {
          check: 12,
          reason: "key",
        });
      this.#received.add(taken);
      const ids = [...(this.#idsOf.get(stream) ?? []).filter((one) => one !== id), id];
      for (const old of ids.splice(0, Math.max(0, ids.length - KEYS_KEPT))) this.#received.remove(old);
      this.#idsOf.set(stream, ids);
      this.#hadKeys.add(stream);
    }
  }

  #find(keyId: number): Key | null {
    const own = this.#own?.find(keyId) ?? null;
    if (own) return own;
    const received = this.#received.find(keyId);
    return received && this.hasOwnKeys(received.stream) ? null : received;
  }

  // --- messages ---

  /** Opens a frame. It never rejects: an error is the result. */
  async open({ frame: { header, payload }, stream, place }: Arrival): Promise<Outcome> {
    try {
      const { type, flags, form = 0 } = header;
      const version = header.version as 3 | 4;
      const options: OpenOptions = { version, type, flags, form, stream, again: place !== null };
      return await this.#openerOf(stream ?? this.#streamOf(payload)).open(payload, options);
    } catch (error) {
      if (error instanceof ProtocolError) return error;
      const why = `the payload cannot be opened: ${error}`;
      return new ProtocolError(ErrorCode.AUTHENTICATION_FAILED, why, { check: 8 });
    }
  }

  check(opened: Opened, data: unknown, version: 3 | 4): void {
    checkStream(opened, data, version);
  }

  take(opened: Opened): NotTaken | null {
    return this.#openerOf(opened.key.stream).take(opened) as NotTaken | null;
  }

  isStale(data: unknown): boolean {
    const timestamp = fieldOf(data, "timestamp");
    const seconds = timestamp instanceof Date ? timestamp.getTime() / 1000 : Number(timestamp);
    return Date.now() / 1000 - seconds > this.#staleAfter;
  }

  /** Returns the stream of the key of a payload; empty if the key is not known. */
  #streamOf(payload: Uint8Array): string {
    if (payload.length < 4) return "";
    return this.#find(new DataView(payload.buffer, payload.byteOffset).getUint32(0))?.stream ?? "";
  }

  #openerOf(stream: string): Opener {
    let opener = this.#openers.get(stream);
    if (!opener) {
      opener = new Opener({ current: () => null, find: (keyId) => this.#find(keyId) });
      this.#openers.set(stream, opener);
    }
    return opener;
  }
}
