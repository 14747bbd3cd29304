export { crc32 } from "./crc32.js";
export { ProtocolError } from "./errors.js";
export { DateTime, NdArray, type NdArrayForm, pack, type Samples, Uuid, unpack } from "./messagepack-utils.js";
export { Capability, CloseCode, ErrorCode, Flag, MessageType, VERSIONS, type Version } from "./protocol.js";
export {
  type Compression,
  type EncodeOptions,
  type Header,
  type Message,
  ProtocolHandler,
  type ProtocolHandlerOptions,
} from "./protocol-handler.js";
