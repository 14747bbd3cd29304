/** Texts from outside, cleaned for paper and files, and fitted to the room. */

/** The width of a text in millimetres, at a size in millimetres. */
export type Measure = (text: string, size: number, isBold?: boolean) => number;

/** Characters that end lines or change the direction of writing; not joiners, which some scripts need. */
const UNFIT = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const ELLIPSIS = "…";
/** Share of its size to which a text is shrunk before it is cut. */
const SMALLEST = 0.75;
/** Number of characters that are used: no paper has room for more. */
const LONGEST = 1000;

/** Replace characters that end lines or change the direction of writing by `\ufffd`. */
export function clean(text: string): string {
  return text.replace(UNFIT, "\ufffd");
}

export interface Fitted {
  readonly text: string;
  /** Millimetres. */
  readonly size: number;
  readonly isCut: boolean;
}

/** Fit a text into a width: shrink it, then cut it. Lengths are in millimetres. */
export function fitText(text: string, width: number, size: number, measure: Measure, isBold = false): Fitted {
  const full = clean(text);
  const needed = full.length > LONGEST ? Number.POSITIVE_INFINITY : measure(full, size, isBold);
  if (needed <= width) return { text: full, size, isCut: false };
  const smaller = Math.max(SMALLEST, width / needed) * size;
  if (needed * (smaller / size) <= width) return { text: full, size: smaller, isCut: false };
  const cut = prefix(full, (text) => measure(text + ELLIPSIS, smaller, isBold) <= width);
  return { text: cut + ELLIPSIS, size: smaller, isCut: true };
}

/** Break a text into lines of that width: at spaces, or anywhere in words that are too long. */
export function wrap(text: string, width: number, size: number, measure: Measure): string[] {
  const lines: string[] = [];
  let line = "";
  for (let word of shortened(clean(text)).split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (measure(longer, size) <= width) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    while (word.length > 1 && measure(word, size) > width) {
      const part = prefix(word, (start) => measure(start, size) <= width) || word.slice(0, 1);
      lines.push(part);
      word = word.slice(part.length);
    }
    line = word;
  }
  return [...lines, line];
}

/** The longest prefix of a text that fits, in whole characters. */
function prefix(text: string, fits: (start: string) => boolean): string {
  const characters = Array.from(text.slice(0, LONGEST));
  let [most, tooMany] = [0, characters.length + 1];
  while (tooMany - most > 1) {
    const middle = (most + tooMany) >> 1;
    if (fits(characters.slice(0, middle).join(""))) most = middle;
    else tooMany = middle;
  }
  return characters.slice(0, most).join("");
}

function shortened(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}… (${text.length} characters)` : text;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** Format Unix seconds as local date: `2026-11-28`. */
export function day(seconds: number): string {
  const date = new Date(seconds * 1000);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** Format Unix seconds as local time of day: `23:28:33.125`. */
export function timeOfDay(seconds: number): string {
  const date = new Date(Math.round(seconds * 1000));
  const milliseconds = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${milliseconds}`;
}

/** Format the offset of the local time from UTC at that time: `UTC+01:00`. */
export function zone(seconds: number): string {
  const minutes = -new Date(seconds * 1000).getTimezoneOffset();
  const size = Math.abs(minutes);
  return `UTC${minutes < 0 ? "−" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** Format a duration: `24 s`, `3 min`, `5 h`, `12 days`. */
export function span(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}
