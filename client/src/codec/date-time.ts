const MINUTE = 60_000;
const DAY = 86_400_000;

// A hyphen and two digits behind a week are no day, but a separator and an hour.
const DATE = /^(\d{4})(?:-(\d\d)-(\d\d)|(\d\d)(\d\d)|(?:-W(\d\d)(?:-(\d)(?!\d))?|W(\d\d)(\d)?))/;
const TIME = /^(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d+))?)?|(\d\d)(?:(\d\d)(?:[.,](\d+))?)?)?$/;
const OFFSET = /(?:(Z)|([+-])(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6}))?)?)?)$/;

interface Moment {
  /** Milliseconds since 1970, rounded down; of a time without offset as if it were UTC. */
  readonly milliseconds: number;
  readonly microseconds: number;
  readonly aware: boolean;
}

/**
 * A date and time from the wire: a `Date` that keeps what a `Date` cannot hold, the microseconds and the offset.
 *
 * One without an offset is taken for UTC.
 */
export class DateTime extends Date {
  /** ISO 8601, as it came; sent again so. */
  readonly text: string;
  /** Microseconds beyond the `Date`'s milliseconds, 0 to 999. */
  readonly microseconds: number;
  /** Whether it came with an offset from UTC. */
  readonly aware: boolean;

  /** @throws SyntaxError where the text is no ISO 8601 date and time */
  constructor(text: string) {
    const moment = parse(text);
    super(moment.milliseconds);
    this.text = text;
    this.microseconds = moment.microseconds;
    this.aware = moment.aware;
  }
}

/** A date as it is sent: what Python's `isoformat()` would say of it. */
export function isoText(date: Date): string {
  if (date instanceof DateTime) return date.text;
  const [whole, rest] = date.toISOString().split(".");
  const milliseconds = rest.slice(0, 3);
  return milliseconds === "000" ? `${whole}+00:00` : `${whole}.${milliseconds}000+00:00`;
}

function parse(text: string): Moment {
  const date = DATE.exec(text);
  if (!date) throw new SyntaxError("not a date");
  const day = dayOf(date);
  const rest = text.slice(date[0].length);
  if (rest === "") return { milliseconds: day, microseconds: 0, aware: false };
  // Between date and time may stand any one character.
  const time = rest.slice(rest.codePointAt(0)! > 0xffff ? 2 : 1);
  const offset = OFFSET.exec(time);
  const clock = microsecondsOf(TIME.exec(offset ? time.slice(0, offset.index) : time));
  const exact = clock - (offset ? offsetOf(offset) : 0);
  const milliseconds = Math.floor(exact / 1000);
  return { milliseconds: day + milliseconds, microseconds: exact - 1000 * milliseconds, aware: offset !== null };
}

function dayOf(date: RegExpExecArray): number {
  const year = Number(date[1]);
  if (year === 0) throw new SyntaxError("there is no year 0");
  const week = date[6] ?? date[8];
  return week === undefined ? dayOfMonth(year, date) : dayOfWeek(year, Number(week), Number(date[7] ?? date[9] ?? 1));
}

function dayOfMonth(year: number, date: RegExpExecArray): number {
  const month = Number(date[2] ?? date[4]);
  const day = Number(date[3] ?? date[5]);
  const found = new Date(utc(year, month - 1, day));
  if (found.getUTCMonth() !== month - 1 || found.getUTCDate() !== day) throw new SyntaxError("no such day");
  return found.getTime();
}

/** A day of an ISO week; the first week of a year is the one with January 4th. */
function dayOfWeek(year: number, week: number, day: number): number {
  const monday = utc(year, 0, 4) - ((new Date(utc(year, 0, 4)).getUTCDay() + 6) % 7) * DAY;
  const weeks = hasWeek53(year) ? 53 : 52;
  if (week < 1 || week > weeks || day < 1 || day > 7) throw new SyntaxError("no such day");
  return monday + ((week - 1) * 7 + day - 1) * DAY;
}

function hasWeek53(year: number): boolean {
  const firstDay = new Date(utc(year, 0, 1)).getUTCDay();
  const isLeap = new Date(utc(year, 1, 29)).getUTCMonth() === 1;
  return firstDay === 4 || (isLeap && firstDay === 3);
}

/** `Date.UTC`, which takes the years up to 99 for the twentieth century's. */
function utc(year: number, month: number, day: number): number {
  return new Date(0).setUTCFullYear(year, month, day);
}

function microsecondsOf(time: RegExpExecArray | null): number {
  if (!time) throw new SyntaxError("not a time");
  const hour = Number(time[1]);
  const minute = Number(time[2] ?? time[5] ?? 0);
  const second = Number(time[3] ?? time[6] ?? 0);
  if (hour > 23 || minute > 59 || second > 59) throw new SyntaxError("no such time");
  const fraction = Number((time[4] ?? time[7] ?? "").slice(0, 6).padEnd(6, "0"));
  return ((hour * 60 + minute) * 60 + second) * 1e6 + fraction;
}

function offsetOf(offset: RegExpExecArray): number {
  if (offset[1]) return 0;
  const minutes = Number(offset[3]) * 60 + Number(offset[4] ?? 0);
  if (minutes * MINUTE >= DAY) throw new SyntaxError("no such offset");
  const size = minutes * 60e6 + Number(offset[5] ?? 0) * 1e6 + Number((offset[6] ?? "").padEnd(6, "0"));
  return offset[2] === "-" ? -size : size;
}
