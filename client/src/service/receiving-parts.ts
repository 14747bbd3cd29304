import type { Inflate } from "../codec/compression.js";
import { ControlSender } from "../codec/control-sender.js";
import type { ServiceParts } from "./parts.js";

/** Inflates once it is loaded: servers before version 4 compress, and those of version 4 only what is asked for. */
const inflating = {
  inflate: null as Inflate | null,
  async load(): Promise<void> {
    const { inflate } = await import("../codec/compression.js");
    inflating.inflate = inflate;
  },
};

/** The parts of a service that only receives plain messages. */
export const RECEIVING_PARTS: ServiceParts = {
  inflating,
  senderOf: (options) => new ControlSender(options),
  pack: null,
  fragments: null,
  Arrivals: null,
  Outbox: null,
  withoutKeys: null,
};
