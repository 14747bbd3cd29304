/** ECG paper: the grid of 1 mm and 5 mm, calibration pulses of 1 mV, names and scale. */

import type { Canvas2D } from "./canvas.js";
import type { Layout, Panel, Trace } from "./layout.js";
import { type OwnScale, scaleText } from "./own-scale.js";
import type { Palette } from "./palette.js";
import { MARGIN, pixelsPerMillivolt, type Scale } from "./scale.js";

/** The calibration pulse in millimetres: the margin before it, and its width. */
const PULSE = { before: 1.5, wide: 4 };
/** The scale of other signals, in CSS pixels: its distance from the trace, its ticks, and the size of its numbers. */
const SCALE = { beside: 3, tick: 4, size: 10 };
/** Below this many CSS pixels per millimetre, the lines of 1 mm would merge and are left out. */
const FINEST = 2.4;

/** Draw the background and the grid. */
export function drawGround(context: Canvas2D, layout: Layout, palette: Palette, ratio: number): void {
  const { width, height, scale } = layout;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = palette.paper;
  context.fillRect(0, 0, Math.ceil(width * ratio), Math.ceil(height * ratio));
  if (scale.millimetre >= FINEST) drawGrid(context, layout, 1, palette.fine, ratio);
  drawGrid(context, layout, 5, palette.bold, ratio);
}

/**
 * The plate behind a text: its opacity, and the CSS pixels that it reaches beyond the text. A QRS beside the name "I" would
 * look like "II". The plate is translucent, so that the trace behind it stays visible.
 */
export const PLATE = { opacity: 0.75, beside: 4, above: 1, below: 2 };

/** Draw calibration pulses, names and scale, for a canvas above the traces. */
export function drawLabels(context: Canvas2D, layout: Layout, palette: Palette, ratio: number): void {
  const { height, scale } = layout;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  for (const panel of layout.panels) {
    for (const trace of panel.traces) {
      const { own } = trace;
      if (own !== undefined) drawOwnScale(context, panel.x, own, palette);
      else if (panel.x > 0 && trace.calibrated)
        drawPulse(context, panel.x - MARGIN * scale.millimetre, trace.baseline, scale, palette);
      const name = shortName(context, nameOf(trace), panel, scale);
      const colour = own === undefined ? palette.name : palette[own.kind];
      drawText(context, name, panel.x + 4, trace.labelY, nameSize(scale), palette, colour);
    }
    if (panel.begin > 0 && !panel.traces.some(({ calibrated }) => calibrated))
      drawBoundary(context, panel, scale, palette);
  }
  const size = 11;
  const others = layout.panels.flatMap(({ traces }) => traces.flatMap(({ name, own }) => (own ? [name] : [])));
  const own = others.length === 0 ? "" : `   ${[...new Set(others)].join(", ")}: own scale`;
  const note = `${scale.speed} mm/s   ${scale.gain} mm/mV${own}`;
  drawText(context, note, 6, height - size - 5, size, palette);
}

/** Draw the lines of the grid, one each `every` millimetres, on whole pixels of the screen, so that they are sharp. */
function drawGrid(context: Canvas2D, layout: Layout, every: number, colour: string, ratio: number): void {
  const step = every * layout.scale.millimetre * ratio;
  const width = Math.ceil(layout.width * ratio);
  const height = Math.ceil(layout.height * ratio);
  const thick = Math.max(1, Math.round(ratio * 0.75));
  context.fillStyle = colour;
  for (let x = 0; x < width; x += step) context.fillRect(Math.round(x), 0, thick, height);
  for (let y = 0; y < height; y += step) context.fillRect(0, Math.round(y), width, thick);
}

