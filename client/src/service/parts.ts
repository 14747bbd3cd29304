import type { SessionParts } from "../session/parts.js";
import type { withoutKeys } from "./answered-keys.js";
import type { Sending } from "./sending.js";

/** What a service does beside receiving, with what its sessions do. */
export interface ServiceParts extends SessionParts {
  /** Sends messages and publishes; null to do neither. */
  readonly Sending: typeof Sending | null;
  /** Takes the keys of sealed streams out of what a log sees; null where none is asked for. */
  readonly withoutKeys: typeof withoutKeys | null;
}
