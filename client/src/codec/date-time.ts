import { DATETIME_SPELLING } from "../protocol.js";
import { ExactDate } from "./exact-date.js";

interface Moment {
  /** Milliseconds since 1970, rounded down. A time without offset counts as UTC. */
  readonly milliseconds: number;
  readonly microseconds: number;
  readonly aware: boolean;
}

/**
 * A date and time as received: a `Date` that also keeps the microseconds and the offset.
 *
 * A time without offset is interpreted as UTC.
 */
export class DateTime extends ExactDate {
  /** True if the text has an offset from UTC. */
  readonly aware: boolean;

  /**
   * @param text as in 2024-01-15T10:30:45.123456+00:00. The time, its seconds, the decimals and the offset are
   *   optional; `Z` is an offset of 0
   * @throws SyntaxError the text is not such a date
   */
  constructor(text: string) {
    const moment = parse(text);
    super(moment.milliseconds, moment.microseconds, text);
    this.aware = moment.aware;
  }
}

function parse(text: string): Moment {
  const found = DATETIME_SPELLING.exec(text);
  if (!found) throw new SyntaxError("not a date");
  const [, year, month, day, hour, minute, second, decimals, zulu, sign, ...offset] = found;
  const clock = secondsOf(hour, minute, second) * 1e6 + millionths(decimals);
  const ahead = secondsOf(offset[0], offset[1], offset[2]) * 1e6 + millionths(offset[3]);
  const exact = clock - (sign === "-" ? -ahead : ahead);
  const milliseconds = Math.floor(exact / 1000);
  return {
    milliseconds: dayOf(Number(year), Number(month), Number(day)) + milliseconds,
    microseconds: exact - 1000 * milliseconds,
    aware: zulu !== undefined || sign !== undefined,
  };
}

/** Returns midnight of a day, in milliseconds since 1970. */
function dayOf(year: number, month: number, day: number): number {
  if (year === 0) throw new SyntaxError("there is no year 0");
  // `Date.UTC` would interpret the years 0 to 99 as 1900 to 1999.
  const found = new Date(new Date(0).setUTCFullYear(year, month - 1, day));
  if (found.getUTCDate() !== day) throw new SyntaxError("no such day");
  return found.getTime();
}

function secondsOf(hours = "0", minutes = "0", seconds = "0"): number {
  return (Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds);
}

/** Returns the decimals of a second in microseconds. Decimals beyond the sixth are ignored. */
function millionths(decimals = ""): number {
  return Number(decimals.slice(0, 6).padEnd(6, "0"));
}
