/** Text that arrives from outside, as it can stand on paper and in files: on one line, and in the room that there is. */

/** The width of a text in millimetres, at a size in millimetres. */
export type Measure = (text: string, size: number, isBold?: boolean) => number;

/** What ends lines or turns the direction of writing; joiners, which names in some scripts need, are none of it. */
const UNFIT = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const ELLIPSIS = "…";
/** Share of its size to which a text is made smaller before it is cut. */
const SMALLEST = 0.75;

/** The text on one line, with `\ufffd` for each character that could break it or its order. */
export function clean(text: string): string {
  return text.replace(UNFIT, "\ufffd");
}

export interface Fitted {
  readonly text: string;
  /** Millimetres. */
  readonly size: number;
  readonly isCut: boolean;
}

/** The text at the size at which it fits into a width, smaller or cut where it has to be. Lengths are millimetres. */
export function fitText(text: string, width: number, size: number, measure: Measure, isBold = false): Fitted {
  const full = clean(text);
  const needed = full.length > 1000 ? Number.POSITIVE_INFINITY : measure(full, size, isBold);
  if (needed <= width) return { text: full, size, isCut: false };
  const smaller = Math.max(SMALLEST, width / needed) * size;
  if (needed * (smaller / size) <= width) return { text: full, size: smaller, isCut: false };
  const characters = Array.from(full.slice(0, 1000));
  let [fits, fitsNot] = [0, characters.length];
  while (fitsNot - fits > 1) {
    const middle = (fits + fitsNot) >> 1;
    if (measure(characters.slice(0, middle).join("") + ELLIPSIS, smaller, isBold) <= width) fits = middle;
    else fitsNot = middle;
  }
  return { text: characters.slice(0, fits).join("") + ELLIPSIS, size: smaller, isCut: true };
}

/** The text on as many lines as it needs, each within the width: at spaces, and where there is none, anywhere. */
export function wrap(text: string, width: number, size: number, measure: Measure): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of clean(text).split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line !== "" && measure(longer, size) > width) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line].map((each) => fitText(each, width, size, measure).text);
}

const two = (value: number): string => String(value).padStart(2, "0");

/** The date of Unix seconds where the reader is: `2026-11-28`. */
export function day(seconds: number): string {
  const date = new Date(seconds * 1000);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** The time of day of Unix seconds where the reader is, to the millisecond: `23:28:33.125`. */
export function timeOfDay(seconds: number): string {
  const date = new Date(Math.round(seconds * 1000));
  const milliseconds = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${milliseconds}`;
}

/** How far the reader's clock is from UTC at that time: `UTC+01:00`. */
export function zone(seconds: number): string {
  const minutes = -new Date(seconds * 1000).getTimezoneOffset();
  const size = Math.abs(minutes);
  return `UTC${minutes < 0 ? "−" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** How long a time is, in words: `24 s`, `3 min`, `5 h`, `12 days`. */
export function span(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}
