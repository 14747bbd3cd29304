/** The traces of one tile, in sweep, on a canvas that all tiles share. */

import { ECG, type Kind, type OtherKind } from "../channels.js";
import { OwnRanges, ownScale } from "../own-scale.js";
import { drawLine, type Pen } from "../polyline.js";
import type { EcgSignal } from "../signal.js";
import type { TraceBuffer } from "../trace-buffer.js";
import type { Box } from "./arrange.js";

/** What a strip needs of the canvas. */
export interface Canvas extends Pen {
  fillStyle: unknown;
  fillRect(x: number, y: number, width: number, height: number): void;
}

export interface Colours {
  readonly ground: string;
  readonly trace: string;
  readonly gap: string;
  /** Traces that are no ECG. */
  readonly others: Readonly<Record<OtherKind, string>>;
}

/** Least and most CSS pixels of a second; between them, a tile shows so many seconds. */
const SECOND = { least: 40, most: 110, shown: 6 };
/** Paper speed in mm/s, and millimetres of a millivolt: the most that a row has room for. */
const SPEED = 25;
const GAINS = [20, 10, 5];
/** Millivolts that a row has room for. */
const ROOM = 2.4;
/** The blank bar ahead of the head, in CSS pixels. */
const BAR = 10;
/** CSS pixels of a line on the left of its first sample. */
const OVERHANG = 2;
/** CSS pixels that are left for a line on the right of its last sample, so that it stays within the box. */
const LINE_END = 1;
/** Place of 0 mV in a row, from its top. */
const ZERO = 0.6;

interface Row {
  readonly lead: number;
  readonly zero: number;
  readonly top: number;
  readonly bottom: number;
}

export class Strip {
  #box: Box = { x: 0, y: 0, width: 0, height: 0 };
  #rows: Row[] = [];
  #pixelsPerSecond = SECOND.least;
  #millivolt = 0;
  /** The next sample to draw, and the sample up to which the previous page is erased; NaN if nothing is drawn. */
  #next = Number.NaN;
  #erased = 0;
  #from = 0;
  #to = 0;
  /** Width of the traces: their lines end a little behind it, within the box. */
  #width = 0;
  #buffer: TraceBuffer | null = null;
  /** The scales of the signals that are no ECG. */
  #ranges = new OwnRanges([]);

