import type { SessionParts } from "../session/parts.js";
import type { withoutKeys } from "./answered-keys.js";
import type { Outbox } from "./outbox.js";

/** What a service does beside receiving, with what its sessions do. */
export interface ServiceParts extends SessionParts {
  /** The messages that wait for a connection; null to send none. */
  readonly Outbox: typeof Outbox | null;
  /** Takes the keys of sealed streams out of what a log sees; null where none is asked for. */
  readonly withoutKeys: typeof withoutKeys | null;
}
