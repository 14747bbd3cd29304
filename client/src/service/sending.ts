/** What a service sends: messages, which wait for a connection, and the streams of its publishers. */

import { pack } from "../codec/messagepack-utils.js";
import type { Keyring } from "../codec/seal.js";
import type { SendClock } from "../codec/send-clock.js";
import { wireFields } from "../codec/wire-fields.js";
import { Flag, type MessageType } from "../protocol.js";
import type { Settings } from "../session/basic-settings.js";
import type { SessionEvent } from "../session/client-session.js";
import type { Packed } from "../session/data-sending.js";
import type { AttachedPublisher, PublisherOwner } from "./attached-publisher.js";
import { ConnectionLost } from "./backoff.js";
import type { Connection } from "./connection.js";
import { Outbox } from "./outbox.js";

/** How a message is sent. Options that the server does not support are left out, except `acknowledged`. */
export interface SendOptions {
  /** The message overtakes those that wait to be sent, as an ANOMALY_ALERT always does. */
  readonly priority?: boolean;
  /** The server passes the message to all clients, if it permits that. */
  readonly broadcast?: boolean;
  /** Wait until the application of the server has the message, and send it again if necessary; it may then get it twice. */
  readonly acknowledged?: boolean;
}

/** The service that sends. */
export interface SendingOwner {
  readonly settings: Settings;
  readonly clock: SendClock;
  /** Keys of the application; null if it has none, or the service does not seal. */
  readonly keys: Keyring | null;
  /** How many messages, and bytes of them, may wait for a connection. */
  readonly room: { readonly messages?: number; readonly bytes?: number };
  /** Null without a connection. */
  connection(): Connection | null;
  /** Returns true if the connection has negotiated. */
  isOpen(): boolean;
  isClosed(): boolean;
  /** Returns a number that no other publisher of the service has. */
  newId(): number;
  /** Reports an error that no call of the application can return. */
  report(error: Error): void;
}

const DEFAULT_ROOM = { messages: 1024, bytes: 4 * 1024 * 1024 };

export class Sending {
  readonly #owner: SendingOwner;
  readonly #outbox: Outbox;
  readonly #publishers = new Map<string, AttachedPublisher>();

  constructor(owner: SendingOwner) {
    this.#owner = owner;
    this.#outbox = new Outbox(owner.settings.acknowledgementAttempts, { ...DEFAULT_ROOM, ...owner.room });
  }

  /** Sends a data message. See `ServiceOfParts.sendMessage`. */
  send(type: MessageType, data: Readonly<Record<string, unknown>>, options: SendOptions): Promise<bigint> {
    const flags =
      (options.priority ? Flag.PRIORITY : 0) |
      (options.broadcast ? Flag.BROADCAST : 0) |
      (options.acknowledged ? Flag.ACK_REQUIRED : 0);
    const timestamp = this.#owner.clock.next();
    const attempts = this.#owner.settings.acknowledgementAttempts;
    const sent = this.#send({ type, flags, timestamp, attempts, payload: null, data: wireFields(data) });
    sent.catch((error: Error) => this.#owner.report(error));
    return sent;
  }

  #send(message: Packed): Promise<bigint> {
    const connection = this.#owner.connection();
    if (!(message.flags & Flag.ACK_REQUIRED) && connection && this.#outbox.lets(message, connection)) {
      connection.sending.send(message);
      connection.wake();
      return Promise.resolve(message.timestamp);
    }
    // In list form, which every server reads.
    const payload = pack(message.data, { maxPayload: this.#owner.settings.maxPayload });
    if (this.#owner.isClosed()) return Promise.reject(new ConnectionLost("the service is closed"));
    const sent = this.#outbox.put({ ...message, payload, data: null });
    this.#pump();
    return sent;
  }

  /** Attaches the publisher of a stream. See `ServiceOfParts.attachPublisher`. */
  attach<Attached extends AttachedPublisher>(stream: string, make: (owner: PublisherOwner) => Attached): Attached {
    if (this.#publishers.has(stream)) throw new Error(`there is a publisher of "${stream}" already`);
    const { settings, clock, keys } = this.#owner;
    const publisher = make({
      ...{ settings, clock, keys },
      id: this.#owner.newId(),
      sendMessage: (type, data, how) => this.send(type, data, how),
      report: (error) => this.#owner.report(error),
      forget: (over) => {
        if (this.#publishers.get(stream) === over) this.#publishers.delete(stream);
      },
    });
    this.#publishers.set(stream, publisher);
    const connection = this.#owner.connection();
    if (connection && this.#owner.isOpen()) publisher.connected(connection);
    return publisher;
  }

  #pump(): void {
    const connection = this.#owner.connection();
    if (!connection) return;
    this.#outbox.fill(connection);
    for (const publisher of this.#publishers.values()) publisher.pump();
    this.#owner.connection()?.wake();
  }

  // --- what the connection does ---

  /** Sends what waits over a new connection. */
  connected(connection: Connection): void {
    this.#outbox.fill(connection);
    for (const publisher of this.#publishers.values()) publisher.connected(connection);
  }

  disconnected(): void {
    for (const publisher of this.#publishers.values()) publisher.disconnected();
  }

  /** Sends more, if more waits, as the send queue of the connection is empty. */
  drained(connection: Connection): void {
    const canFill = [this.#outbox, ...this.#publishers.values()].some((waiting) => waiting.canFill(connection));
    if (canFill) queueMicrotask(() => this.#pump());
  }

  /** Notes that the server acknowledged a message. */
  acknowledged(event: Extract<SessionEvent, { kind: "acknowledged" }>): void {
    if (![...this.#publishers.values()].some((publisher) => publisher.acknowledged(event)))
      this.#outbox.acknowledged(event.timestamp);
  }

  /** Notes that the server did not acknowledge a message. */
  undelivered(event: Extract<SessionEvent, { kind: "undelivered" }>): void {
    if (![...this.#publishers.values()].some((publisher) => publisher.undelivered(event)))
      this.#outbox.undelivered(event.timestamp, event.attempts);
  }

  /** Processes an ERROR. */
  refused(event: Extract<SessionEvent, { kind: "error" }>): void {
    for (const publisher of [...this.#publishers.values()]) publisher.refused(event);
  }

  /** Notes that there will be no other connection. */
  end(error: Error): void {
    this.#outbox.end(error);
    for (const publisher of [...this.#publishers.values()]) publisher.end(error);
  }
}
