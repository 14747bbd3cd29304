import { DateTime } from "../codec/date-time.js";
import { LARGEST_TIMESTAMP } from "../protocol.js";

/** Moments: on the wire Unix seconds or a date, inside whole microseconds since 1970, as version 3 headers have them. */
export type Moment = number | bigint | Date;

/** The last microsecond of the year 9999. */
const END_OF_DATES = 253_402_300_799_999_999n;

/** The moment in whole microseconds since 1970; what a 64-bit timestamp cannot say becomes the nearest that it can. */
export function microseconds(time: Moment): bigint {
  if (time instanceof Date) {
    return clamped(BigInt(time.getTime()) * 1000n + BigInt(time instanceof DateTime ? time.microseconds : 0));
  }
  if (typeof time === "bigint") return clamped(time * 1_000_000n);
  // Bounded before it is multiplied: a number near its limit would become infinite.
  return clamped(BigInt(Math.round(Math.min(Math.max(time, 0), Number(LARGEST_TIMESTAMP)) * 1e6)));
}

/** The moment in Unix seconds, as it stands in payloads. */
export function seconds(timestamp: bigint): number {
  return Number(timestamp) / 1e6;
}

/** The moment as a date, to the microsecond. One beyond the year 9999, which no date can say, becomes its end. */
export function dateTime(timestamp: bigint): DateTime {
  const moment = timestamp < END_OF_DATES ? timestamp : END_OF_DATES;
  const whole = new Date(Number(moment / 1_000_000n) * 1000).toISOString().slice(0, "2026-01-01T00:00:00".length);
  const fraction = String(moment % 1_000_000n).padStart(6, "0");
  return new DateTime(`${whole}${fraction === "000000" ? "" : `.${fraction}`}+00:00`);
}

function clamped(timestamp: bigint): bigint {
  if (timestamp < 0n) return 0n;
  return timestamp > LARGEST_TIMESTAMP ? LARGEST_TIMESTAMP : timestamp;
}
