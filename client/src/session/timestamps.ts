/** Timestamps of the header (microseconds since 1970), and the times of payloads. */
import { ExactDate } from "../codec/exact-date.js";
import { LARGEST_TIMESTAMP } from "../protocol.js";

/** A time in a payload: Unix seconds or a date. */
export type Moment = number | bigint | Date;

/** The last microsecond of the year 9999. */
const END_OF_DATES = 253_402_300_799_999_999n;

/** Converts a time to whole microseconds since 1970, clamped to the range of a 64-bit timestamp. */
export function microseconds(time: Moment): bigint {
  if (time instanceof Date) {
    return clamped(BigInt(time.getTime()) * 1000n + BigInt(time instanceof ExactDate ? time.microseconds : 0));
  }
  if (typeof time === "bigint") return clamped(time * 1_000_000n);
  // Clamp before the multiplication: it would turn a large number into infinity, which has no bigint.
  return clamped(BigInt(Math.round(Math.min(Math.max(time, 0), Number(LARGEST_TIMESTAMP)) * 1e6)));
}

/** Converts a timestamp in microseconds to Unix seconds, as payloads have them. */
export function seconds(timestamp: bigint): number {
  return Number(timestamp) / 1e6;
}

/** Converts a timestamp to a date, exact to the microsecond. Times after the year 9999 become its last microsecond. */
export function dateTime(timestamp: bigint): ExactDate {
  const moment = timestamp < END_OF_DATES ? timestamp : END_OF_DATES;
  const whole = new Date(Number(moment / 1_000_000n) * 1000).toISOString().slice(0, "2026-01-01T00:00:00".length);
  const fraction = String(moment % 1_000_000n).padStart(6, "0");
  const text = `${whole}${fraction === "000000" ? "" : `.${fraction}`}+00:00`;
  return new ExactDate(Number(moment / 1000n), Number(moment % 1000n), text);
}

function clamped(timestamp: bigint): bigint {
  if (timestamp < 0n) return 0n;
  return timestamp > LARGEST_TIMESTAMP ? LARGEST_TIMESTAMP : timestamp;
}
