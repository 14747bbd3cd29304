/** The fields of control messages, and their validation (check 12). An integer may be encoded as a float. */
import { ProtocolError } from "../errors.js";
import {
  ErrorCode,
  LARGEST_SEQUENCE,
  LARGEST_STREAM_ID,
  MessageType,
  TEMPLATES_IN_FORCE,
  type Version,
} from "../protocol.js";
import { fieldOf, isMap } from "./fields.js";
import { NdArray } from "./ndarray.js";
import { pathText } from "./path.js";
import { integerWithin, isFiniteNumber, type Rule, type Rules, wrongField } from "./rules.js";

/** The server's PROTOCOL_NEGOTIATION. */
export interface Offer {
  readonly versions: readonly number[];
  readonly preferred?: number;
  readonly capabilities?: readonly string[];
  readonly max_payload?: number | bigint;
  readonly heartbeat_interval?: number;
}

/** A SUBSCRIPTION_ACK. */
export interface SubscriptionAnswer {
  readonly stream: string;
  readonly status: "subscribed" | "unsubscribed" | "denied";
  readonly code?: number;
  readonly from?: number | Date;
  /** From version 4 on: the number that stands for the stream in headers. */
  readonly id?: number;
  /** From version 4 on: which numbering the stream has. */
  readonly epoch?: number;
  /** From version 4 on: number of the first message that follows. */
  readonly next?: number;
  /** From version 4 on: frames of the templates before that message. */
  readonly templates?: readonly Uint8Array[];
  /** From version 4 on, if another epoch begins: the number that would have been next in the epoch before. */
  readonly ended?: number;
  /** From version 4 on: the request for a history that this answers. */
  readonly history?: number;
  /** Of a history: the number after its last message. */
  readonly end?: number;
  /** Of a history: the time from which to ask for the rest. */
  readonly more?: number | Date;
  /** Why a subscription was denied, for a person. */
  readonly reason?: string;
  /** Keys of the stream, where `encryption` was agreed on. */
  readonly keys?: readonly AnsweredKey[];
  /** True if the answer only brings keys, without a request. */
  readonly rotation?: boolean;
}

/** A key in a SUBSCRIPTION_ACK. */
export interface AnsweredKey {
  readonly id: number;
  readonly key: Uint8Array;
  readonly begins: number | null;
  readonly ends: number | null;
}

/** The fields that an answer has besides where `encryption` was agreed on. */
export interface AnswerFields {
  readonly rules: Rules;
  /** Returns valid keys as plain objects. */
  keysOf(value: unknown): AnsweredKey[];
}

export interface ErrorBody {
  readonly code: number;
  readonly message: string;
  readonly details?: unknown;
}

export interface VersionCheck {
  readonly version: number;
  readonly compatible?: boolean;
  readonly versions?: readonly number[];
}

type Fields = Record<string, unknown>;

interface Schema {
  readonly rules: Rules;
  /** Those of the fields that version 4 adds; earlier versions ignore them. */
  readonly numbered?: Rules;
  /** Alternative sets of required fields. */
  readonly needs: readonly (readonly string[])[];
}

/** The version whose headers have stream and sequence. */
const NUMBERED_SINCE = 4;

const STATUSES: readonly unknown[] = ["subscribed", "unsubscribed", "denied"];

const TEXT: Rule = ["text", (value) => typeof value === "string"];
const INTEGER: Rule = ["an integer", isInteger];
const TIME: Rule = ["a time: finite Unix seconds or a date", (value) => value instanceof Date || isFiniteNumber(value)];
const SECONDS: Rule = ["a number of seconds above 0", (value) => isFiniteNumber(value) && (value as number) > 0];
const COUNT: Rule = ["an integer, 0 or more", (value) => isInteger(value) && (value as number) >= 0];
const TRUTH: Rule = ["true or false", (value) => typeof value === "boolean"];
const STATUS: Rule = [`one of ${STATUSES.join(", ")}`, (value) => STATUSES.includes(value)];
const ANYTHING: Rule = ["anything", () => true];
const NAMES: Rule = [
  "a list of names",
  (value) => Array.isArray(value) && value.every((item) => typeof item === "string"),
];
const INTEGERS: Rule = [
  "a list of integers",
  (value) => (Array.isArray(value) && value.every(isInteger)) || isIntegerArray(value),
];

