import type { Decompressor } from "../codec/decompressor.js";
import type { Compression } from "../codec/protocol-handler.js";
import {
  CAPABILITY_SINCE,
  Capability,
  DEFAULT_MAX_PAYLOAD,
  HEARTBEAT_INTERVAL,
  SESSION_VERSIONS,
  type Version,
} from "../protocol.js";
import type { SessionParts } from "./parts.js";

/** Versions, capabilities, limits and intervals of this side. Times are in seconds. */
export interface Settings {
  /** Those that may be agreed on: the highest that the server has as well. Version 4 needs one that negotiates. */
  readonly versions: readonly Version[];
  readonly capabilities: ReadonlySet<Capability>;
  readonly maxPayload: number;
  readonly heartbeatInterval: number;
  readonly negotiationTimeout: number;
  readonly acknowledgementTimeout: number;
  readonly acknowledgementAttempts: number;
  readonly maxUnacknowledged: number;
  readonly queueFrames: number;
  /** Bytes that may wait to be sent, or to be acknowledged, before messages of the application wait. One frame may be larger. */
  readonly queueBytes: number;
  readonly batchBytes: number;
  readonly compression: Compression | null;
  readonly decompressors: readonly Decompressor[];
  readonly parts: SessionParts;
}

const NUMBERED_SINCE = 4;

/** Capabilities of version 4 that this package supports. */
const OF_STREAMS: readonly Capability[] = [Capability.TEMPLATES, Capability.DELTA, Capability.FRAGMENTS];

/** Returns the capabilities that this package supports in those versions. */
export function supported(versions: readonly Version[]): Capability[] {
  const latest = Math.max(...versions);
  return Object.values(Capability).filter((name) => {
    if (CAPABILITY_SINCE[name] >= NUMBERED_SINCE) return latest >= NUMBERED_SINCE && OF_STREAMS.includes(name);
    return name !== Capability.ENCRYPTION;
  });
}

/** The settings by default, without parts. */
export const BASIC_SETTINGS: Omit<Settings, "parts"> = {
  versions: SESSION_VERSIONS,
  capabilities: new Set(supported(SESSION_VERSIONS)),
  maxPayload: DEFAULT_MAX_PAYLOAD,
  heartbeatInterval: HEARTBEAT_INTERVAL,
  negotiationTimeout: 5,
  acknowledgementTimeout: 2,
  acknowledgementAttempts: 5,
  maxUnacknowledged: 1024,
  queueFrames: 4096,
  queueBytes: 4 * 1024 * 1024,
  batchBytes: 64 * 1024,
  compression: {},
  decompressors: [],
};
