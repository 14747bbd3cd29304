/** Selects the version and the capabilities that both sides support. Section "Compatibility" of the specification. */
import type { Offer } from "../codec/control-messages.js";
import { ProtocolError } from "../errors.js";
import { CAPABILITY_SINCE, Capability, ErrorCode, ONLY_ANNOUNCED, type Version } from "../protocol.js";
import type { Settings } from "./basic-settings.js";

/** A client's answer to the server's PROTOCOL_NEGOTIATION. */
export interface Choice {
  readonly version: Version;
  readonly capabilities: Capability[];
  /** Largest payload that the client takes, in bytes; from version 4 on. */
  readonly max_payload?: number;
}

/** First version whose records have filters. */
const FILTERED_SINCE = 4;

/** First version in which the answer names the largest payload. */
const ANSWERS_MAX_PAYLOAD = 4;

/**
 * Chooses the highest version and the capabilities that both sides have.
 *
 * @throws ProtocolError (0x100) no version in common
 */
export function choice(settings: Settings, offer: Offer): Choice {
  const offered = integersOf(offer.versions);
  const common = settings.versions.filter((version) => offered.includes(version));
  if (common.length === 0) {
    const text = `the server offers none of the supported versions: ${settings.versions.join(", ")}`;
    throw new ProtocolError(ErrorCode.INVALID_PROTOCOL_VERSION, text, { check: 2 });
  }
  const version = Math.max(...common) as Version;
  const capabilities = commonCapabilities(settings, offer);
  // Filters make records of version 4 small without zlib: what inflates would be loaded for little.
  if (version >= FILTERED_SINCE && settings.parts.unpacking.inflate === null)
    capabilities.delete(Capability.COMPRESSION);
  const answer = { version, capabilities: [...capabilities].sort() };
  return version < ANSWERS_MAX_PAYLOAD ? answer : { ...answer, max_payload: settings.maxPayload };
}

/** Returns the capabilities that both sides have. Unknown names are ignored. */
export function commonCapabilities(settings: Settings, offer: Offer): Set<Capability> {
  // A search in the list, not a set: a server could choose names whose hashes collide, and making a set took minutes.
  const named: readonly string[] = offer.capabilities ?? [];
  return new Set([...settings.capabilities].filter((name) => named.includes(name)));
}

/** Returns the capabilities that the version supports. */
export function usable(capabilities: Iterable<Capability>, version: Version): Set<Capability> {
  return new Set([...capabilities].filter((name) => CAPABILITY_SINCE[name] <= version));
}

/** Returns the capabilities that a peer of that version is assumed to have if it does not negotiate. */
export function implied(settings: Settings, version: Version): Set<Capability> {
  return usable(
    [...settings.capabilities].filter((name) => !ONLY_ANNOUNCED.has(name)),
    version,
  );
}

function integersOf(list: unknown): number[] {
  const items = Array.isArray(list) ? list : (list as { data: Iterable<unknown> }).data;
  return Array.from(items, Number);
}
