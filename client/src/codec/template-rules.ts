/**
 * The rules for the fields of a STREAM_TEMPLATE (check 12): a template of records, or the opening of a stream.
 *
 * Both the messages that the codec decodes and the payloads that `Template` reads are checked by these rules.
 */
import { ProtocolError } from "../errors.js";
import {
  ErrorCode,
  LARGEST_SEQUENCE,
  LARGEST_TEMPLATE,
  MAX_STREAM_NAME,
  MAX_TEMPLATE_PAYLOAD,
  MAX_TEMPLATE_ROWS,
  MAX_TEMPLATE_VALUES,
  TEMPLATE_DTYPES,
} from "../protocol.js";
import { fieldOf, isMap } from "./fields.js";
import type { Key } from "./map-keys.js";
import { Reader } from "./messagepack-reader.js";
import { findDType, NdArray } from "./ndarray.js";
import { pathText } from "./path.js";
import type { RareValues } from "./rare-values.js";
import { integerWithin, isFiniteNumber, type Rule, type Rules, wrongField } from "./rules.js";

type Fields = Readonly<Record<string, unknown>> | ReadonlyMap<Key, unknown>;

/** Fields of an ECG_DATA message that a record carries itself. */
export const RECORD_FIELDS: readonly string[] = ["signal", "stream", "timestamp", "sequence"];
const NAME = "STREAM_TEMPLATE";
const SMALLEST_SCALE = 1e-100;
const LARGEST_SCALE = 1e100;

const STREAM: Rule = [`a name of 1 to ${MAX_STREAM_NAME} characters`, isName];

/** Required fields of a template, in the order of the checks. */
const OF_TEMPLATE: Rules = {
  template: integerWithin(1, LARGEST_TEMPLATE),
  stream: STREAM,
  dtype: [`one of ${TEMPLATE_DTYPES.join(", ")}`, (value) => (TEMPLATE_DTYPES as readonly unknown[]).includes(value)],
  rows: integerWithin(0, MAX_TEMPLATE_ROWS),
  fields: ["a map of what every message holds, whose keys are text", isTextMap],
};
/** Required fields of an opening. It has no others. */
const OF_OPENING: Rules = { template: integerWithin(0, 0), stream: STREAM, epoch: integerWithin(1, LARGEST_SEQUENCE) };
/** Optional fields of a template, for integer dtypes only. */
const DEPENDENT = ["missing", "scale"] as const;
const OPTIONAL = ["dtype", "rows", "fields", ...DEPENDENT, "epoch"];
const FACTOR: Rule = ["a number from 1e-100 to 1e100", isFactor];
/** Rules for fields that convert counts to floats, if samples may be missing. */
const PER_LEAD: Rules = {
  gain: [
    "a finite number other than 0, as samples may be missing",
    (value) => isFiniteNumber(value) && Number(value) !== 0,
  ],
  baseline: ["a finite number, as samples may be missing", isFiniteNumber],
};

/**
 * Decodes and validates the payload of a STREAM_TEMPLATE. A nil in an optional field counts as absent.
 *
 * @param check `checkStreamTemplate`; or `checkTemplate`, which does not accept openings
 * @param rare what reads rare values
 * @throws ProtocolError check 12: a required field is missing (0x201), a field is invalid (0x200), or there are more
 *   than 4,096 bytes or 256 values (0x102); check 11: the payload is not valid MessagePack
 */
export function readTemplate(payload: Uint8Array, check: typeof checkTemplate, rare: RareValues): Fields {
  if (payload.length > MAX_TEMPLATE_PAYLOAD) {
    throw tooLarge(`${payload.length} bytes`, `${MAX_TEMPLATE_PAYLOAD} bytes`);
  }
  const floats = new Set<Key>();
  const reader = new Reader(payload, rare, floats);
  const data = reader.onlyValue();
  if (!isMap(data)) throw wrongField(NAME, [], "a map of fields");
  if (reader.values > MAX_TEMPLATE_VALUES) throw tooLarge(`${reader.values} values`, `${MAX_TEMPLATE_VALUES} values`);
  const fields = withoutNil(data);
  check(fields, floats);
  return fields;
}

/**
 * Validates the fields of a STREAM_TEMPLATE: of an opening if its number is 0, otherwise of a template.
 *
 * @param floats fields that were encoded as floats; JavaScript cannot tell 1.0 from 1
 * @throws ProtocolError check 12: a required field is missing (0x201), or a field is invalid (0x200)
 */
export function checkStreamTemplate(data: Fields, floats: ReadonlySet<Key>): void {
  if (fieldOf(data, "template") !== 0 || floats.has("template")) {
    checkTemplate(data, floats);
    return;
  }
  checkFields(data, OF_OPENING, floats);
  for (const name of [...Object.keys(OF_TEMPLATE), ...DEPENDENT]) {
    if (isThere(data, name) && !Object.hasOwn(OF_OPENING, name)) {
      throw wrongField(NAME, [name], "left out of an opening (template 0)");
    }
  }
}

