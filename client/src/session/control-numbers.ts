/**
 * The ranges of numbers in control messages, in addition to the rule of each field.
 *
 * Sessions calculate with these numbers: times become microseconds of 64 bits, intervals become timers. So NaN, negative
 * and huge numbers are refused like any other invalid field.
 */
import { fieldOf } from "../codec/fields.js";
import { pathText } from "../codec/path.js";
import { ProtocolError } from "../errors.js";
import { ErrorCode, LARGEST_EXACT_FLOAT, LARGEST_TIMESTAMP, LATEST_MOMENT, MessageType } from "../protocol.js";

/** The longest heartbeat interval that a peer may announce, in seconds: about thirty years. */
const LONGEST_ANNOUNCED = 1e9;

/** Checks the numbers of a control message. @throws ProtocolError (check 12) a number is out of range */
export function checkNumbers(type: MessageType, data: unknown): void {
  switch (type) {
    case MessageType.SUBSCRIBE:
      requireMoment(data, "since");
      break;
    case MessageType.SUBSCRIPTION_ACK:
      requireMoment(data, "from");
      break;
    case MessageType.ERROR:
      checkNotice(fieldOf(data, "details"));
      break;
    case MessageType.PROTOCOL_NEGOTIATION:
      checkOffer(data);
      break;
    case MessageType.PONG:
      for (const field of ["ack", "lost", "next", "ping", "sent"]) {
        const value = fieldOf(data, field);
        if (isNumeric(value)) require(isWithin(value, LARGEST_TIMESTAMP), "a number of 64 bits, 0 or more", field);
      }
  }
}

/** Checks the details of an ERROR that is a drop notice. */
function checkNotice(details: unknown): void {
  const dropped = fieldOf(details, "dropped");
  if (dropped === undefined) return;
  require(isCount(dropped), "a number of frames", "details", "dropped");
  for (const field of ["from", "to"]) requireMoment(details, field, "details");
}

function checkOffer(data: unknown): void {
  const interval = fieldOf(data, "heartbeat_interval");
  const bytes = fieldOf(data, "max_payload");
  if (isNumeric(interval))
    require(interval > 0 && interval <= LONGEST_ANNOUNCED, `at most ${LONGEST_ANNOUNCED} s`, "heartbeat_interval");
  if (isNumeric(bytes)) require(isCount(bytes), `at most ${LARGEST_EXACT_FLOAT} bytes`, "max_payload");
}

export function requireMoment(data: unknown, field: string, ...above: string[]): void {
  const value = fieldOf(data, field);
  if (value === undefined || (value === null && above.length === 0)) return;
  const fits =
    value instanceof Date
      ? value.getTime() >= 0
      : isNumeric(value) && Number.isFinite(Number(value)) && value >= 0 && value < LATEST_MOMENT;
  require(fits, "a moment from 1970 to 9999", ...above, field);
}

function isNumeric(value: unknown): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

function isCount(value: unknown): boolean {
  return (typeof value === "bigint" || Number.isInteger(value)) && isWithin(value as number, LARGEST_EXACT_FLOAT);
}

function isWithin(value: number | bigint, most: number | bigint): boolean {
  return value >= 0 && value <= most; // false for NaN
}

function require(fits: boolean, expected: string, ...where: string[]): void {
  if (fits) return;
  const path = pathText(where);
  const place = { check: 12, path };
  throw new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, `${path} must be ${expected}`, place);
}
