/** The attestations of one stream: which of its messages a signer has attested. */
import { AttestationBook, type Attested, Signature, type Unattested, type Verifier } from "../codec/signing.js";
import type { SignedBy } from "../session/arrivals.js";
import { now } from "./connection.js";

/** Milliseconds between two looks at what is not attested in time. */
const LOOK = 1000;

const NOBODY: SignedBy = { signature: Signature.UNKNOWN_SIGNER, signer: new Uint8Array(0), digest: null };

export class StreamAttestations {
  readonly #verifier: Promise<Verifier>;
  readonly #stream: string;
  readonly #tell: (found: Attested | Unattested) => void;
  #book: AttestationBook | null = null;
  #epoch: number;
  #before: number | null = null;
  /** What was added, in order: the digest of a message has to be known before an attestation names it. */
  #queue: Promise<unknown> = Promise.resolve();
  #late: number[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;

  constructor(
    verifier: Promise<Verifier>,
    stream: string,
    epoch: number,
    tell: (found: Attested | Unattested) => void,
  ) {
    this.#verifier = verifier;
    this.#stream = stream;
    this.#epoch = epoch;
    this.#tell = tell;
  }

  /** Notes the epoch of the next message. Messages of the one before may still arrive, and are not attested any more. */
  enter(epoch: number): void {
    if (epoch === this.#epoch || epoch === this.#before) return;
    this.#before = this.#epoch;
    this.#epoch = epoch;
    this.#then(async () => this.#noteLate((await this.#opened()).begin(epoch)));
  }

  /** Notes a message without a trailer. */
  add(epoch: number, number: number, digest: Promise<Uint8Array>): void {
    digest.catch(() => {}); // the queue gets the error
    this.#then(async () => {
      if (epoch !== this.#epoch) return;
      this.#noteLate((await this.#opened()).add(number, await digest, now()));
    });
    this.#lookLater();
  }

  /**
   * Takes the payload of an attestation. One of the epoch before changes nothing.
   *
   * @throws ProtocolError as `AttestationBook.attest`
   */
  async attest(epoch: number, payload: Uint8Array): Promise<SignedBy> {
    if (epoch !== this.#epoch) return NOBODY;
    const found = await this.#then(async () => (await this.#opened()).attest(payload, now()));
    for (const one of found) {
      if (one.kind === "attested") this.#tell(one);
      else this.#noteLate(one);
    }
    const attested = found.find((one) => one.kind === "attested");
    if (!attested) return NOBODY;
    return { signature: Signature.VALID, signer: attested.signer, digest: null };
  }

  /** Lets what waits wait anew, as another connection begins: its attestation may come over that. */
  resume(): void {
    this.#then(async () => this.#book?.waitAnew(now()));
    this.#lookLater();
  }

  /** Stops looking for what is not attested, as the connection is lost, until `resume` is called. */
  pause(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Forgets everything, as the subscription has ended. */
  end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  async #opened(): Promise<AttestationBook> {
    this.#book ??= new AttestationBook(await this.#verifier, this.#stream, this.#epoch);
    return this.#book;
  }

  #then<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#queue.then(work);
    this.#queue = done.catch(() => {});
    return done;
  }

  #noteLate(found: Unattested | null): void {
    if (found) this.#late.push(...found.numbers);
  }

  /** Tells what is not attested in time, once a second for all messages. */
  #lookLater(): void {
    if (this.#timer !== undefined || this.#isOver) return;
    this.#timer = setTimeout(() => void this.#look(), LOOK);
    (this.#timer as { unref?: () => void }).unref?.();
  }

  async #look(): Promise<void> {
    this.#timer = undefined;
    const waiting = await this.#then(async () => {
      const book = await this.#opened();
      this.#noteLate(book.expire(now()));
      return book.waiting;
    }).catch(() => 0);
    if (this.#isOver) return;
    const numbers = this.#late.splice(0).sort((a, b) => a - b);
    if (numbers.length) this.#tell({ kind: "unattested", numbers });
    if (waiting) this.#lookLater();
  }
}
