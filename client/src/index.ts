export { crc32 } from "./codec/crc32.js";
export type { Decompressor } from "./codec/decompressor.js";
export { type EcgData, ecgData, type Id, physicalValues } from "./codec/ecg-data.js";
export { type ExactCounts, ExactSamples } from "./codec/exact.js";
export { lz4 } from "./codec/lz4.js";
export {
  DateTime,
  NdArray,
  type NdArrayForm,
  type PackOptions,
  pack,
  type Samples,
  Uuid,
  unpack,
} from "./codec/messagepack-utils.js";
export {
  type Compression,
  type DeferredFrame,
  type EncodeOptions,
  type Frame,
  type FrameBook,
  type Header,
  type Message,
  ProtocolHandler,
  type ProtocolHandlerOptions,
  type RecordContent,
  type RecordTemplate,
  type TemplateBook,
} from "./codec/protocol-handler.js";
export {
  type Content,
  type DecodedRecord,
  type EncodeRecordOptions,
  type RecordDType,
  type RecordFields,
  recordContent,
  type Scale,
  Template,
  type TemplateContent,
  templateKey,
} from "./codec/record.js";
export {
  checkStream,
  Key,
  type Keyring,
  keysFromJson,
  NotOpened,
  type Opened,
  Opener,
  type OpenOptions,
  ReplayWindow,
  type SealedHeader,
  Sealer,
  StoredKeys,
  type StoredKeysOptions,
} from "./codec/seal.js";
export {
  type Attestation,
  AttestationBook,
  type Attested,
  Attester,
  digest,
  keyName,
  Signature,
  type Signed,
  SigningKey,
  type Unattested,
  Verifier,
} from "./codec/signing.js";
export { type ErrorPlace, ProtocolError } from "./errors.js";
export {
  type Beat,
  HeartDetector,
  type HeartStatus,
  type PacingSpike,
  Rhythm,
  SignalQuality,
} from "./features/index.js";
export {
  Algorithm,
  Capability,
  CloseCode,
  ErrorCode,
  Flag,
  Form,
  HEADER_SIZES,
  MessageType,
  SESSION_VERSIONS,
  VERSIONS,
  type Version,
} from "./protocol.js";
export type { Asked } from "./service/access.js";
export type { AttachedHistory, HistoryAnswered, HistoryHost } from "./service/attached-history.js";
export type {
  AttachedPublisher,
  PublishedOptions,
  PublisherHost,
  PublisherOwner,
} from "./service/attached-publisher.js";
export { type BackoffOptions, ConnectionLost } from "./service/backoff.js";
export type { WebSocketConstructor, WebSocketLike } from "./service/connection.js";
export type { Gap } from "./service/cursor.js";
export { History, type HistoryRange, history } from "./service/history.js";
export { NotAcknowledged } from "./service/not-acknowledged.js";
export {
  type Lost,
  Publisher,
  type PublisherStatistics,
  type PublisherStatus,
  type PublishOptions,
  publisher,
} from "./service/publisher.js";
export { Sealing, type SealingOptions } from "./service/sealing.js";
export type {
  StreamCallback,
  StreamMessage,
  SubscribeOptions,
  Subscription,
  SubscriptionStatus,
} from "./service/subscription.js";
export {
  type Negotiated,
  type SendOptions,
  type ServiceEvents,
  type ServiceOptions,
  type ServiceState,
  type Statistics,
  WebSocketBinaryService,
} from "./service/websocket-binary.service.js";
export type { SealCounts, SignatureCounts } from "./session/stream-seals.js";
