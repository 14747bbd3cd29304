/**
 * A server of version 4 in virtual time: streams with epochs, numbers and a ring, and sockets that hold what is sent until
 * the test delivers it.
 */
import { onTestFinished, vi } from "vitest";
import {
  type Gap,
  type Message,
  type MessageType,
  ProtocolHandler,
  type ServiceOptions,
  type StreamMessage,
  type Subscription,
  WebSocketBinaryService,
} from "../src/index.js";
import type { WebSocketConstructor, WebSocketLike } from "../src/service/connection.js";
import { offer, STREAM, V4 } from "./v4-peer.js";

const codec = new ProtocolHandler();

/** One connection: what the client sends is heard at once, what it receives waits for the test. */
export class VirtualSocket implements WebSocketLike {
  binaryType = "";
  readyState = 0;
  readonly bufferedAmount = 0;
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly heard: Message<Record<string, unknown>>[] = [];

  send(data: Uint8Array<ArrayBuffer>): void {
    this.heard.push(...(codec.decodeAll(data.slice()) as Iterable<Message<Record<string, unknown>>>));
  }

  close(code = 1000, reason = ""): void {
    this.#end(code, reason);
  }

  terminate(): void {
    this.readyState = 3;
  }

  /** Breaks the connection. */
  cut(): void {
    this.#end(1006, "");
  }

  #end(code: number, reason: string): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code, reason } as never);
  }

  get isOpen(): boolean {
    return this.readyState === 1;
  }

  /** Opens, and offers those versions. */
  open(versions?: readonly number[]): void {
    this.readyState = 1;
    this.onopen?.({} as never);
    this.deliver(offer(versions && { versions, preferred: Math.max(...versions) }));
  }

  deliver(frame: Uint8Array<ArrayBuffer>): void {
    this.onmessage?.({ data: frame.slice().buffer } as never);
  }

  /** The messages of a type that the client has sent since the last call. */
  take(type: MessageType): Record<string, unknown>[] {
    const found = this.heard.filter((message) => message.type === type).map(({ data }) => data);
    const others = this.heard.filter((message) => message.type !== type);
    this.heard.splice(0, Number.POSITIVE_INFINITY, ...others);
    return found;
  }
}

/** What the application of a client sees: its messages and its gaps, in order. */
export type Seen = { readonly message: StreamMessage } | { readonly gap: Gap };

/** A client of a virtual server, in virtual time. Closed at the end of the test. */
export class VirtualClient {
  readonly service: WebSocketBinaryService;
  readonly seen: Seen[] = [];
  readonly errors: Error[] = [];
  readonly subscriptions: Subscription[] = [];
  readonly #sockets: VirtualSocket[] = [];

  constructor(options: ServiceOptions = {}, onMessage: (message: StreamMessage) => unknown = () => {}) {
    const sockets = this.#sockets;
    const WebSocket = class extends VirtualSocket {
      constructor() {
        super();
        sockets.push(this);
      }
    } as unknown as WebSocketConstructor;
    this.service = new WebSocketBinaryService({ versions: V4, WebSocket, ...options });
    this.service.on("error", ({ error }) => this.errors.push(error));
    const subscription = this.service.subscribe(
      STREAM,
      (message) => {
        this.seen.push({ message });
        return onMessage(message);
      },
      { onGap: (gap) => this.seen.push({ gap }) },
    );
    this.subscriptions.push(subscription);
    this.service.connect("ws://virtual").catch(() => {});
  }

  /** The connection that the client has opened last. It opens one if it waits before it reconnects. */
  get socket(): VirtualSocket {
    if (this.service.state === "reconnecting") this.service.reconnect();
    return this.#sockets.at(-1) as VirtualSocket;
  }

  /** The numbers in the data of the messages, and the lengths of the gaps as "lost n". */
  get told(): unknown[] {
    return this.seen.map((seen) => ("gap" in seen ? `lost ${seen.gap.frames ?? "?"}` : seen.message.sequence));
  }
}

/** Makes time stand still until the test lets it pass. */
export function virtualTime(): void {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
}
