/**
 * What a service and a publisher need of each other. They do not import each other, so that pages that only watch contain
 * nothing of publishing.
 */
import type { Keyring } from "../codec/seal.js";
import type { SendClock } from "../codec/send-clock.js";
import type { MessageType } from "../protocol.js";
import type { Settings } from "../session/basic-settings.js";
import type { SessionEvent } from "../session/client-session.js";
import type { Connection } from "./connection.js";

/** How one message is published. */
export interface PublishedOptions {
  /** The message overtakes those that wait to be sent, as an ANOMALY_ALERT always does. */
  readonly priority?: boolean;
  /** Wait until the server has the message. */
  readonly acknowledged?: boolean;
}

/** What a publisher needs of the service. */
export interface PublisherOwner {
  readonly settings: Settings;
  readonly clock: SendClock;
  /** Keys of the application; null if it has none, or the service does not seal. */
  readonly keys: Keyring | null;
  /** Of the stream in the headers of its frames. */
  readonly id: number;
  /** Sends a message over a connection to a server before version 4. */
  sendMessage(type: MessageType, data: Readonly<Record<string, unknown>>, options: PublishedOptions): Promise<bigint>;
  /** Reports an error that no call of the application can return. */
  report(error: Error): void;
  /** Forgets a publisher that is over. */
  forget(publisher: AttachedPublisher): void;
}

/** What a service needs of a publisher. */
export interface AttachedPublisher {
  /** Notes that there is a connection whose version is known. */
  connected(connection: Connection): void;
  /** Notes that the connection is lost. */
  disconnected(): void;
  /** Notes that the server acknowledged a message. Returns whether it is one of this publisher. */
  acknowledged(event: Extract<SessionEvent, { kind: "acknowledged" }>): boolean;
  /** Notes that the server did not acknowledge a message. Returns whether it is one of this publisher. */
  undelivered(event: Extract<SessionEvent, { kind: "undelivered" }>): boolean;
  /** Processes an ERROR. */
  refused(event: Extract<SessionEvent, { kind: "error" }>): void;
  /** Notes that nothing more is sent. */
  end(failure: Error): void;
  /** Sends what waits, as far as the send queue has room. */
  pump(): void;
  /** Returns true if messages wait that the send queue has room for. */
  canFill(connection: Connection): boolean;
}

/** Where publishers attach themselves: a service. */
export interface PublisherHost {
  /** Attaches the publisher of a stream. See `publisher`, which calls it. */
  attachPublisher<Attached extends AttachedPublisher>(
    stream: string,
    make: (owner: PublisherOwner) => Attached,
  ): Attached;
}
