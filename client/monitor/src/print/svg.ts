/** A drawing as SVG, in millimetres, for printing and PDF. */

import { type Drawing, FONT, type Lines, type Mark, type Writing } from "./drawing.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
/** Path units per millimetre; coordinates are rounded to whole units. */
const UNITS_PER_MM = 1000;

/** Convert a drawing to an SVG element with its size on paper. */
export function toSvg({ width, height, marks, title }: Drawing): SVGSVGElement {
  const box = `0 0 ${width} ${height}`;
  const svg = make("svg", {
    width: `${width}mm`,
    height: `${height}mm`,
    viewBox: box,
    role: "img",
    "aria-label": title,
  });
  svg.append(...marks.map(ofMark));
  return svg;
}

function ofMark(mark: Mark): SVGElement {
  if (mark.kind === "text") return ofText(mark);
  const { role } = mark;
  if (mark.kind === "area") {
    const { x, y, width, height, colour } = mark;
    return make("rect", { x, y, width, height, fill: colour, class: role });
  }
  return ofLines(mark);
}

function ofLines({ lines, width, colour, clip, role }: Lines): SVGElement {
  const path = make("path", {
    d: lines.map(data).join(""),
    transform: `scale(${1 / UNITS_PER_MM})`,
    fill: "none",
    stroke: colour,
    "stroke-width": width * UNITS_PER_MM,
    "stroke-linejoin": "round",
    class: role,
  });
  if (clip === undefined) return path;
  const { x, y, width: wide, height } = clip;
  // An inner svg element clips.
  const window = make("svg", { x, y, width: wide, height, viewBox: `${x} ${y} ${wide} ${height}` });
  window.append(path);
  return window;
}

function data(line: readonly number[]): string {
  let [x, y] = [Math.round(line[0] * UNITS_PER_MM), Math.round(line[1] * UNITS_PER_MM)];
  const parts = [`M${x} ${y}l`];
  for (let index = 2; index < line.length; index += 2) {
    const [nextX, nextY] = [Math.round(line[index] * UNITS_PER_MM), Math.round(line[index + 1] * UNITS_PER_MM)];
    parts.push(`${nextX - x} ${nextY - y} `);
    [x, y] = [nextX, nextY];
  }
  return parts.join("");
}

function ofText({ text, x, y, size, isBold, colour, anchor, role }: Writing): SVGElement {
  const made = make("text", {
    x,
    y,
    "font-family": FONT,
    "font-size": size,
    "font-weight": isBold ? 700 : 400,
    "text-anchor": anchor,
    fill: colour,
    class: role,
  });
  made.textContent = text;
  return made;
}

function make<K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Readonly<Record<string, string | number>>,
): SVGElementTagNameMap[K] {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}