function drawPulse(context: Canvas2D, x: number, baseline: number, scale: Scale, palette: Palette): void {
  const { millimetre } = scale;
  const top = baseline - pixelsPerMillivolt(scale);
  const rise = x + PULSE.before * millimetre;
  const fall = rise + PULSE.wide * millimetre;
  context.beginPath();
  context.moveTo(x + 0.5 * millimetre, baseline);
  context.lineTo(rise, baseline);
  context.lineTo(rise, top);
  context.lineTo(fall, top);
  context.lineTo(fall, baseline);
  context.lineTo(fall + millimetre, baseline);
  context.strokeStyle = palette.trace;
  context.lineWidth = 1.25;
  context.stroke();
}

/** Draw the scale of a signal that is no ECG, left of it: the values at its ends. */
function drawOwnScale(context: Canvas2D, right: number, own: OwnScale, palette: Palette): void {
  const { range, top, bottom } = own;
  if (range === null) return;
  const x = right - SCALE.beside;
  context.beginPath();
  context.moveTo(x - SCALE.tick, top);
  context.lineTo(x, top);
  context.lineTo(x, bottom);
  context.lineTo(x - SCALE.tick, bottom);
  context.strokeStyle = palette[own.kind];
  context.lineWidth = 1.25;
  context.stroke();
  for (const [value, y] of [
    [range.high, top],
    [range.low, bottom - SCALE.size],
  ]) {
    context.font = font(SCALE.size);
    const text = scaleText(value);
    const left = Math.max(0, x - SCALE.tick - 3 - context.measureText(text).width);
    drawText(context, text, left, y, SCALE.size, palette, palette[own.kind], 1);
  }
}

/** The name of a trace, with its unit if that is not millivolts. */
export function nameOf({ name, own }: Trace): string {
  return own === undefined || own.unit === "" ? name : `${name} (${own.unit})`;
}

/** Draw a short line at the panel's left edge in each row: another lead begins there. */
function drawBoundary(context: Canvas2D, panel: Panel, scale: Scale, palette: Palette): void {
  context.fillStyle = palette.trace;
  for (const { baseline } of panel.traces) {
    const height = 3 * scale.millimetre;
    context.fillRect(Math.round(panel.x), baseline - height, 1, 2 * height);
  }
}

/** The name of a trace, shortened to fit its panel. */
export function shortName(context: Canvas2D, name: string, panel: Panel, scale: Scale): string {
  return shortened(context, name, panel.width - 8, nameSize(scale));
}

/** Cut out the middle of a text that is too long, as the names of many leads differ at their ends. */
function shortened(context: Canvas2D, text: string, room: number, size: number): string {
  context.font = font(size);
  if (context.measureText(text).width <= room) return text;
  const letters = [...text];
  const without = (count: number): string => {
    const kept = letters.length - count;
    return `${letters.slice(0, Math.ceil(kept / 2)).join("")}…${letters.slice(letters.length - Math.floor(kept / 2)).join("")}`;
  };
  let least = 1;
  let most = letters.length;
  while (least < most) {
    const middle = (least + most) >> 1;
    if (context.measureText(without(middle)).width <= room) most = middle;
    else least = middle + 1;
  }
  return without(least);
}

const font = (size: number): string => `600 ${size}px system-ui, sans-serif`;

function nameSize(scale: Scale): number {
  return Math.max(11, Math.min(15, 3.2 * scale.millimetre));
}

/** @param beside CSS pixels that the plate reaches beyond the text at its sides. */
function drawText(
  context: Canvas2D,
  text: string,
  x: number,
  y: number,
  size: number,
  palette: Palette,
  colour = palette.name,
  beside = PLATE.beside,
): void {
  context.font = font(size);
  context.textBaseline = "top";
  context.fillStyle = palette.paper;
  context.globalAlpha = PLATE.opacity;
  const { width } = context.measureText(text);
  context.fillRect(x - beside, y - PLATE.above, width + 2 * beside, size + PLATE.above + PLATE.below);
  context.globalAlpha = 1;
  context.fillStyle = colour;
  context.fillText(text, x, y);
}