/** Validates the fields of a template, with a number of 1 or more. Throws like `checkStreamTemplate`. */
export function checkTemplate(data: Fields, floats: ReadonlySet<Key>): void {
  checkFields(data, OF_TEMPLATE, floats);
  const fields = fieldOf(data, "fields") as Fields;
  for (const name of RECORD_FIELDS) {
    if (isThere(fields, name)) throw wrongField(NAME, ["fields", name], "left to each record");
  }
  const dtype = fieldOf(data, "dtype") as string;
  for (const name of DEPENDENT) {
    if (!isThere(data, name)) continue;
    if (findDType(dtype)?.kind === "float") throw wrongField(NAME, [name], `left out where the dtype is ${dtype}`);
    if (name === "missing") checkMissing(data, dtype, floats);
    else checkScale(fieldOf(data, name));
  }
  if (isThere(data, "epoch")) throw wrongField(NAME, ["epoch"], "left out of a template");
  if (!isThere(data, "missing")) return;
  for (const name of Object.keys(PER_LEAD)) checkPerLead(fields, name, (fieldOf(data, "rows") as number) || 1);
}

/** Returns gain or baseline as a number for each lead; undefined if the fields of the template lack it. */
export function perLead(fields: Fields, name: string, leads: number): number[] | undefined {
  if (!isThere(fields, name)) return undefined;
  const value = fieldOf(fields, name);
  const numbers: readonly unknown[] = entriesOf(value) ?? Array(leads).fill(value);
  return numbers.map(Number);
}

function checkFields(data: Fields, rules: Rules, floats: ReadonlySet<Key>): void {
  const lacking = Object.keys(rules).filter((name) => !isThere(data, name));
  if (lacking.length) {
    const text = `${NAME} lacks ${lacking.join(" and ")}`;
    throw new ProtocolError(ErrorCode.MISSING_REQUIRED_FIELDS, text, { check: 12, path: pathText([]) });
  }
  for (const [name, [expected, accepts]] of Object.entries(rules)) {
    // None of these fields may be a float.
    if (floats.has(name) || !accepts(fieldOf(data, name))) throw wrongField(NAME, [name], expected);
  }
}

function checkMissing(data: Fields, dtype: string, floats: ReadonlySet<Key>): void {
  const { min, max } = findDType(dtype) as NonNullable<ReturnType<typeof findDType>>;
  const [expected, accepts] = integerWithin(min, max);
  if (floats.has("missing") || !accepts(fieldOf(data, "missing"))) throw wrongField(NAME, ["missing"], expected);
}

function checkScale(scale: unknown): void {
  const isPair = isMap(scale) && sizeOf(scale) === 2 && isThere(scale, "mul") && isThere(scale, "div");
  if (!isPair) throw wrongField(NAME, ["scale"], 'a map of "mul" and "div", without other keys');
  const [expected, accepts] = FACTOR;
  for (const name of ["mul", "div"])
    if (!accepts(fieldOf(scale, name))) throw wrongField(NAME, ["scale", name], expected);
}

/** Checks that a field is a number, or has one number for each lead in a list or an array of one dimension. */
function checkPerLead(fields: Fields, name: string, leads: number): void {
  if (!isThere(fields, name)) return;
  const value = fieldOf(fields, name);
  const entries = entriesOf(value);
  if (entries && entries.length !== leads)
    throw wrongField(NAME, ["fields", name], `a number, or one for each of ${leads} leads`);
  const [expected, accepts] = PER_LEAD[name];
  (entries ?? [value]).forEach((entry, at) => {
    if (!accepts(entry))
      throw wrongField(NAME, Array.isArray(value) ? ["fields", name, at] : ["fields", name], expected);
  });
}

/** Returns the entries of a list, or of an array of one dimension that is not bool; undefined for anything else. */
function entriesOf(value: unknown): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value;
  const isRow = value instanceof NdArray && value.shape.length === 1 && value.dtype !== "bool";
  return isRow ? [...value.data] : undefined;
}

/** Removes optional fields that are nil: they count as absent. */
function withoutNil(data: Fields): Fields {
  if (!OPTIONAL.some((name) => fieldOf(data, name) === null)) return data;
  const isKept = ([name, value]: readonly [unknown, unknown]) => value !== null || !OPTIONAL.includes(name as string);
  if (data instanceof Map) return new Map([...data].filter(isKept));
  return Object.fromEntries(Object.entries(data).filter(isKept));
}

function isThere(data: unknown, name: string): boolean {
  return fieldOf(data, name) !== undefined;
}

function isTextMap(value: unknown): boolean {
  return isMap(value) && !(value instanceof Map && [...value.keys()].some((key) => typeof key !== "string"));
}

function sizeOf(map: Fields): number {
  return map instanceof Map ? map.size : Object.keys(map).length;
}

function isName(value: unknown): boolean {
  if (typeof value !== "string" || value.length > 2 * MAX_STREAM_NAME) return false;
  const { length } = [...value]; // characters as Python counts them
  return length >= 1 && length <= MAX_STREAM_NAME;
}

function isFactor(value: unknown): boolean {
  const isNumber = typeof value === "number" || typeof value === "bigint";
  return isNumber && value >= SMALLEST_SCALE && value <= LARGEST_SCALE;
}

function tooLarge(found: string, most: string): ProtocolError {
  const text = `a template of ${found}; ${most} are the most`;
  return new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, text, { check: 12 });
}
