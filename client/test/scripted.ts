/** A server that follows a script, over a real WebSocket. */
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import type { DeferredFrame } from "../src/codec/protocol-handler.js";
import {
  type EncodeOptions,
  Flag,
  type Header,
  type Message,
  MessageType,
  ProtocolError,
  ProtocolHandler,
} from "../src/index.js";

const OFFER = {
  versions: [1, 2, 3],
  preferred: 3,
  capabilities: ["compression", "timestamps", "priority", "broadcast", "ack", "ndarray-bin", "batch"],
  max_payload: 1 << 20,
  heartbeat_interval: 15,
};

export type Script = (talk: Talk) => Promise<void>;

/** One connection, frame by frame. */
export class Talk {
  version: 1 | 2 | 3 = 1;
  closed: Promise<number>;
  /** Sealed frames that were received. */
  readonly sealed: DeferredFrame[] = [];
  readonly #socket: WebSocket;
  readonly #handler = new ProtocolHandler({ compression: null });
  readonly #messages: Message[] = [];
  #wake: () => void = () => {};

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "nodebuffer";
    socket.on("message", (data: Buffer) => {
      const reading = { defers: ({ flags }: Header) => (flags & Flag.ENCRYPTED) !== 0 };
      for (const { item, deferred } of this.#handler.frames(Uint8Array.from(data), undefined, undefined, reading)) {
        if (item instanceof ProtocolError) throw item;
        if (item) this.#messages.push(item);
        if (deferred) this.sealed.push(deferred);
      }
      this.#wake();
    });
    this.closed = new Promise((resolve) => socket.on("close", (code) => resolve(code)));
  }

  frame(type: MessageType, data: unknown, options: EncodeOptions = {}): Uint8Array<ArrayBuffer> {
    return this.#handler.encode(type, data, { version: this.version, ...options });
  }

  say(type: MessageType, data: unknown, options: EncodeOptions = {}): void {
    this.sendBytes(this.frame(type, data, options));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#socket.send(bytes);
  }

  sendText(text: string): void {
    this.#socket.send(text);
  }

  /** Receives the next message of that type; others are skipped, and PINGs answered. */
  hear(type: MessageType): Promise<Message<Record<string, unknown>>> {
    return this.hearAny([type]);
  }

  /** Receives the next message of one of those types. */
  async hearAny(types: readonly MessageType[]): Promise<Message<Record<string, unknown>>> {
    for (;;) {
      const message = this.#messages.shift();
      if (!message) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      } else if (types.includes(message.type)) {
        return message as Message<Record<string, unknown>>;
      } else if (message.type === MessageType.PING) {
        this.say(MessageType.PONG, message.data);
      }
    }
  }

  async negotiate(more: Record<string, unknown> = {}): Promise<Message<Record<string, unknown>>> {
    this.say(MessageType.PROTOCOL_NEGOTIATION, { ...OFFER, ...more }, { version: 1 });
    const answer = await this.hear(MessageType.PROTOCOL_NEGOTIATION);
    this.version = answer.data.version as 1 | 2 | 3;
    return answer;
  }

  /** Receives SUBSCRIBE and grants it. */
  async grant(more: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    const { data } = await this.hear(MessageType.SUBSCRIBE);
    this.say(MessageType.SUBSCRIPTION_ACK, { stream: data.stream, status: "subscribed", ...more });
    return data;
  }

  ecg(number: number, options: EncodeOptions = {}): void {
    this.say(MessageType.ECG_DATA, { signal: [number], sampling_rate: 250, stream: "ecg/1" }, options);
  }

  /** Reads nothing more. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  cut(): void {
    this.#socket.terminate();
  }

  close(code: number): void {
    this.#socket.close(code);
  }

  /** Sends nothing until the client closes the connection. */
  async stay(): Promise<void> {
    await this.closed;
  }
}

/** A server whose first connection follows the first script, and so on. A connection is cut behind its script. */
export class ScriptedServer {
  readonly url: string;
  readonly #server: WebSocketServer;
  readonly #failures: unknown[] = [];
  #running: Promise<void>[] = [];

  private constructor(server: WebSocketServer, scripts: Script[]) {
    this.#server = server;
    this.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws`;
    const following = scripts.values();
    server.on("connection", (socket) => {
      const script = following.next().value;
      if (script) this.#running.push(this.#follow(script, new Talk(socket)));
      else socket.close(1013);
    });
  }

  static async of(...scripts: Script[]): Promise<ScriptedServer> {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    await new Promise((resolve) => server.on("listening", resolve));
    return new ScriptedServer(server, scripts);
  }

  async #follow(script: Script, talk: Talk): Promise<void> {
    try {
      await script(talk);
    } catch (error) {
      this.#failures.push(error);
    }
    talk.cut();
  }

  /** Ends the server, and throws the error of a script. */
  async end(): Promise<void> {
    for (const socket of this.#server.clients) socket.terminate();
    await new Promise((resolve) => this.#server.close(resolve));
    if (this.#failures.length) throw this.#failures[0];
  }
}
