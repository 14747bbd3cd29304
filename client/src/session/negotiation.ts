/** Which version and which capabilities two sides have in common. Section "Compatibility" of the specification. */
import type { Offer } from "../codec/control-messages.js";
import { ProtocolError } from "../errors.js";
import { CAPABILITY_SINCE, type Capability, ErrorCode, ONLY_ANNOUNCED, type Version } from "../protocol.js";
import type { Settings } from "./settings.js";

/** What a client answers. */
export interface Choice {
  readonly version: Version;
  readonly capabilities: Capability[];
}

/**
 * The highest version that both speak, and the capabilities that both have.
 *
 * @throws ProtocolError 0x100 where there is no such version
 */
export function choice(settings: Settings, offer: Offer): Choice {
  const offered = integersOf(offer.versions);
  const common = settings.versions.filter((version) => offered.has(version));
  if (common.length === 0) {
    const text = `the server offers none of the versions spoken here: ${settings.versions.join(", ")}`;
    throw new ProtocolError(ErrorCode.INVALID_PROTOCOL_VERSION, text, { check: 2 });
  }
  const version = Math.max(...common) as Version;
  return { version, capabilities: [...commonCapabilities(settings, offer)].sort() };
}

/** The capabilities that both sides have; unknown names count for nothing. */
export function commonCapabilities(settings: Settings, offer: Offer): Set<Capability> {
  const named = new Set<string>(offer.capabilities ?? []);
  return new Set([...settings.capabilities].filter((name) => named.has(name)));
}

/** Those of the capabilities that the version can express. */
export function usable(capabilities: Iterable<Capability>, version: Version): Set<Capability> {
  return new Set([...capabilities].filter((name) => CAPABILITY_SINCE[name] <= version));
}

/** What a peer can be taken to understand that never negotiated, and talks in that version. */
export function implied(settings: Settings, version: Version): Set<Capability> {
  return usable(
    [...settings.capabilities].filter((name) => !ONLY_ANNOUNCED.has(name)),
    version,
  );
}

function integersOf(list: unknown): Set<number> {
  const items = Array.isArray(list) ? list : (list as { data: Iterable<unknown> }).data;
  return new Set(Array.from(items, Number));
}
