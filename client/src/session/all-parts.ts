import { inflate } from "../codec/compression.js";
import { pack } from "../codec/messagepack-utils.js";
import { ProtocolHandler } from "../codec/protocol-handler.js";
import { RARE_VALUES } from "../codec/rare-values.js";
import { sha256 } from "../codec/sha256.js";
import { DataSending } from "./data-sending.js";
import { Fragments } from "./fragments.js";
import type { SessionParts } from "./parts.js";
import { ProtectedFrames } from "./protected-frames.js";

/** The parts of a session that publishes, opens and verifies. */
export const ALL_PARTS: SessionParts = {
  unpacking: { inflate, rare: RARE_VALUES, sha256, load: () => Promise.resolve() },
  senderOf: (options) => new ProtocolHandler(options),
  pack,
  DataSending,
  Fragments,
  ProtectedFrames,
};
