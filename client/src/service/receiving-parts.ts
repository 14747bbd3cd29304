import { ControlSender } from "../codec/control-sender.js";
import type { Unpacking } from "../codec/frame-reader.js";
import type { ServiceParts } from "./parts.js";

type Changing<T> = { -readonly [Name in keyof T]: T[Name] };

/**
 * Reads compressed payloads and arrays once that is loaded: servers before version 4 send such, and those of version 4 only
 * what is asked for, and arrays that are no records.
 */
const unpacking: Changing<Unpacking> & { load(): Promise<void> } = {
  inflate: null,
  ArrayReader: null,
  async load(): Promise<void> {
    const { ArrayReader, inflate } = await import("../codec/unpacking.js");
    Object.assign(unpacking, { ArrayReader, inflate });
  },
};

/** The parts of a service that only receives plain messages. */
export const RECEIVING_PARTS: ServiceParts = {
  unpacking,
  senderOf: (options) => new ControlSender(options),
  pack: null,
  fragments: null,
  ProtectedFrames: null,
  Outbox: null,
  withoutKeys: null,
};