  /** Set the place of the traces and the leads. All is drawn again. Lengths are CSS pixels. */
  place(box: Box, leads: readonly number[]): void {
    this.#box = box;
    const height = box.height / Math.max(1, leads.length);
    this.#width = Math.max(0, box.width - LINE_END);
    this.#pixelsPerSecond = Math.max(SECOND.least, Math.min(SECOND.most, this.#width / SECOND.shown));
    const millimetre = this.#pixelsPerSecond / SPEED;
    const gain = GAINS.find((one) => height >= ROOM * one * millimetre) ?? GAINS[GAINS.length - 1];
    this.#millivolt = gain * millimetre;
    this.#rows = leads.map((lead, row) => {
      const top = box.y + row * height;
      return { lead, top, bottom: top + height, zero: Math.round(top + ZERO * height) };
    });
    this.clear();
  }

  /** Draw everything again with the next frame. */
  clear(): void {
    this.#next = Number.NaN;
  }

  /** Erase ahead of the head, and hatch missing samples. To be called for all strips before `trace`. */
  prepare(canvas: Canvas, signal: EcgSignal | null, now: number, colours: Colours): void {
    this.#from = this.#to = 0;
    const { x, y, width, height } = this.#box;
    if (signal === null || signal.buffer !== this.#buffer) this.clear();
    if (signal !== null && this.#follow(signal.buffer)) this.clear();
    this.#buffer = signal?.buffer ?? null;
    const jumped = signal?.head.advance(now) ?? false;
    const { position } = signal?.head ?? { position: Number.NaN };
    if (signal === null || Number.isNaN(position) || width <= 0) {
      canvas.fillStyle = colours.ground;
      canvas.fillRect(x, y, width, height);
      return;
    }
    const { buffer } = signal;
    const page = this.#page(buffer);
    const bar = (BAR / this.#pixelsPerSecond) * buffer.samplingRate;
    const oldest = Math.max(buffer.start, Math.ceil(position + bar - page), 0);
    if (jumped || Number.isNaN(this.#next) || position - this.#next > page) {
      canvas.fillStyle = colours.ground;
      canvas.fillRect(x, y, width, height);
      this.#next = oldest;
    } else {
      canvas.fillStyle = colours.ground;
      // A line reaches a little to the left of its first sample, which may have been drawn at the edge of the bar.
      const overhang = (OVERHANG / this.#pixelsPerSecond) * buffer.samplingRate;
      const from = Math.max(this.#erased - overhang, position + bar - page);
      this.#fill(canvas, from, position + bar, page, buffer.samplingRate);
    }
    this.#erased = Math.max(position + bar, jumped ? 0 : this.#erased);
    this.#from = Math.max(this.#next, oldest);
    this.#to = Math.max(this.#from, Math.min(Math.floor(position) + 1, buffer.end));
    canvas.fillStyle = colours.gap;
    for (const gap of buffer.gaps)
      this.#fill(canvas, Math.max(gap.from, this.#from), Math.min(gap.to, this.#to), page, buffer.samplingRate);
  }

  /** Follow the ranges of the signals that are no ECG. Returns whether one has changed. */
  #follow(buffer: TraceBuffer): boolean {
    if (buffer.channels !== this.#ranges.channels) this.#ranges = new OwnRanges(buffer.channels);
    return this.#ranges.follow(buffer);
  }

  /** Add the new samples of the ECG to the path of the canvas, which the caller strokes once for all strips; the last of a frame. */
  trace(canvas: Canvas, column: number): void {
    this.#trace(canvas, column, "ecg");
    if (this.#to > this.#from) this.#next = this.#to;
  }

  /** Do so for the signals of a kind that is no ECG. To be called before `trace`. */
  traceOthers(canvas: Canvas, column: number, kind: OtherKind): void {
    this.#trace(canvas, column, kind);
  }

  #trace(canvas: Canvas, column: number, kind: Kind): void {
    const buffer = this.#buffer;
    if (buffer === null || this.#to <= this.#from) return;
    const page = this.#page(buffer);
    const step = this.#pixelsPerSecond / buffer.samplingRate;
    for (let begin = this.#from; begin < this.#to; ) {
      const turn = Math.floor(begin / page) * page;
      const end = Math.min(this.#to, Math.max(begin + 1, Math.ceil(turn + page)));
      // One sample more connects to what is drawn already.
      const first = Math.max(begin - 1, Math.ceil(turn), buffer.start);
      for (const row of this.#rows) {
        if ((buffer.channels[row.lead] ?? ECG).kind !== kind) continue;
        const course = { x: this.#box.x + (first - turn) * step, step, ...this.#heightsOf(row, buffer) };
        drawLine(within(canvas, row), buffer.ring(row.lead), first, end, course, column);
      }
      begin = end;
    }
  }

  /** Height of the value 0 of a row, and CSS pixels of a unit. */
  #heightsOf({ lead, zero, top, bottom }: Row, { channels }: TraceBuffer): { baseline: number; millivolt: number } {
    const channel = channels[lead] ?? ECG;
    if (channel.kind === "ecg") return { baseline: zero, millivolt: this.#millivolt };
    const own = ownScale(channel, this.#ranges.of(lead), top, bottom - top);
    return { baseline: own.zero, millivolt: own.perUnit };
  }

  /** Samples of a page, which fills the width of the traces. */
  #page(buffer: TraceBuffer): number {
    return Math.max(1, (this.#width / this.#pixelsPerSecond) * buffer.samplingRate);
  }

  /** Fill the place of the samples `[from, to)`. */
  #fill(canvas: Canvas, from: number, to: number, page: number, samplingRate: number): void {
    const { x, y, width, height } = this.#box;
    const step = this.#pixelsPerSecond / samplingRate;
    for (let begin = Math.max(from, to - page); begin < to; ) {
      const turn = Math.floor(begin / page) * page;
      const end = Math.min(to, turn + page > begin ? turn + page : begin + page);
      const left = Math.floor(x + (begin - turn) * step);
      const right = end >= turn + page ? x + width : Math.min(x + width, Math.ceil(x + (end - turn) * step));
      if (right > left) canvas.fillRect(left, y, right - left, height);
      begin = end;
    }
  }
}

/** A pen that stays in the height of a row: what would leave it is drawn at its edge. */
function within(pen: Pen, { top, bottom }: Row): Pen {
  const inside = (y: number): number => Math.max(top + 1, Math.min(bottom - 1, y));
  return { moveTo: (x, y) => pen.moveTo(x, inside(y)), lineTo: (x, y) => pen.lineTo(x, inside(y)) };
}
