/** Where calipers are put on the paper of a frozen screen: in the middle of a lead, under the pointer, and by keys. */

import { Calipers, type Corner, drawCalipers, samplesOf } from "./calipers.js";
import type { Canvas2D } from "./canvas.js";
import type { Layout, Panel } from "./layout.js";
import { courseOf, type Range } from "./own-scale.js";
import type { Palette } from "./palette.js";
import { pixelsPerSecond } from "./scale.js";
import type { Review } from "./screen.js";

/** A place on the paper. */
export interface Hit {
  /** Index of the panel. */
  readonly index: number;
  readonly panel: Panel;
  /** The nearest lead. */
  readonly lead: number;
}

/** Calipers in the middle of the lead of the rhythm strip; null if no panel has it. @param range of a lead that is no ECG */
export function calipersInMiddle(
  { signal, first, buffer }: Review,
  layout: Layout,
  range: Range | null,
): Calipers | null {
  const { rhythm } = signal;
  const middleOf = (panel: Panel): number => first + (panel.begin + panel.seconds / 2) * buffer.samplingRate;
  const panels = layout.panels.filter(({ traces }) => traces.some(({ lead }) => lead === rhythm));
  // Prefer the last panel that has samples.
  const panel = panels.findLast((candidate) => middleOf(candidate) < buffer.end) ?? panels[0];
  if (panel === undefined) return null;
  const half = samplesOf(10, layout.scale, buffer.samplingRate);
  const middle = Math.min(middleOf(panel), Math.max(first, buffer.end - half));
  const corner = (sample: number, value: number): Corner => ({ sample: Math.round(sample), value });
  const { low, high } = range ?? { low: 0, high: 1 };
  return new Calipers(layout.panels.indexOf(panel), rhythm, corner(middle - half, low), corner(middle + half, high));
}

/** Calipers whose corners are both at a place. */
export function calipersAt(
  { index, panel, lead }: Hit,
  x: number,
  y: number,
  review: Review,
  layout: Layout,
): Calipers {
  const corner = cornerAt(panel, lead, x, y, review, layout);
  return new Calipers(index, lead, corner, corner);
}

/** Drag the active corner to a place, within its panel. */
export function dragTo(calipers: Calipers, x: number, y: number, review: Review, layout: Layout): void {
  const panel = layout.panels[calipers.panel];
  if (panel === undefined) return;
  const inside = Math.max(panel.x, Math.min(panel.x + panel.width, x));
  calipers.place(cornerAt(panel, calipers.lead, inside, y, review, layout));
}

/** Move the active corner by millimetres of paper. */
export function moveBy(calipers: Calipers, right: number, up: number, { scale, panels }: Layout, rate: number): void {
  const samples = samplesOf(right, scale, rate);
  const trace = panels.flatMap(({ traces }) => traces).find(({ lead }) => lead === calipers.lead);
  const { own } = trace ?? {};
  calipers.move(
    Math.sign(samples) * Math.max(Math.abs(Math.round(samples)), samples === 0 ? 0 : 1),
    own === undefined ? up / scale.gain : (up * scale.millimetre) / (own.perUnit || 1),
  );
}

/** Draw calipers on a frozen screen. Returns whether a panel shows their time. */
export function drawPlaced(
  context: Canvas2D,
  calipers: Calipers,
  { first, buffer }: Review,
  layout: Layout,
  palette: Palette,
): boolean {
  const panel = panelOf(calipers, first, buffer.samplingRate, layout);
  if (panel === undefined) return false;
  const step = pixelsPerSecond(layout.scale) / buffer.samplingRate;
  const left = panel.x - panel.begin * pixelsPerSecond(layout.scale);
  drawCalipers(context, calipers, panel, layout.scale, palette, (sample) => left + (sample - first) * step);
  return true;
}

/** The panel at a place, and its nearest lead; null beside the panels. */
export function hitAt({ panels }: Layout, x: number, y: number): Hit | null {
  const index = panels.findIndex((box) => x >= box.x && x < box.x + box.width && y >= box.y && y < box.y + box.height);
  const panel = panels[index];
  if (panel === undefined) return null;
  const nearest = [...panel.traces].sort((one, other) => Math.abs(one.baseline - y) - Math.abs(other.baseline - y))[0];
  return nearest === undefined ? null : { index, panel, lead: nearest.lead };
}

/** The panel in which the calipers were placed or, if the layout has changed, the panel that covers their time. */
function panelOf(
  { panel, lead, corners, active }: Calipers,
  first: number,
  samplingRate: number,
  { panels }: Layout,
): Panel | undefined {
  const time = (corners[active].sample - first) / samplingRate;
  const fits = (candidate: Panel | undefined): candidate is Panel =>
    candidate?.traces.some((trace) => trace.lead === lead) === true &&
    time >= candidate.begin &&
    time <= candidate.begin + candidate.seconds;
  return fits(panels[panel]) ? panels[panel] : panels.find(fits);
}

function cornerAt(panel: Panel, lead: number, x: number, y: number, review: Review, { scale }: Layout): Corner {
  const trace = panel.traces.find((candidate) => candidate.lead === lead);
  if (trace === undefined) return { sample: 0, value: 0 };
  const seconds = panel.begin + (x - panel.x) / pixelsPerSecond(scale);
  const { baseline, millivolt } = courseOf(trace, scale);
  return {
    sample: Math.round(review.first + seconds * review.buffer.samplingRate),
    value: millivolt === 0 ? 0 : (baseline - y) / millivolt,
  };
}
