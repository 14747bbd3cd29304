/** Calipers: two corners of a box on the paper, and their distance in milliseconds and in the unit of the lead. */

import type { Canvas2D } from "./canvas.js";
import { type Channel, ECG } from "./channels.js";
import type { Panel } from "./layout.js";
import { courseOf } from "./own-scale.js";
import type { Palette } from "./palette.js";
import { pixelsPerSecond, type Scale } from "./scale.js";

/** A corner, as sample and value, so that it moves with the signal when the paper scrolls. */
export interface Corner {
  readonly sample: number;
  /** In millivolts, or in the unit of a lead that is no ECG. */
  readonly value: number;
}

export interface Measure {
  readonly milliseconds: number;
  /** In millivolts, or in the unit of a lead that is no ECG. */
  readonly value: number;
  /** Intervals per minute; NaN if the interval is too short. */
  readonly perMinute: number;
}

/** The shortest interval between beats, in milliseconds. */
const SHORTEST_INTERVAL = 200;

export class Calipers {
  /** The panel in which they are. */
  panel = 0;
  lead = 0;
  /** The corner that the keys move. */
  active: 0 | 1 = 1;
  corners: readonly [Corner, Corner];

  constructor(panel: number, lead: number, first: Corner, second: Corner) {
    this.panel = panel;
    this.lead = lead;
    this.corners = [first, second];
  }

  /** Move the active corner. */
  move(samples: number, value: number): void {
    const corner = this.corners[this.active];
    this.place({ sample: corner.sample + samples, value: corner.value + value });
  }

  /** Put the active corner at a place. */
  place(corner: Corner): void {
    this.corners = this.active === 0 ? [corner, this.corners[1]] : [this.corners[0], corner];
  }

  /** Make the other corner the active one. */
  swap(): void {
    this.active = this.active === 0 ? 1 : 0;
  }

  measure(samplingRate: number): Measure {
    const [first, last] = this.corners;
    const milliseconds = (Math.abs(last.sample - first.sample) * 1000) / samplingRate;
    return {
      milliseconds,
      value: last.sample < first.sample ? first.value - last.value : last.value - first.value,
      perMinute: milliseconds >= SHORTEST_INTERVAL ? 60_000 / milliseconds : Number.NaN,
    };
  }
}

/** The measure as text: `412 ms · 146/min · +0.85 mV`. @param channel what the lead measures */
export function describe(measure: Measure, channel: Channel = ECG): string {
  const rate = Number.isNaN(measure.perMinute) ? "" : ` · ${Math.round(measure.perMinute)}/min`;
  return `${Math.round(measure.milliseconds)} ms${rate} · ${signed(measure.value, channel)}`;
}

function signed(value: number, { kind, unit }: Channel): string {
  const size = Math.abs(value);
  const text = kind === "ecg" ? size.toFixed(2) : String(Number(size.toPrecision(3)));
  const sign = Number(text) === 0 ? "" : value < 0 ? "−" : "+";
  return `${sign}${text}${unit === "" ? " (no unit stated)" : ` ${unit}`}`;
}

/** Draw the calipers; `x` maps samples to CSS pixels. The reading is in the bar below, as it would cover traces here. */
export function drawCalipers(
  context: Canvas2D,
  calipers: Calipers,
  panel: Panel,
  scale: Scale,
  palette: Palette,
  x: (sample: number) => number,
): void {
  const trace = panel.traces.find((candidate) => candidate.lead === calipers.lead);
  if (trace === undefined) return;
  const { baseline, millivolt } = courseOf(trace, scale);
  const [first, last] = calipers.corners.map((corner) => ({
    x: x(corner.sample),
    y: baseline - corner.value * millivolt,
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
  context.restore();
}

interface Point {
  x: number;
  y: number;
}

/** Length of the legs from the baseline in millimetres, and of the cross at a corner in CSS pixels. */
const REACH = 14;
const CROSS = 6;

/** Convert millimetres of paper to samples. */
export function samplesOf(millimetres: number, scale: Scale, samplingRate: number): number {
  return (millimetres * scale.millimetre * samplingRate) / pixelsPerSecond(scale);
}
