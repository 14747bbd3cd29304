/**
 * What a session does beside receiving whole, plain messages. A display that only receives leaves parts out, so that its page
 * does not load them.
 */
import type { FrameSender } from "../codec/control-sender.js";
import type { pack } from "../codec/messagepack-utils.js";
import type { ProtocolHandlerOptions, Unpacking } from "../codec/protocol-handler.js";
import type { DataSending } from "./data-sending.js";
import type { Fragments } from "./fragments.js";
import type { ProtectedFrames } from "./protected-frames.js";

export interface SessionParts {
  /** Reads payloads that are compressed, or have arrays in list form. What is not there yet is loaded once such a payload arrives. */
  readonly unpacking: Unpacking & { load(): Promise<void> };
  /** Makes what encodes the frames of a version. */
  readonly senderOf: (
    options: ProtocolHandlerOptions & Required<Pick<ProtocolHandlerOptions, "version" | "maxPayload">>,
  ) => FrameSender;
  /** Packs what answers a PING; null to send back the same bytes. */
  readonly pack: typeof pack | null;
  /** Sends data messages; null to send none. */
  readonly DataSending: typeof DataSending | null;
  /** Puts fragments together; null to take none. */
  readonly Fragments: typeof Fragments | null;
  /** Opens sealed frames, and verifies signed ones; null to do neither. */
  readonly ProtectedFrames: typeof ProtectedFrames | null;
}