const EPOCH = integerWithin(1, LARGEST_SEQUENCE);
/** The id of a stream, or the number of a request for a history. */
const REQUEST = integerWithin(1, LARGEST_STREAM_ID);
const FRAMES: Rule = [
  `a list of at most ${TEMPLATES_IN_FORCE} frames, as bytes`,
  (value) =>
    Array.isArray(value) && value.length <= TEMPLATES_IN_FORCE && value.every((item) => item instanceof Uint8Array),
];

const SCHEMAS: ReadonlyMap<number, Schema> = new Map<number, Schema>([
  [
    MessageType.SUBSCRIBE,
    {
      rules: { stream: TEXT, since: TIME, catch_up: SECONDS },
      numbered: { epoch: EPOCH, after: integerWithin(0, LARGEST_SEQUENCE), history: REQUEST, start: TIME, stop: TIME },
      needs: [["stream"]],
    },
  ],
  [MessageType.UNSUBSCRIBE, { rules: { stream: TEXT }, numbered: { history: REQUEST }, needs: [["stream"]] }],
  [
    MessageType.SUBSCRIPTION_ACK,
    {
      rules: { stream: TEXT, status: STATUS, code: INTEGER, from: TIME, reason: TEXT },
      numbered: {
        id: REQUEST,
        epoch: EPOCH,
        next: EPOCH,
        templates: FRAMES,
        ended: EPOCH,
        history: REQUEST,
        end: EPOCH,
        more: TIME,
      },
      needs: [["stream", "status"]],
    },
  ],
  [MessageType.ERROR, { rules: { code: INTEGER, message: TEXT, details: ANYTHING }, needs: [["code", "message"]] }],
  [
    MessageType.PROTOCOL_NEGOTIATION,
    {
      rules: {
        versions: INTEGERS,
        version: INTEGER,
        preferred: INTEGER,
        capabilities: NAMES,
        max_payload: COUNT,
        heartbeat_interval: SECONDS,
      },
      needs: [["versions"], ["version"]],
    },
  ],
  [
    MessageType.VERSION_CHECK,
    { rules: { version: INTEGER, compatible: TRUTH, versions: INTEGERS }, needs: [["version"]] },
  ],
]);

/**
 * Validates the fields of a control message, and returns those that its type defines.
 *
 * A nil in an optional field counts as absent, since packers of JavaScript encode undefined so.
 *
 * @param more fields that an answer has besides, if `encryption` was agreed on
 * @throws ProtocolError (check 12) a required field is missing (0x201), or a field is invalid (0x200)
 */
export function checkedControl(
  type: MessageType,
  data: unknown,
  version: Version,
  more: AnswerFields | null = null,
): unknown {
  const schema = SCHEMAS.get(type);
  if (!schema) return data;
  const numbered = version < NUMBERED_SINCE ? schema.rules : { ...schema.rules, ...schema.numbered };
  const rules = more && type === MessageType.SUBSCRIPTION_ACK ? { ...numbered, ...more.rules } : numbered;
  const fields = fieldsOf(type, schema, rules, data);
  if (!schema.needs.some((need) => need.every((name) => Object.hasOwn(fields, name)))) {
    const text = `${nameOf(type)} lacks ${schema.needs.map((need) => need.join(" and ")).join(" or ")}`;
    throw new ProtocolError(ErrorCode.MISSING_REQUIRED_FIELDS, text, { check: 12, path: pathText([]) });
  }
  for (const [name, [expected, accepts]] of Object.entries(rules)) {
    if (Object.hasOwn(fields, name) && !accepts(fields[name])) throw wrongField(nameOf(type), [name], expected);
  }
  if (more && fields.keys !== undefined) fields.keys = more.keysOf(fields.keys);
  return fields;
}

/** Returns the fields that the schema defines, without optional ones that are nil. Other fields are ignored. */
function fieldsOf(type: MessageType, schema: Schema, rules: Schema["rules"], data: unknown): Fields {
  if (!isMap(data)) throw wrongField(nameOf(type), [], "a map of fields");
  const fields: Fields = {};
  for (const name of Object.keys(rules)) {
    const value = fieldOf(data, name);
    const isLeftOut = value === null && !schema.needs.every((need) => need.includes(name));
    if (value !== undefined && !isLeftOut) fields[name] = value;
  }
  return fields;
}

function isInteger(value: unknown): boolean {
  return typeof value === "bigint" || Number.isSafeInteger(value);
}

function isIntegerArray(value: unknown): boolean {
  return value instanceof NdArray && value.shape.length === 1 && /int|^>[iu]/.test(value.dtype);
}

function nameOf(type: MessageType): string {
  return Object.entries(MessageType).find(([, value]) => value === type)?.[0] ?? String(type);
}
