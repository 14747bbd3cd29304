/** Decoding and validation (check 12) of STREAM_TEMPLATE and STREAM_ATTESTATION, the types of version 4. */
import { ProtocolError } from "../errors.js";
import {
  DIGEST_SIZE,
  ErrorCode,
  KEY_NAME_SIZE,
  LARGEST_SEQUENCE,
  MAX_DIGESTS,
  MessageType,
  SIGNATURE_SIZE,
} from "../protocol.js";
import { fieldOf, isMap } from "./fields.js";
import type { Key } from "./map-keys.js";
import { Reader } from "./messagepack-reader.js";
import { pathText } from "./path.js";
import type { RareValues } from "./rare-values.js";
import { integerWithin, type Rule, type Rules, wrongField } from "./rules.js";
import { checkStreamTemplate, readTemplate } from "./template-rules.js";

const NAME = "STREAM_ATTESTATION";
const TEXT: Rule = ["text", (value) => typeof value === "string"];
const EPOCH = integerWithin(1, LARGEST_SEQUENCE);

const ATTESTATION: Rules = {
  stream: TEXT,
  key: bytesOf(KEY_NAME_SIZE),
  epoch: EPOCH,
  number: EPOCH,
  last: ["true or false", (value) => typeof value === "boolean"],
  previous: bytesOf(DIGEST_SIZE),
  digests: [
    `bytes, ${DIGEST_SIZE} for each of at most ${MAX_DIGESTS}`,
    (value) =>
      value instanceof Uint8Array && value.length % DIGEST_SIZE === 0 && value.length <= DIGEST_SIZE * MAX_DIGESTS,
  ],
  signature: bytesOf(SIGNATURE_SIZE),
};

/** Returns true for the two types. The codec itself validates them, not only a session. */
export function isOfStream(type: MessageType): boolean {
  return type === MessageType.STREAM_TEMPLATE || type === MessageType.STREAM_ATTESTATION;
}

/**
 * Decodes and validates the payload of a STREAM_TEMPLATE or STREAM_ATTESTATION. A nil in an optional field of a
 * template counts as absent.
 *
 * @param rare what reads rare values
 * @throws ProtocolError check 12: a required field is missing (0x201), a field is invalid (0x200), or a template is too
 *   large (0x102); check 11: the payload is not valid MessagePack
 */
export function readOfStream(type: MessageType, payload: Uint8Array, rare: RareValues): unknown {
  if (type === MessageType.STREAM_TEMPLATE) return readTemplate(payload, checkStreamTemplate, rare);
  const floats = new Set<Key>();
  const data = new Reader(payload, rare, floats).onlyValue();
  if (!isMap(data)) throw wrongField(NAME, [], "a map of fields");
  checkNeeds(data, Object.keys(ATTESTATION));
  checkRules(data, ATTESTATION, floats);
  return data;
}

function checkRules(data: unknown, rules: Rules, floats: ReadonlySet<Key>): void {
  for (const [name, [expected, accepts]] of Object.entries(rules)) {
    const isFloat = floats.has(name); // invalid for every field
    if (isThere(data, name) && (isFloat || !accepts(fieldOf(data, name)))) throw wrongField(NAME, [name], expected);
  }
}

function checkNeeds(data: unknown, names: readonly string[]): void {
  const missing = names.filter((name) => !isThere(data, name));
  if (!missing.length) return;
  const text = `${NAME} lacks ${missing.join(" and ")}`;
  throw new ProtocolError(ErrorCode.MISSING_REQUIRED_FIELDS, text, { check: 12, path: pathText([]) });
}

function isThere(data: unknown, name: string): boolean {
  return fieldOf(data, name) !== undefined;
}

function bytesOf(size: number): Rule {
  return [`${size} bytes`, (value) => value instanceof Uint8Array && value.length === size];
}
