/** The shapes of the priorities, so that they differ without colours. */

import type { Severity } from "../alert-history.js";

const SVG = "http://www.w3.org/2000/svg";
/** An octagon, a triangle, a circle. */
const OUTLINES: Readonly<Record<Severity, string>> = {
  critical: "M7 1h10l6 6v10l-6 6H7l-6-6V7z",
  warning: "M12 1.5 23.5 22.5H.5z",
  info: "M12 2a10 10 0 1 1 0 20 10 10 0 0 1 0-20z",
};
/** Exclamation marks: three, two, one. Only the lowest priority has an i. */
const MARKS: Readonly<Record<Severity, string>> = {
  critical: "M6.6 6h2v7.5h-2zm0 9.5h2v2h-2zM11 6h2v7.5h-2zm0 9.5h2v2h-2zM15.4 6h2v7.5h-2zm0 9.5h2v2h-2z",
  warning: "M8.9 11h1.9v5.5H8.9zm0 7h1.9v1.9H8.9zM13.2 11h1.9v5.5h-1.9zm0 7h1.9v1.9h-1.9z",
  info: "M11 10h2v7h-2zM11 6.5h2v2h-2z",
};

/** Make the shape of a priority. Its text is beside it, so it is hidden from screen readers. */
export function shape(priority: Severity): SVGElement {
  const made = document.createElementNS(SVG, "svg");
  made.setAttribute("viewBox", "0 0 24 24");
  made.setAttribute("aria-hidden", "true");
  for (const [name, path] of [
    ["outline", OUTLINES[priority]],
    ["mark", MARKS[priority]],
  ]) {
    const part = document.createElementNS(SVG, "path");
    part.setAttribute("class", name);
    part.setAttribute("d", path);
    made.append(part);
  }
  return made;
}
