/**
 * Draws traces. Live, only what is new: a bar goes before the head and erases what the page had there; behind it the
 * new samples are drawn. All else stays on the canvas as it is.
 */

import type { Layout, Panel } from "./layout.js";
import type { Palette } from "./palette.js";
import { millivolt, second } from "./scale.js";
import type { TraceBuffer } from "./trace-buffer.js";

/** Seconds of blank paper before the head, at 25 mm/s: 8 mm. */
const BAR = 8 / 25;
const LINE = 1.4;

/** Samples `[from, to)`. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
}

export class Sweep {
  /** The samples that the canvas shows now. */
  shown: Stretch = { from: 0, to: 0 };
  #layout: Layout | null = null;
  #palette: Palette | null = null;
  #ratio = 1;
  #buffer: TraceBuffer | null = null;
  #hatching: CanvasPattern | null = null;
  /** Sample with which a page begins. */
  #origin = 0;
  /** Samples to a page. */
  #page = 1;
  #erased = 0;

  constructor(readonly context: CanvasRenderingContext2D) {}

  /** Take another page; what is drawn has to be drawn anew. */
  configure(layout: Layout, palette: Palette, ratio: number, buffer: TraceBuffer): void {
    this.#layout = layout;
    this.#palette = palette;
    this.#ratio = ratio;
    this.#buffer = buffer;
    this.#page = Math.max(1, layout.period * buffer.samplingRate);
    this.#hatching = hatching(this.context, palette, ratio);
  }

  /** Draw the whole page anew, as it is when the head is at `head`; the page's beginning is a multiple of its length. */
  redraw(head: number): void {
    this.#origin = 0;
    this.clear();
    const { from, erased } = this.#window(head);
    this.#erased = erased;
    this.shown = { from, to: from };
    this.#ink(head);
  }

  /** Draw the page that begins with a sample, still, and from the first sample to the last, or up to the head. */
  still(first: number, head = Number.POSITIVE_INFINITY): void {
    this.#origin = first;
    this.clear();
    this.shown = { from: first, to: first };
    this.fill(head);
  }

  /** Draw what the head has come to of a page that stays: nothing older is erased, nothing of the next page is drawn. */
  fill(head: number): void {
    this.#ink(Math.min(head, this.#origin + this.#page - 1));
  }

  /** The head went on to `head`: erase before it, draw behind it. */
  advance(head: number): void {
    if (head - this.shown.to > this.#page) {
      this.redraw(head); // of several pages at once, only the last would be seen
      return;
    }
    const { from, erased } = this.#window(head);
    if (erased > this.#erased) {
      this.#erase(Math.max(this.#erased, erased - this.#page), erased);
      this.#erased = erased;
    }
    this.shown = { from: Math.max(from, Math.min(this.shown.from, head)), to: Math.max(from, this.shown.to) };
    this.#ink(head);
  }

  /** Samples to a page. */
  get page(): number {
    return this.#page;
  }

  /** Where a sample stands on the canvas, in CSS pixels: for tests and calipers. Null where it is not shown. */
  point(panel: Panel, lead: number, sample: number): { x: number; y: number } | null {
    const trace = panel.traces.find((candidate) => candidate.lead === lead);
    const { layout, buffer } = this.#parts();
    const seconds = this.#within(sample) / buffer.samplingRate - panel.begin;
    if (trace === undefined || seconds < 0 || seconds > panel.seconds) return null;
    return {
      x: panel.x + seconds * second(layout.scale),
      y: trace.baseline - buffer.at(lead, sample) * millivolt(layout.scale),
    };
  }

  /** From which sample on a page has something, and up to which it is erased. */
  #window(head: number): { from: number; erased: number } {
    const { buffer, layout } = this.#parts();
    const bar = Math.min(BAR * (25 / layout.scale.speed), layout.period / 4) * buffer.samplingRate;
    const erased = head + bar;
    return { from: Math.max(buffer.start, Math.ceil(erased - this.#page), 0), erased };
  }

  /** Take all off the canvas. */
  clear(): void {
    this.shown = { from: 0, to: 0 };
    const { canvas } = this.context;
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.clearRect(0, 0, canvas.width, canvas.height);
  }

  #erase(from: number, to: number): void {
    this.context.setTransform(this.#ratio, 0, 0, this.#ratio, 0, 0);
    const ratio = this.#ratio;
    this.#boxes(from, to, (x, width, panel) => {
      const left = Math.floor(x * ratio) / ratio; // whole pixels: half of one erased twice would leave a shadow
      this.context.clearRect(left, panel.y, Math.ceil((x + width) * ratio) / ratio - left, panel.height);
    });
  }

  /** Draw what has come since, up to the head. */
  #ink(head: number): void {
    const { buffer, palette } = this.#parts();
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
    this.context.strokeStyle = palette.trace;
    this.context.lineWidth = LINE;
    this.context.lineJoin = "round";
    this.context.lineCap = "round";
    for (let begin = from; begin < to; ) {
      const end = Math.min(to, this.#pageEnd(begin));
      this.#inkWithinPage(begin, end, from > this.shown.from);
      begin = end;
    }
    this.shown = { from: this.shown.from, to };
  }

  /** Number of the first sample of the page after that of `sample`. */
  #pageEnd(sample: number): number {
    const page = Math.floor((sample - this.#origin) / this.#page) + 1;
    const end = Math.ceil(this.#origin + page * this.#page);
    return end > sample ? end : end + 1;
  }

  #inkWithinPage(from: number, to: number, joined: boolean): void {
    const { layout, buffer } = this.#parts();
    const rate = buffer.samplingRate;
    const within = this.#within(from);
    for (const panel of layout.panels) {
      // One sample more on either side joins what is there already; the panel's box cuts it off.
      const first = Math.max(from - (joined ? 1 : 0), Math.ceil(from - within + panel.begin * rate) - 1, buffer.start);
      const last = Math.min(to, Math.floor(from - within + (panel.begin + panel.seconds) * rate) + 2, buffer.end);
      if (last - first > (joined ? 1 : 0)) this.#inkPanel(panel, first, last, from - within);
    }
  }

  #inkPanel(panel: Panel, first: number, last: number, pageBegin: number): void {
    const { layout, buffer } = this.#parts();
    const { context } = this;
    const step = second(layout.scale) / buffer.samplingRate;
    const left = panel.x + (first - pageBegin) * step - panel.begin * second(layout.scale);
    const scale = millivolt(layout.scale);
    const { capacity } = buffer;
    context.save();
    context.beginPath();
    context.rect(panel.x, panel.y, panel.width, panel.height);
    context.clip();
    context.beginPath();
    for (const trace of panel.traces) {
      const ring = buffer.ring(trace.lead);
      let down = false;
      let place = first % capacity;
      let x = left;
      for (let sample = first; sample < last; sample += 1) {
        const value = ring[place];
        if (Number.isNaN(value)) down = false;
        else {
          const y = trace.baseline - value * scale;
          if (down) context.lineTo(x, y);
          else context.moveTo(x, y);
          down = true;
        }
        x += step;
        place = place + 1 === capacity ? 0 : place + 1;
      }
    }
    context.stroke();
    context.restore();
  }

  /** @param lead whose row alone is hatched; all of them by default. */
  #hatch(context: CanvasRenderingContext2D, from: number, to: number, lead?: number): void {
    if (to <= from || this.#hatching === null) return;
    context.fillStyle = this.#hatching;
    this.#boxes(from, to, (x, width, panel) => {
      const rows = panel.traces.flatMap((trace, row) => (lead === undefined || trace.lead === lead ? [row] : []));
      const height = panel.height / panel.traces.length;
      if (lead === undefined) context.fillRect(x, panel.y, width, panel.height);
      else for (const row of rows) context.fillRect(x, panel.y + row * height, width, height);
    });
  }

  /** Call `visit` with each box that the stretch takes on the page. */
  #boxes(from: number, to: number, visit: (x: number, width: number, panel: Panel) => void): void {
    const { layout, buffer } = this.#parts();
    const rate = buffer.samplingRate;
    const length = Math.min(to - from, this.#page);
    for (let begin = to - length; begin < to; ) {
      const within = this.#within(begin);
      const end = Math.min(to, begin + Math.max(this.#page - within, 1e-6));
      for (const panel of layout.panels) {
        const left = Math.max(within / rate, panel.begin);
        const right = Math.min((within + end - begin) / rate, panel.begin + panel.seconds);
        if (right > left) {
          visit(panel.x + (left - panel.begin) * second(layout.scale), (right - left) * second(layout.scale), panel);
        }
      }
      begin = end;
    }
  }

  /** Samples from the beginning of its page to a sample. */
  #within(sample: number): number {
    return mod(sample - this.#origin, this.#page);
  }

  #parts(): { layout: Layout; palette: Palette; buffer: TraceBuffer } {
    if (this.#layout === null || this.#palette === null || this.#buffer === null)
      throw new Error("configure comes first");
    return { layout: this.#layout, palette: this.#palette, buffer: this.#buffer };
  }
}

function mod(value: number, by: number): number {
  return ((value % by) + by) % by;
}

/** Slanted lines: the mark of a stretch of which nothing is known. */
function hatching(context: CanvasRenderingContext2D, palette: Palette, ratio: number): CanvasPattern | null {
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
