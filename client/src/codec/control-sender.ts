import { ProtocolError } from "../errors.js";
import { ErrorCode, HEADER_SIZES, type MessageType, type Version } from "../protocol.js";
import { packControl } from "./control-packer.js";
import { writeHeader } from "./frame-reader.js";
import type { EncodeOptions } from "./protocol-handler.js";

/** What makes the frames that a session sends. `ProtocolHandler` is one. */
export interface FrameSender {
  /** Encodes one frame. See `ProtocolHandler.encode`. */
  encode(type: MessageType, data: unknown, options?: EncodeOptions): Uint8Array<ArrayBuffer>;
  /** Encodes one frame from a packed payload. See `ProtocolHandler.frame`. */
  frame(type: MessageType, payload: Uint8Array, options?: EncodeOptions): Uint8Array<ArrayBuffer>;
}

/** Makes the frames of control messages, for a session that only receives. */
export class ControlSender implements FrameSender {
  readonly #version: Version;
  readonly #maxPayload: number;

  constructor({ version, maxPayload }: { readonly version: Version; readonly maxPayload: number }) {
    this.#version = version;
    this.#maxPayload = maxPayload;
  }

  encode(type: MessageType, data: unknown, options?: EncodeOptions): Uint8Array<ArrayBuffer> {
    return this.frame(type, packControl(data), options);
  }

  /** @throws ProtocolError 0x102: the payload is too large */
  frame(type: MessageType, payload: Uint8Array, { timestamp = 0n }: EncodeOptions = {}): Uint8Array<ArrayBuffer> {
    if (payload.length > this.#maxPayload) {
      const text = `${payload.length} bytes; the limit is ${this.#maxPayload}`;
      throw new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, text);
    }
    const size = HEADER_SIZES[this.#version];
    const frame = new Uint8Array(size + payload.length); // form, stream and sequence of version 4 are zeros
    frame.set(payload, size);
    writeHeader(frame, this.#version, type, 0, timestamp);
    return frame;
  }
}
