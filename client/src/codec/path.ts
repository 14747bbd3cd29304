/** A step into a message: a map's key or a list's index. */
export type PathStep = string | number | bigint;

const LONGEST = 40;

/** The way from the message's root through map keys and indices, as in `data["leads"][3]`. */
export function pathText(steps: Iterable<PathStep>): string {
  let text = "data";
  for (const step of steps) text += `[${typeof step === "string" ? quoted(step) : step}]`;
  return text;
}

/** Text from the wire as an error may show it: it ends up in logs, so no control characters and no novels. */
export function quoted(text: string): string {
  const shown = JSON.stringify(text.slice(0, LONGEST)).slice(1, -1);
  return text.length > LONGEST ? `"${shown}…"` : `"${shown}"`;
}
