import { ControlSender } from "../codec/control-sender.js";
import type { Unpacking } from "../codec/frame-reader.js";
import type { ServiceParts } from "./parts.js";

type Changing<T> = { -readonly [Name in keyof T]: T[Name] };

/** Reads compressed payloads and rare values once that is loaded: servers before version 4 send such, those of version 4 hardly. */
const unpacking: Changing<Unpacking> & { load(): Promise<void> } = {
  inflate: null,
  rare: null,
  sha256: null,
  async load(): Promise<void> {
    const { RARE_VALUES, inflate, sha256 } = await import("../codec/unpacking.js");
    Object.assign(unpacking, { rare: RARE_VALUES, inflate, sha256 });
  },
};

/** The parts of a service that only receives plain messages. */
export const RECEIVING_PARTS: ServiceParts = {
  unpacking,
  senderOf: (options) => new ControlSender(options),
  pack: null,
  DataSending: null,
  Fragments: null,
  ProtectedFrames: null,
  Sending: null,
  withoutKeys: null,
};
