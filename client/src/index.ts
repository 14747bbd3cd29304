export { crc32 } from "./crc32.js";
export { type EcgData, ecgData, physicalValues } from "./ecg-data.js";
export { ProtocolError } from "./errors.js";
export { type Beat, HeartDetector, type HeartStatus, Rhythm, SignalQuality } from "./features/index.js";
export { DateTime, NdArray, type NdArrayForm, pack, type Samples, Uuid, unpack } from "./messagepack-utils.js";
export type { Gap } from "./place.js";
export {
  Capability,
  CloseCode,
  ErrorCode,
  Flag,
  HEADER_SIZES,
  MessageType,
  VERSIONS,
  type Version,
} from "./protocol.js";
export {
  type Compression,
  type EncodeOptions,
  type Header,
  type Message,
  ProtocolHandler,
  type ProtocolHandlerOptions,
} from "./protocol-handler.js";
export { ConnectionLost, NotAcknowledged } from "./reconnection.js";
export type {
  StreamCallback,
  StreamMessage,
  SubscribeOptions,
  Subscription,
  SubscriptionStatus,
} from "./subscription.js";
export {
  type Negotiated,
  type SendOptions,
  type ServiceEvents,
  type ServiceOptions,
  type ServiceState,
  type Statistics,
  WebSocketBinaryService,
} from "./websocket-binary.service.js";
