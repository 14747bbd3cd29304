import { ControlSender } from "../codec/control-sender.js";
import type { Unpacking } from "../codec/frame-reader.js";
import type { ServiceParts } from "./parts.js";

type Changing<T> = { -readonly [Name in keyof T]: T[Name] };

/** Reads compressed payloads and lists once that is loaded: servers before version 4 send such, those of version 4 hardly. */
const unpacking: Changing<Unpacking> & { load(): Promise<void> } = {
  inflate: null,
  SampleReader: null,
  async load(): Promise<void> {
    const { SampleReader, inflate } = await import("../codec/unpacking.js");
    Object.assign(unpacking, { SampleReader, inflate });
  },
};

/** The parts of a service that only receives plain messages. */
export const RECEIVING_PARTS: ServiceParts = {
  unpacking,
  senderOf: (options) => new ControlSender(options),
  pack: null,
  DataSending: null,
  Reassembly: null,
  ProtectedFrames: null,
  Sending: null,
  withoutKeys: null,
};
