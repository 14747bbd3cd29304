/** What a service and a history need of each other. They do not import each other, so that pages without histories contain none. */
import type { Message } from "../codec/protocol-handler.js";
import type { HistoryAnswer, SessionEvent } from "../session/client-session.js";
import type { Connection } from "./connection.js";

/** An answer about a history. */
export type HistoryAnswered = Extract<SessionEvent, { kind: "answered" }> & { readonly history: HistoryAnswer };

/** What a service needs of a history. */
export interface AttachedHistory {
  /** Asks for what has not arrived. */
  connected(connection: Connection, request: number): void;
  /** Notes that the connection is lost. */
  disconnected(): void;
  /** Processes an answer. */
  answered(answer: HistoryAnswered): void;
  /** Ends it: the keys in the answer were refused. */
  fail(error: Error): void;
  /** Processes a message. */
  take(message: Message, number: number): void;
  /** Notes a message that the application does not get, such as a template. */
  passed(number: number, timestamp: bigint | null): void;
  /** Notes that a message was refused. */
  refused(number: number): void;
  /** Notes that the key of a sealed message is not known. */
  notOpened(): void;
  /** Notes that there will be no other connection. */
  closed(error: Error): void;
}

/** Where histories attach themselves: a service. */
export interface HistoryHost {
  /** Begins a history, now or with the next connection. See `history`, which calls it. */
  attachHistory(history: AttachedHistory): void;
  /** Forgets a history that is over. */
  detachHistory(history: AttachedHistory): void;
}
