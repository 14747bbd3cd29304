/** One step of a path: the key of a map or the index of a list. */
export type PathStep = string | number | bigint;

/** Path of the whole payload. */
export const ROOT = "data";

const LONGEST = 40;

/** Formats a path, as in `data["leads"][3]`. */
export function pathText(steps: Iterable<PathStep>): string {
  let text = ROOT;
  for (const step of steps) text += `[${typeof step === "string" ? quoted(step) : step}]`;
  return text;
}

/** Quotes received text for an error: without control characters, and cut to 40 characters, since errors are logged. */
export function quoted(text: string): string {
  const shown = JSON.stringify(text.slice(0, LONGEST)).slice(1, -1);
  return text.length > LONGEST ? `"${shown}…"` : `"${shown}"`;
}
