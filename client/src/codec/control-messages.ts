/** What control messages hold, and check 12 for them. Numbers of JavaScript: an integer may have come as a float. */
import { ProtocolError } from "../errors.js";
import { ErrorCode, MessageType } from "../protocol.js";
import { NdArray } from "./messagepack-utils.js";
import { pathText } from "./path.js";

/** The server's first word. */
export interface Offer {
  readonly versions: readonly number[];
  readonly preferred?: number;
  readonly capabilities?: readonly string[];
  readonly max_payload?: number | bigint;
  readonly heartbeat_interval?: number;
}

/** The server's answer to a subscription. */
export interface SubscriptionAnswer {
  readonly stream: string;
  readonly status: "subscribed" | "unsubscribed" | "denied";
  readonly code?: number;
  readonly from?: number | Date;
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

interface Rule {
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
}

interface Schema {
  readonly rules: Readonly<Record<string, Rule>>;
  /** Alternatives; one of them has to be there whole. */
  readonly needs: readonly (readonly string[])[];
}

const STATUSES: readonly unknown[] = ["subscribed", "unsubscribed", "denied"];

const TEXT: Rule = { expected: "text", accepts: (value) => typeof value === "string" };
const INTEGER: Rule = { expected: "an integer", accepts: isInteger };
const TIME: Rule = {
  expected: "a time: finite Unix seconds or a date",
  accepts: (value) => value instanceof Date || isFiniteNumber(value),
};
const SECONDS: Rule = {
  expected: "a number of seconds above 0",
  accepts: (value) => isFiniteNumber(value) && (value as number) > 0,
};
const COUNT: Rule = {
  expected: "an integer, 0 or more",
  accepts: (value) => isInteger(value) && (value as number) >= 0,
};
const TRUTH: Rule = { expected: "true or false", accepts: (value) => typeof value === "boolean" };
const STATUS: Rule = { expected: `one of ${STATUSES.join(", ")}`, accepts: (value) => STATUSES.includes(value) };
const ANYTHING: Rule = { expected: "anything", accepts: () => true };
const NAMES: Rule = {
  expected: "a list of names",
  accepts: (value) => Array.isArray(value) && value.every((item) => typeof item === "string"),
};
const INTEGERS: Rule = {
  expected: "a list of integers",
  accepts: (value) => (Array.isArray(value) && value.every(isInteger)) || isIntegerArray(value),
};

const SCHEMAS: ReadonlyMap<number, Schema> = new Map<number, Schema>([
  [MessageType.SUBSCRIBE, { rules: { stream: TEXT, since: TIME }, needs: [["stream"]] }],
  [MessageType.UNSUBSCRIBE, { rules: { stream: TEXT }, needs: [["stream"]] }],
  [
    MessageType.SUBSCRIPTION_ACK,
    { rules: { stream: TEXT, status: STATUS, code: INTEGER, from: TIME }, needs: [["stream", "status"]] },
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
 * The fields of a control message, once they are what its type says.
 *
 * A nil in a field that may be left out counts as left out, since packers of JavaScript write an undefined property so.
 *
 * @throws ProtocolError check 12: 0x201 where a required field is missing, 0x200 where one is not what it should be
 */
export function checkedControl(type: MessageType, data: unknown): unknown {
  const schema = SCHEMAS.get(type);
  if (!schema) return data;
  const fields = withoutNils(schema, fieldsOf(type, data));
  if (!schema.needs.some((need) => need.every((name) => Object.hasOwn(fields, name)))) {
    const text = `${nameOf(type)} lacks ${schema.needs.map((need) => need.join(" and ")).join(" or ")}`;
    throw new ProtocolError(ErrorCode.MISSING_REQUIRED_FIELDS, text, { check: 12, path: pathText([]) });
  }
  for (const [name, rule] of Object.entries(schema.rules)) {
    if (Object.hasOwn(fields, name) && !rule.accepts(fields[name])) throw wrong(type, [name], rule.expected);
  }
  return fields;
}

function fieldsOf(type: MessageType, data: unknown): Fields {
  const isFields = data !== null && typeof data === "object" && Object.getPrototypeOf(data) === Object.prototype;
  if (!isFields && !(data instanceof Map)) throw wrong(type, [], "a map of fields");
  return data instanceof Map
    ? Object.fromEntries([...data].filter(([key]) => typeof key === "string"))
    : (data as Fields);
}

function withoutNils(schema: Schema, fields: Fields): Fields {
  const isLeftOut = (name: string) =>
    fields[name] === null && Object.hasOwn(schema.rules, name) && !schema.needs.every((need) => need.includes(name));
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !isLeftOut(name)));
}

function wrong(type: MessageType, where: readonly string[], expected: string): ProtocolError {
  const path = pathText(where);
  const text = `${nameOf(type)}: ${path} must be ${expected}`;
  return new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, text, { check: 12, path });
}

function isInteger(value: unknown): boolean {
  return typeof value === "bigint" || Number.isSafeInteger(value);
}

function isFiniteNumber(value: unknown): boolean {
  return typeof value === "bigint" || Number.isFinite(value);
}

function isIntegerArray(value: unknown): boolean {
  return value instanceof NdArray && value.shape.length === 1 && /int|^>[iu]/.test(value.dtype);
}

function nameOf(type: MessageType): string {
  return Object.entries(MessageType).find(([, value]) => value === type)?.[0] ?? String(type);
}
