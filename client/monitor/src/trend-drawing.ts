/** Draws the heart rate over time, with the alerts as shapes above it, and what the paper shows as a frame. */

import type { Canvas2D } from "./canvas.js";
import { timeOfDay } from "./labels.js";
import type { Mark, Rates } from "./trend.js";
import { STEP } from "./trend.js";

export interface TrendColours {
  readonly ground: string;
  readonly line: string;
  readonly text: string;
  readonly rate: string;
  readonly band: string;
  readonly place: string;
  readonly event: string;
  readonly marks: Readonly<Record<Mark["severity"], string>>;
}

/** What is drawn; times are Unix seconds. */
export interface TrendView {
  readonly from: number;
  readonly to: number;
  readonly steps: readonly Rates[];
  readonly marks: readonly Mark[];
  /** Moments that somebody has marked. */
  readonly events: readonly number[];
  /** The time that is chosen. */
  readonly chosen: number;
  /** What the paper shows; null while it is live. */
  readonly shown: { readonly from: number; readonly to: number } | null;
}

/** Rates of the axis, in beats per minute, and those with a line. */
export const RATES = { least: 30, most: 210 };
const LINES = [60, 120, 180];
/** CSS pixels for the marks above the rates, and for the times below them. */
const HEAD = 14;
const FOOT = 14;
/** Distances between two times on the axis in seconds, and pixels that each needs. */
const DISTANCES = [30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400];
const ROOM = 70;
const FONT = "11px system-ui, sans-serif";

/** The place of a time, in CSS pixels from the left. */
export function xOf(at: number, { from, to }: Pick<TrendView, "from" | "to">, width: number): number {
  return ((at - from) / (to - from)) * width;
}

/** The place of a rate, in CSS pixels from the top. */
export function yOf(rate: number, height: number): number {
  const { least, most } = RATES;
  const share = (Math.max(least, Math.min(most, rate)) - least) / (most - least);
  return height - FOOT - share * (height - HEAD - FOOT);
}

export function drawTrend(pen: Canvas2D, view: TrendView, width: number, height: number, colours: TrendColours): void {
  pen.fillStyle = colours.ground;
  pen.fillRect(0, 0, width, height);
  pen.font = FONT;
  pen.textBaseline = "alphabetic";
  drawAxes(pen, view, width, height, colours);
  drawRates(pen, view, width, height, colours);
  for (const mark of view.marks) {
    if (mark.at >= view.from && mark.at <= view.to) drawMark(pen, mark, xOf(mark.at, view, width), colours);
  }
  for (const at of view.events)
    if (at >= view.from && at <= view.to) drawEvent(pen, xOf(at, view, width), height, colours);
  pen.fillStyle = colours.text;
  pen.fillRect(Math.round(xOf(view.chosen, view, width)), 0, 1, height);
  if (view.shown === null) return;
  const left = xOf(view.shown.from, view, width);
  pen.strokeStyle = colours.place;
  pen.lineWidth = 2;
  pen.strokeRect(left, 1, Math.max(3, xOf(view.shown.to, view, width) - left), height - 2);
}

function drawAxes(pen: Canvas2D, view: TrendView, width: number, height: number, { line, text }: TrendColours): void {
  pen.fillStyle = line;
  for (const rate of LINES) pen.fillRect(0, Math.round(yOf(rate, height)), width, 1);
  const distance =
    DISTANCES.find((each) => (each / (view.to - view.from)) * width >= ROOM) ?? (DISTANCES.at(-1) as number);
  const zone = 60 * new Date(1000 * view.to).getTimezoneOffset();
  const first = Math.ceil((view.from - zone) / distance) * distance + zone;
  for (let at = first; at < view.to; at += distance) {
    const x = Math.round(xOf(at, view, width));
    pen.fillStyle = line;
    pen.fillRect(x, HEAD, 1, height - HEAD - FOOT);
    pen.fillStyle = text;
    const words = timeOfDay(at).slice(0, distance < 60 ? 8 : 5);
    const room = pen.measureText(words).width;
    if (x - room / 2 >= 30 && x + room / 2 <= width) pen.fillText(words, x - room / 2, height - 3);
  }
  pen.fillStyle = text;
  for (const rate of LINES) pen.fillText(String(rate), 3, yOf(rate, height) - 2);
}

/** The range of the rates of each step, and their mean as a line, which is interrupted where there is no rate. */
function drawRates(pen: Canvas2D, view: TrendView, width: number, height: number, { rate, band }: TrendColours): void {
  const { steps, from, to } = view;
  const seen = steps.filter((step) => step.from + STEP >= from && step.from <= to);
  const wide = Math.max(1, xOf(from + STEP, view, width));
  pen.fillStyle = band;
  for (const step of seen) {
    const top = yOf(step.most, height);
    pen.fillRect(xOf(step.from, view, width), top, wide, Math.max(1, yOf(step.least, height) - top));
  }
  pen.beginPath();
  let before = Number.NaN;
  for (const step of seen) {
    const x = xOf(step.from + STEP / 2, view, width);
    const y = yOf(step.sum / step.count, height);
    if (step.from - before > 1.5 * STEP || Number.isNaN(before)) pen.moveTo(x - wide / 2, y);
    pen.lineTo(x + (Number.isNaN(before) ? wide / 2 : 0), y);
    before = step.from;
  }
  pen.strokeStyle = rate;
  pen.lineWidth = 1.5;
  pen.stroke();
}

/** A square for critical, a triangle for warning, a circle for info: told apart without colours. */
function drawMark(pen: Canvas2D, { severity }: Mark, x: number, { marks }: TrendColours): void {
  pen.fillStyle = marks[severity];
  pen.beginPath();
  if (severity === "critical") pen.rect(x - 5, 2, 10, 10);
  else if (severity === "info") pen.arc(x, 7, 4.5, 0, 2 * Math.PI);
  else {
    pen.moveTo(x, 2);
    pen.lineTo(x + 6, 12);
    pen.lineTo(x - 6, 12);
  }
  pen.fill();
}

/** A flag on a dashed line. */
function drawEvent(pen: Canvas2D, x: number, height: number, { event }: TrendColours): void {
  const left = Math.round(x);
  pen.fillStyle = event;
  for (let y = 1; y < height - FOOT; y += 6) pen.fillRect(left, y, 1, 3);
  pen.beginPath();
  pen.moveTo(left, 1);
  pen.lineTo(left + 9, 5.5);
  pen.lineTo(left, 10);
  pen.fill();
}
