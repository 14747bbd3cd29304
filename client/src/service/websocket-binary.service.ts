import { ALL_SERVICE_PARTS } from "./all-parts.js";
import { ServiceOfParts, type ServiceOptions } from "./service-of-parts.js";

export { Capability, CloseCode, ErrorCode, Flag, MessageType } from "../protocol.js";
export type { SendOptions } from "./sending.js";
export type {
  Negotiated,
  ServiceEvents,
  ServiceOptions,
  ServiceState,
  Statistics,
} from "./service-of-parts.js";

/**
 * A client of one server.
 *
 * It reconnects when a connection is lost, and the subscriptions resume: each message arrives once and in order, and lost
 * messages are reported.
 */
export class WebSocketBinaryService extends ServiceOfParts {
  constructor(options: ServiceOptions = {}) {
    super(options, ALL_SERVICE_PARTS);
  }
}
