/** Text that arrives from outside, as it can stand on paper and in files: on one line, and in the room that there is. */

/** The width of a text in millimetres, at a size in millimetres. */
export type Measure = (text: string, size: number, isBold?: boolean) => number;

/** What ends lines or turns the direction of writing; joiners, which names in some scripts need, are none of it. */
const UNFIT = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const ELLIPSIS = "…";
/** Share of its size to which a text is made smaller before it is cut. */
const SMALLEST = 0.75;
/** Characters that are looked at: no paper has room for more. */
const LONGEST = 1000;

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
  const needed = full.length > LONGEST ? Number.POSITIVE_INFINITY : measure(full, size, isBold);
  if (needed <= width) return { text: full, size, isCut: false };
  const smaller = Math.max(SMALLEST, width / needed) * size;
  if (needed * (smaller / size) <= width) return { text: full, size: smaller, isCut: false };
  const cut = prefix(full, (text) => measure(text + ELLIPSIS, smaller, isBold) <= width);
  return { text: cut + ELLIPSIS, size: smaller, isCut: true };
}

/** The text on as many lines as it needs, each within the width: at spaces, and where there is none, anywhere. */
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

/** The longest beginning of a text that fits, of whole characters. */
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
