/**
 * Draws the traces. A page is the samples that fill all panels of the layout once. In a live sweep, only new samples are
 * drawn: a blank bar ahead of the head erases the samples of the previous page.
 */

import type { Canvas2D } from "./canvas.js";
import type { Layout, Panel, Trace } from "./layout.js";
import { courseOf } from "./own-scale.js";
import type { Palette } from "./palette.js";
import { drawLine } from "./polyline.js";
import { pixelsPerSecond } from "./scale.js";
import type { TraceBuffer } from "./trace-buffer.js";

/** Length of the blank bar ahead of the head, in seconds at 25 mm/s: 8 mm. */
const BAR = 8 / 25;
const LINE = 1.4;
/** The mark of a pacing spike: distance below 0 mV in millimetres, and size in CSS pixels. */
const SPIKE = { below: 2.8, wide: 9, high: 7 };

/** Samples `[from, to)`. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
}

export class Sweep {
  /** The samples on the canvas. */
  shown: Stretch = { from: 0, to: 0 };
  #layout: Layout | null = null;
  #palette: Palette | null = null;
  #ratio = 1;
  #buffer: TraceBuffer | null = null;
  #hatching: CanvasPattern | null = null;
  /** First sample of one page; the other pages begin at multiples of their length from it. */
  #origin = 0;
  /** Samples per page. */
  #page = 1;
  /** The sample up to which the previous page is erased. */
  #erased = 0;
  /** Number of pacing spikes that were known when the canvas was last drawn. */
  #marked = 0;

  constructor(readonly context: Canvas2D) {}

  /** Set layout, colours and buffer. The caller then draws everything again. */
  configure(layout: Layout, palette: Palette, ratio: number, buffer: TraceBuffer): void {
    this.#layout = layout;
    this.#palette = palette;
    this.#ratio = ratio;
    this.#buffer = buffer;
    this.#page = Math.max(1, layout.period * buffer.samplingRate);
    this.#hatching = hatching(this.context, palette, ratio);
  }

  /** Draw all samples that are visible for that head of a live sweep. */
  redraw(head: number): void {
    this.#origin = 0;
    this.clear();
    const { from, erased } = this.#visibleRange(head);
    this.#erased = erased;
    this.shown = { from, to: from };
    this.#drawNew(head);
  }

  /** Draw the page that begins with sample `first`, to its end or up to the head, without a blank bar. */
  drawPage(first: number, head = Number.POSITIVE_INFINITY): void {
    this.#origin = first;
    this.clear();
    this.shown = { from: first, to: first };
    this.drawUpTo(head);
  }

  /** Draw the new samples up to the head, at most to the end of the page, without erasing. */
  drawUpTo(head: number): void {
    this.#drawNew(Math.min(head, this.#origin + this.#page - 1));
  }

  /** Move the head of a live sweep: erase ahead of it, and draw the new samples behind it. */
  advance(head: number): void {
    if (head - this.shown.to > this.#page) {
      this.redraw(head); // more than a page is new: only the last page is visible
      return;
    }
    const { from, erased } = this.#visibleRange(head);
    if (erased > this.#erased) {
      this.#erase(Math.max(this.#erased, erased - this.#page), erased);
      this.#erased = erased;
    }
    this.shown = { from: Math.max(from, Math.min(this.shown.from, head)), to: Math.max(from, this.shown.to) };
    this.#drawNew(head);
  }

  /** Samples per page. */
  get page(): number {
    return this.#page;
  }

  /** The place of a sample on the canvas, in CSS pixels; null if it is not in the panel. */
  point(panel: Panel, lead: number, sample: number): { x: number; y: number } | null {
    const trace = panel.traces.find((candidate) => candidate.lead === lead);
    const { layout, buffer } = this.#parts();
    const seconds = this.#offsetInPage(sample) / buffer.samplingRate - panel.begin;
    if (trace === undefined || seconds < 0 || seconds > panel.seconds) return null;
    const { baseline, millivolt } = courseOf(trace, layout.scale);
    return {
      x: panel.x + seconds * pixelsPerSecond(layout.scale),
      y: baseline - buffer.at(lead, sample) * millivolt,
    };
  }

  /** The oldest sample that is still visible for that head, and the sample up to which the previous page is erased. */
  #visibleRange(head: number): { from: number; erased: number } {
    const { buffer, layout } = this.#parts();
    const bar = Math.min(BAR * (25 / layout.scale.speed), layout.period / 4) * buffer.samplingRate;
    const erased = head + bar;
    return { from: Math.max(buffer.start, Math.ceil(erased - this.#page), 0), erased };
  }

  /** Clear the canvas. */
  clear(): void {
    this.shown = { from: 0, to: 0 };
    const { canvas } = this.context;
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.clearRect(0, 0, canvas.width, canvas.height);
  }

  #erase(from: number, to: number): void {
    this.context.setTransform(this.#ratio, 0, 0, this.#ratio, 0, 0);
    const ratio = this.#ratio;
    this.#forEachBox(from, to, (x, width, panel) => {
      const left = Math.floor(x * ratio) / ratio; // whole pixels: a half pixel that is erased twice leaves a shadow
      this.context.clearRect(left, panel.y, Math.ceil((x + width) * ratio) / ratio - left, panel.height);
    });
  }

  /** Draw the samples after `shown`, up to the head: the hatching of gaps, the traces, the marks of spikes. */
  #drawNew(head: number): void {
    const { buffer } = this.#parts();
    const from = Math.max(this.shown.to, buffer.start);
    const to = Math.min(Math.floor(head) + 1, buffer.end);
    if (to <= from) return;
    this.context.setTransform(this.#ratio, 0, 0, this.#ratio, 0, 0);
    for (const gap of buffer.gaps) {
      this.#hatch(this.context, Math.max(from, gap.from), Math.min(to, gap.to));
    }
    for (const gap of buffer.leadGaps) {
      this.#hatch(this.context, Math.max(from, gap.from), Math.min(to, gap.to), gap.lead);
    }
    this.context.lineWidth = LINE;
    this.context.lineJoin = "round";
    this.context.lineCap = "round";
    for (let begin = from; begin < to; ) {
      const end = Math.min(to, this.#pageEnd(begin));
      this.#drawWithinPage(begin, end, from > this.shown.from);
      begin = end;
    }
    this.shown = { from: this.shown.from, to };
    this.#markSpikes(from);
  }

  /** Mark the pacing spikes from sample `from` on, and earlier ones that are known only now. */
  #markSpikes(from: number): void {
    const { layout, buffer, palette } = this.#parts();
    const { context } = this;
    const { shown } = this;
    const { millimetre } = layout.scale;
    context.save();
    context.globalCompositeOperation = "destination-over"; // behind the traces
    context.fillStyle = palette.spike;
    for (const [index, { sample }] of buffer.spikes.entries()) {
      const isNew = sample >= from || buffer.spikesForgotten + index >= this.#marked;
      if (!isNew || sample < shown.from || sample >= shown.to) continue;
      for (const panel of layout.panels)
        for (const { lead, baseline, own } of panel.traces) {
          if (own !== undefined) continue; // it is no ECG
          const x = this.point(panel, lead, sample)?.x ?? Number.NaN;
          drawMark(context, x, baseline + SPIKE.below * millimetre);
        }
    }
    context.restore();
    this.#marked = buffer.spikesForgotten + buffer.spikes.length;
  }

  /** The first sample of the page after that of `sample`. */
  #pageEnd(sample: number): number {
    const page = Math.floor((sample - this.#origin) / this.#page) + 1;
    const end = Math.ceil(this.#origin + page * this.#page);
    return end > sample ? end : end + 1;
  }

  #drawWithinPage(from: number, to: number, isContinued: boolean): void {
    const { layout, buffer } = this.#parts();
    const rate = buffer.samplingRate;
    const offset = this.#offsetInPage(from);
    for (const panel of layout.panels) {
      // One more sample on either side connects to what is drawn already; the panel's box clips it.
      const first = Math.max(
        from - (isContinued ? 1 : 0),
        Math.ceil(from - offset + panel.begin * rate) - 1,
        buffer.start,
      );
      const last = Math.min(to, Math.floor(from - offset + (panel.begin + panel.seconds) * rate) + 2, buffer.end);
      if (last - first > (isContinued ? 1 : 0)) this.#drawPanel(panel, first, last, from - offset);
    }
  }

  #drawPanel(panel: Panel, first: number, last: number, pageBegin: number): void {
    const { layout, buffer, palette } = this.#parts();
    const { context } = this;
    const step = pixelsPerSecond(layout.scale) / buffer.samplingRate;
    const left = panel.x + (first - pageBegin) * step - panel.begin * pixelsPerSecond(layout.scale);
    context.save();
    context.beginPath();
    context.rect(panel.x, panel.y, panel.width, panel.height);
    context.clip();
    const draw = (traces: readonly Trace[], colour: string): void => {
      context.strokeStyle = colour;
      context.beginPath();
      for (const trace of traces) {
        const course = { x: left, step, ...courseOf(trace, layout.scale) };
        drawLine(context, buffer.ring(trace.lead), first, last, course, 1 / this.#ratio);
      }
      context.stroke();
    };
    draw(
      panel.traces.filter(({ own }) => own === undefined),
      palette.trace,
    );
    for (const trace of panel.traces) if (trace.own !== undefined) draw([trace], palette[trace.own.kind]);
    context.restore();
  }

  /** Hatch missing samples. @param lead the only lead whose row is hatched; by default, all rows are */
  #hatch(context: Canvas2D, from: number, to: number, lead?: number): void {
    if (to <= from || this.#hatching === null) return;
    context.fillStyle = this.#hatching;
    this.#forEachBox(from, to, (x, width, panel) => {
      const rows = panel.traces.flatMap((trace, row) => (lead === undefined || trace.lead === lead ? [row] : []));
      const height = panel.height / panel.traces.length;
      if (lead === undefined) context.fillRect(x, panel.y, width, panel.height);
      else for (const row of rows) context.fillRect(x, panel.y + row * height, width, height);
    });
  }

  /** Call `visit` with each box, in CSS pixels, in which the samples are drawn: one per panel and page. */
  #forEachBox(from: number, to: number, visit: (x: number, width: number, panel: Panel) => void): void {
    const { layout, buffer } = this.#parts();
    const rate = buffer.samplingRate;
    const length = Math.min(to - from, this.#page);
    for (let begin = to - length; begin < to; ) {
      const offset = this.#offsetInPage(begin);
      const end = Math.min(to, begin + Math.max(this.#page - offset, 1e-6));
      for (const panel of layout.panels) {
        const left = Math.max(offset / rate, panel.begin);
        const right = Math.min((offset + end - begin) / rate, panel.begin + panel.seconds);
        if (right > left) {
          visit(
            panel.x + (left - panel.begin) * pixelsPerSecond(layout.scale),
            (right - left) * pixelsPerSecond(layout.scale),
            panel,
          );
        }
      }
      begin = end;
    }
  }

  /** Number of samples from the beginning of the sample's page to the sample. */
  #offsetInPage(sample: number): number {
    return mod(sample - this.#origin, this.#page);
  }

  #parts(): { layout: Layout; palette: Palette; buffer: TraceBuffer } {
    if (this.#layout === null || this.#palette === null || this.#buffer === null)
      throw new Error("call configure() first");
    return { layout: this.#layout, palette: this.#palette, buffer: this.#buffer };
  }
}

function mod(value: number, by: number): number {
  return ((value % by) + by) % by;
}

/** A triangle that points up. */
function drawMark(context: Canvas2D, x: number, y: number): void {
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x + SPIKE.wide / 2, y + SPIKE.high);
  context.lineTo(x - SPIKE.wide / 2, y + SPIKE.high);
  context.fill();
}

/** The hatching of missing samples. */
function hatching(context: Canvas2D, palette: Palette, ratio: number): CanvasPattern | null {
  const size = Math.round(8 * ratio);
  const tile = new OffscreenCanvas(size, size);
  const pen = tile.getContext("2d");
  if (pen === null) return null;
  pen.fillStyle = palette.gapGround;
  pen.fillRect(0, 0, size, size);
  pen.strokeStyle = palette.gap;
  pen.lineWidth = ratio;
  pen.beginPath();
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift, size);
    pen.lineTo(shift + size, 0);
  }
  pen.stroke();
  const pattern = context.createPattern(tile, "repeat");
  pattern?.setTransform(new DOMMatrix().scale(1 / ratio));
  return pattern;
}
