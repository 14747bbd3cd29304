/** Calipers: two corners of a box on the paper, and what lies between them in milliseconds and millivolts. */

import type { Panel } from "./layout.js";
import type { Palette } from "./palette.js";
import { millivolt, type Scale, second } from "./scale.js";

/** A corner, in the signal's own measures: so it stays where it is when the paper scrolls. */
export interface Corner {
  readonly sample: number;
  readonly millivolts: number;
}

export interface Measure {
  readonly milliseconds: number;
  readonly millivolts: number;
  /** So many of these intervals in a minute; NaN where it is too short to be one. */
  readonly perMinute: number;
}

/** Milliseconds from which an interval may be one between beats. */
const SHORTEST_INTERVAL = 200;

export class Calipers {
  /** The row on which they lie. */
  panel = 0;
  lead = 0;
  /** Which corner the keys move. */
  active: 0 | 1 = 1;
  corners: readonly [Corner, Corner];

  constructor(panel: number, lead: number, first: Corner, second: Corner) {
    this.panel = panel;
    this.lead = lead;
    this.corners = [first, second];
  }

  /** Move the corner that is active. */
  move(samples: number, millivolts: number): void {
    const corner = this.corners[this.active];
    this.place({ sample: corner.sample + samples, millivolts: corner.millivolts + millivolts });
  }

  /** Put the corner that is active somewhere. */
  place(corner: Corner): void {
    this.corners = this.active === 0 ? [corner, this.corners[1]] : [this.corners[0], corner];
  }

  /** The other corner becomes the active one. */
  swap(): void {
    this.active = this.active === 0 ? 1 : 0;
  }

  measure(samplingRate: number): Measure {
    const [first, last] = this.corners;
    const milliseconds = (Math.abs(last.sample - first.sample) * 1000) / samplingRate;
    return {
      milliseconds,
      millivolts: last.sample < first.sample ? first.millivolts - last.millivolts : last.millivolts - first.millivolts,
      perMinute: milliseconds >= SHORTEST_INTERVAL ? 60_000 / milliseconds : Number.NaN,
    };
  }
}

/** As people read it: `412 ms · 146/min · 0.85 mV`. */
export function describe(measure: Measure): string {
  const rate = Number.isNaN(measure.perMinute) ? "" : ` · ${Math.round(measure.perMinute)}/min`;
  return `${Math.round(measure.milliseconds)} ms${rate} · ${signed(measure.millivolts)} mV`;
}

function signed(value: number): string {
  const text = Math.abs(value).toFixed(2);
  return text === "0.00" ? text : `${value < 0 ? "−" : "+"}${text}`;
}

/** Draw them; `x` tells where a sample is. */
export function drawCalipers(
  context: CanvasRenderingContext2D,
  calipers: Calipers,
  panel: Panel,
  scale: Scale,
  palette: Palette,
  x: (sample: number) => number,
  text: string,
): void {
  const trace = panel.traces.find((candidate) => candidate.lead === calipers.lead);
  if (trace === undefined) return;
  const [first, last] = calipers.corners.map((corner) => ({
    x: x(corner.sample),
    y: trace.baseline - corner.millivolts * millivolt(scale),
  })) as [Point, Point];
  const left = Math.min(first.x, last.x);
  const top = Math.min(first.y, last.y);
  context.save();
  context.beginPath();
  context.rect(panel.x, panel.y, panel.width, panel.height);
  context.clip();
  context.fillStyle = palette.caliperGround;
  context.fillRect(left, top, Math.abs(last.x - first.x), Math.abs(last.y - first.y));
  context.strokeStyle = palette.caliper;
  for (const [index, corner] of [first, last].entries()) {
    context.lineWidth = index === calipers.active ? 2 : 1;
    context.beginPath();
    context.moveTo(corner.x, trace.baseline - REACH * scale.millimetre);
    context.lineTo(corner.x, trace.baseline + REACH * scale.millimetre);
    context.moveTo(corner.x - CROSS, corner.y);
    context.lineTo(corner.x + CROSS, corner.y);
    context.stroke();
  }
  context.setLineDash([3, 3]);
  context.lineWidth = 1;
  context.beginPath();
  for (const y of [first.y, last.y]) {
    context.moveTo(left, y);
    context.lineTo(Math.max(first.x, last.x), y);
  }
  context.stroke();
  drawLabel(context, text, left, Math.max(first.y, last.y), panel, palette);
  context.restore();
}

interface Point {
  x: number;
  y: number;
}

/** Millimetres that the legs reach from the baseline, and CSS pixels of the cross at a corner. */
const REACH = 14;
const CROSS = 6;

function drawLabel(
  context: CanvasRenderingContext2D,
  text: string,
  x: number,
  y: number,
  panel: Panel,
  palette: Palette,
): void {
  context.setLineDash([]);
  context.font = "600 13px system-ui, sans-serif";
  const width = context.measureText(text).width + 12;
  const left = Math.max(panel.x, Math.min(x, panel.x + panel.width - width));
  const top = Math.min(panel.y + panel.height - 22, y + 8);
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.lineWidth = 3;
  context.strokeStyle = palette.paper; // an edge, not a box: the trace below stays to be seen
  context.strokeText(text, left + 6, top + 10.5);
  context.fillStyle = palette.caliper;
  context.fillText(text, left + 6, top + 10.5);
}

/** Samples of a millimetre of paper. */
export function samplesOf(millimetres: number, scale: Scale, samplingRate: number): number {
  return (millimetres * scale.millimetre * samplingRate) / second(scale);
}
