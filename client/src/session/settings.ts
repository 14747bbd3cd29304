import type { Compression } from "../codec/protocol-handler.js";
import { Capability, DEFAULT_MAX_PAYLOAD, HEARTBEAT_INTERVAL, VERSIONS, type Version } from "../protocol.js";

/** What this side of a conversation can do, and what it puts up with. Times are in seconds. */
export interface Settings {
  readonly versions: readonly Version[];
  readonly capabilities: ReadonlySet<Capability>;
  readonly maxPayload: number;
  readonly heartbeatInterval: number;
  readonly negotiationTimeout: number;
  readonly acknowledgementTimeout: number;
  readonly acknowledgementAttempts: number;
  readonly maxUnacknowledged: number;
  readonly queueFrames: number;
  readonly batchBytes: number;
  readonly compression: Compression | null;
}

/** The capabilities that this package has. */
export const EVERYTHING: readonly Capability[] = Object.values(Capability).filter(
  (name) => name !== Capability.ENCRYPTION,
);

export const DEFAULT_SETTINGS: Settings = {
  versions: VERSIONS,
  capabilities: new Set(EVERYTHING),
  maxPayload: DEFAULT_MAX_PAYLOAD,
  heartbeatInterval: HEARTBEAT_INTERVAL,
  negotiationTimeout: 5,
  acknowledgementTimeout: 2,
  acknowledgementAttempts: 5,
  maxUnacknowledged: 1024,
  queueFrames: 4096,
  batchBytes: 64 * 1024,
  compression: {},
};
