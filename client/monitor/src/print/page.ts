/** A printed page: patient, time and settings at the top, the leads on a grid to scale, notes at the bottom. */

import { extremes, type OwnScale, ownScale, rangeFor, scaleText } from "../own-scale.js";
import type { Gain } from "../scale.js";
import type { TraceBuffer } from "../trace-buffer.js";
import {
  ABOVE,
  arrange,
  type Cell,
  hasCabrera,
  PAPERS,
  rowsOn,
  type Sheet,
  type SheetOptions,
  SPEED,
} from "./arrange.js";
import { peaksOf } from "./beats.js";
import type { Area, Box, Drawing, Lines, Mark, Writing } from "./drawing.js";
import { type PrintedMark, placeFlags } from "./flags.js";
import { differs, marksOf, missingOf, missingOfAll, PAGE, rateOf, type Strip, took } from "./strip.js";
import { clean, day, fitText, type Measure, span, timeOfDay, wrap, zone } from "./text.js";

/** Millimetres. */
const TOP = 8;
const HEAD = 21;
const FOOT = 21;
/** Millimetres left of the traces, for the pulse: two large squares, so that the traces begin on a bold line. */
const LEFT = 10;
const PULSE = { begin: 1, rise: 2.5, wide: 5, end: 9 };
const TRACE = 0.25;
/** The mark of a pacing spike, an angle below 0 mV. */
const SPIKE = { below: 2.5, wide: 0.8, high: 1.4, width: 0.3 };
/** The flag of an event: its pole above the grid, and its cloth. */
const FLAG = { high: 4.2, wide: 1.6, cloth: 1.6, width: 0.25, line: 0.15 };
const SIZES = { head: 4.2, text: 2.9, lead: 3.2, note: 2.4, gap: 2.2 };
/** Largest distance of a name above 0 mV in millimetres, so that it is near its trace. */
const NAME_ABOVE = 18;
/** Largest width of a name in millimetres. */
const NAME_WIDE = 60;
/** Number of lines for notes. */
const NOTES = 4;
const COLOURS = {
  fine: "#f8d4cf",
  bold: "#e79c94",
  ink: "#000000",
  lead: "#1d3f8f",
  quiet: "#444444",
  alarm: "#b00010",
  gap: "#8a8a8a",
};
const GAP_GROUND = "#eeeeee";

/** Distance and width of the lines of a hatching, in millimetres. */
const HATCH = { step: 1.5, width: 0.15 };
const REST = "Not everything fits here: the CSV file has all names and marks in full, and all missing samples.";
/** Smallest width of a gap in millimetres, as one sample would not be visible. */
const LEAST_GAP = 0.4;
/** Number of gaps that are listed; of the others, only the number is given. */
const NAMED = 4;

/** The box of the grid, in whole large squares. */
export function gridOf(paper: SheetOptions["paper"]): Box {
  const { width, height } = PAPERS[paper];
  const wide = LEFT + PAGE * SPEED;
  return {
    x: (width - wide) / 2,
    y: TOP + HEAD,
    width: wide,
    height: Math.floor((height - TOP - HEAD - FOOT) / 5) * 5,
  };
}

/** Draw all pages of a strip: for each ten seconds, as many as the leads need. */
export function* pages(strip: Strip, options: SheetOptions, printed: number, measure: Measure): Generator<Drawing> {
  const sheets = arrange(strip.buffer.leads, options, gridOf(options.paper).height, strip.buffer.channels);
  const perPage = PAGE * strip.buffer.samplingRate;
  const stretches = Math.max(1, Math.ceil((strip.to - strip.from) / perPage - 1e-9));
  const peaks = peaksOf(strip);
  const count = stretches * sheets.length;
  for (let number = 0; number < count; number += 1) {
    const from = strip.from + Math.round(Math.floor(number / sheets.length) * perPage);
    const sheet = sheets[number % sheets.length];
    const to = Math.min(strip.to, from + Math.round(perPage));
    yield new Page({ strip, sheet, options, from, to, number: number + 1, count, peaks, printed }, measure).draw();
  }
}

/** The number of pages that `pages` draws. */
export function pageCount(strip: Strip, options: SheetOptions): number {
  const sheets = arrange(strip.buffer.leads, options, gridOf(options.paper).height, strip.buffer.channels).length;
  return sheets * Math.max(1, Math.ceil((strip.to - strip.from) / (PAGE * strip.buffer.samplingRate) - 1e-9));
}

interface Content {
  readonly strip: Strip;
  readonly sheet: Sheet;
  readonly options: SheetOptions;
  readonly from: number;
  readonly to: number;
  readonly number: number;
  readonly count: number;
  readonly peaks: readonly number[];
  /** Unix seconds. */
  readonly printed: number;
}

class Page {
  readonly #marks: Mark[] = [];
  readonly #notes: string[] = [];
  readonly #grid: Box;
  /** Millimetres from the top of the grid to the first 0 mV, and from one row to the next. */
  readonly #first: number;
  readonly #row: number;

  constructor(
    readonly content: Content,
    readonly measure: Measure,
  ) {
    const { sheet, options } = content;
    this.#grid = gridOf(options.paper);
    const rows = sheet.rows + (sheet.strip === null ? 0 : 1);
    const { first, step } = rowsOn(this.#grid.height, rows, options.gain);
    this.#first = first;
    this.#row = step;
  }

  draw(): Drawing {
    const { options, sheet, strip, number, count } = this.content;
    const { width, height } = PAPERS[options.paper];
    this.#drawGrid();
    this.#flags();
    const cells = [...sheet.cells, ...(sheet.strip === null ? [] : [sheet.strip])];
    for (const cell of cells) this.#hatch(cell);
    for (const cell of cells) {
      const own = this.#ownScale(cell);
      if (own !== null) this.#scale(own);
      else if (cell.column === 0) this.#pulse(this.#baseline(cell.row), options.gain);
    }
    // Names first, so that they do not hide the traces.
    for (const cell of cells) this.#label(cell);
    const beyond = cells.filter((cell) => this.#trace(cell)).map(({ name }) => name);
    this.#head();
    this.#note(cells, beyond);
    this.#foot();
    const title = `ECG of ${strip.stream}, page ${number} of ${count}: ${cells.length} leads, ${SPEED} mm/s, ${this.#gain}`;
    return { width, height, marks: this.#marks, title: clean(title) };
  }

  /** The gain of the page, as text. */
  get #gain(): string {
    const { strip, sheet, options } = this.content;
    const hasEcg = sheet.cells.some(({ lead }) => strip.buffer.channels[lead].kind === "ecg");
    return hasEcg ? `${options.gain} mm/mV` : "own scales";
  }

  // --- the paper ---

  #drawGrid(): void {
    const { x, y, width, height } = this.#grid;
    const lines = (isWanted: (at: number) => boolean): number[][] => {
      const upTo = (length: number): number[] =>
        Array.from({ length: Math.round(length) + 1 }, (_, at) => at).filter(isWanted);
      return [
        ...upTo(width).map((at) => [x + at, y, x + at, y + height]),
        ...upTo(height).map((at) => [x, y + at, x + width, y + at]),
      ];
    };
    this.#line(
      "fine",
      lines((at) => at % 5 !== 0),
      0.1,
      COLOURS.fine,
    );
    this.#line(
      "bold",
      lines((at) => at % 5 === 0),
      0.2,
      COLOURS.bold,
    );
  }

  /** Flags in the band above the grid, and a thin line at the moment of each, under the traces. */
  #flags(): void {
    const { x, y, width, height } = this.#grid;
    const edges = { left: x, right: x + width };
    for (const flag of placeFlags(this.#events, (sample) => this.#x(sample), edges, SIZES.note, this.measure)) {
      const side = flag.isTurned ? -1 : 1;
      const [top, cloth] = [y - FLAG.high, flag.x + side * FLAG.wide];
      const pole = [flag.x, y, flag.x, top, cloth, top + FLAG.cloth / 2, flag.x, top + FLAG.cloth];
      this.#line("flag", [pole], FLAG.width, COLOURS.lead);
      this.#line("moment", [[flag.x, y, flag.x, y + height]], FLAG.line, COLOURS.lead);
      const anchor = flag.isTurned ? "end" : "start";
      this.#text(flag.text, cloth + side * 0.6, y - 1.6, flag.size, { anchor, colour: COLOURS.lead, role: "flag" });
    }
  }

  /** The marks of events on this page. */
  get #events(): PrintedMark[] {
    return marksOf(this.content.strip, this.content.from, this.content.to);
  }

  #pulse(baseline: number, gain: Gain): void {
    const { x } = this.#grid;
    const [rise, fall] = [x + PULSE.rise, x + PULSE.rise + PULSE.wide];
    const top = baseline - gain;
    const points = [
      x + PULSE.begin,
      baseline,
      rise,
      baseline,
      rise,
      top,
      fall,
      top,
      fall,
      baseline,
      x + PULSE.end,
      baseline,
    ];
    this.#line("pulse", [points], TRACE, COLOURS.ink);
  }

  /** The values at the ends of the scale of a signal that is no ECG, left of it. */
  #scale({ range, top, bottom }: OwnScale): void {
    if (range === null) return;
    const x = this.#grid.x + LEFT - 0.8;
    this.#line("scale", [[x - 1, top, x, top, x, bottom, x - 1, bottom]], TRACE, COLOURS.ink);
    for (const [value, y] of [
      [range.high, top + SIZES.gap],
      [range.low, bottom],
    ]) {
      const text = scaleText(value);
      this.#ground(x - 1.3 - this.measure(text, SIZES.gap), y, SIZES.gap, this.measure(text, SIZES.gap));
      this.#text(text, x - 1.3, y, SIZES.gap, { anchor: "end", role: "scale" });
    }
  }

  // --- leads ---

  /** The scale of a signal that is no ECG, in millimetres, the same on all pages; null for an ECG. */
  #ownScale({ lead, row }: Cell): OwnScale | null {
    const { buffer, from, to } = this.content.strip;
    const channel = buffer.channels[lead];
    if (channel.kind === "ecg") return null;
    const { top, bottom } = this.#edges(row);
    const found = extremes(buffer, lead, from, to);
    return ownScale(channel, found === null ? null : rangeFor(found, channel), top, bottom - top);
  }

  /** Height of the value 0 of a lead, and millimetres of a unit. */
  #courseOf(cell: Cell): { zero: number; perUnit: number } {
    const { sign, row } = cell;
    return this.#ownScale(cell) ?? { zero: this.#baseline(row), perUnit: sign * this.content.options.gain };
  }

  /** Height of 0 mV of a row, on a line of the grid. */
  #baseline(row: number): number {
    return this.#grid.y + Math.round(this.#first + row * this.#row);
  }

  /** Top and bottom of a row, within the grid. */
  #edges(row: number): { top: number; bottom: number } {
    const { y, height } = this.#grid;
    const top = this.#baseline(row) - ABOVE * this.#row;
    return { top: Math.max(y, top), bottom: Math.min(y + height, top + this.#row) };
  }

  /** Left edge, width and samples of a cell. */
  #stretch(cell: Cell): { x: number; wide: number; from: number; to: number; begin: number } {
    const { strip, sheet, from, to } = this.content;
    const seconds = cell === sheet.strip ? PAGE : PAGE / sheet.columns;
    const begin = cell.column * seconds;
    const rate = strip.buffer.samplingRate;
    const first = Math.min(to, from + Math.ceil(begin * rate - 1e-9));
    return {
      x: this.#grid.x + LEFT + begin * SPEED,
      wide: seconds * SPEED,
      from: first,
      // One sample more, so that the line reaches the edge.
      to: Math.min(to, from + Math.floor((begin + seconds) * rate + 1e-9) + 1),
      begin,
    };
  }

  #x(sample: number): number {
    const { strip, from } = this.content;
    return this.#grid.x + LEFT + ((sample - from) / strip.buffer.samplingRate) * SPEED;
  }

  /** The sample at a place, with its fraction. */
  #sampleAt(x: number): number {
    const { strip, from } = this.content;
    return from + ((x - this.#grid.x - LEFT) / SPEED) * strip.buffer.samplingRate;
  }

  /** Draw a lead. Returns whether the paper cuts it. */
  #trace(cell: Cell): boolean {
    const { strip } = this.content;
    const { x, wide, from, to, begin } = this.#stretch(cell);
    const { zero, perUnit } = this.#courseOf(cell);
    const baseline = this.#baseline(cell.row);
    const { y, height } = this.#grid;
    const lines: number[][] = [];
    let line: number[] | null = null;
    let isBeyond = false;
    for (let sample = from; sample < to; sample += 1) {
      const value = strip.buffer.at(cell.lead, sample);
      if (!Number.isFinite(value)) {
        line = null;
        continue;
      }
      const at = zero - value * perUnit;
      isBeyond ||= at < y || at > y + height;
      if (line === null) {
        line = [];
        lines.push(line);
      }
      line.push(this.#x(sample), at);
    }
    // A single sample is drawn as a dot.
    for (const each of lines) if (each.length === 2) each.push(each[0] + TRACE, each[1]);
    this.#line("trace", lines, TRACE, COLOURS.ink, { x, y, width: wide + TRACE, height });
    const spikes = strip.buffer.channels[cell.lead].kind === "ecg" ? seenSpikes(strip.buffer, from, to) : [];
    const ticks = spikes.map((sample) => this.#x(sample));
    const marks = ticks.map((at) => [
      ...[at - SPIKE.wide, baseline + SPIKE.below + SPIKE.high],
      ...[at, baseline + SPIKE.below],
      ...[at + SPIKE.wide, baseline + SPIKE.below + SPIKE.high],
    ]);
    this.#line("spike", marks, SPIKE.width, COLOURS.lead, { x, y, width: wide, height });
    if (begin > 0) this.#line("boundary", [[x, baseline - 3, x, baseline + 3]], 0.2, COLOURS.ink);
    return isBeyond;
  }

  #label(cell: Cell): void {
    const { wide } = this.#stretch(cell);
    const size = Math.min(SIZES.lead, this.#row * 0.26);
    const { kind, unit } = this.content.strip.buffer.channels[cell.lead];
    const name = kind === "ecg" || unit === "" ? cell.name : `${cell.name} (${unit})`;
    const fitted = fitText(name, Math.min(wide - 3, NAME_WIDE), size, this.measure, true);
    if (fitted.isCut) this.#notes.push(`Name in full of ${fitted.text}: ${name}.`);
    const width = this.measure(fitted.text, fitted.size, true);
    const place = this.#placeOf(cell, width, fitted.size);
    this.#ground(place.x, place.y, fitted.size, width);
    this.#text(fitted.text, place.x, place.y, fitted.size, { isBold: true, colour: COLOURS.lead, role: "lead" });
  }

  /** Left end and baseline of a name of that width: above the trace, or else where no trace runs through it. */
  #placeOf(cell: Cell, width: number, size: number): { x: number; y: number } {
    const { x, wide } = this.#stretch(cell);
    const { top, bottom } = this.#edges(cell.row);
    const baseline = this.#baseline(cell.row);
    if (this.#ownScale(cell) !== null) return { x: x + 1, y: top + size + 0.5 }; // its scale begins below
    const usual = { x: x + 1, y: baseline - Math.min(baseline - top, NAME_ABOVE) + size + 0.5 };
    for (let left = x + 1; left + width < x + wide / 2; left += 2) {
      const ink = this.#inkOf(cell, left - 0.5, left + width + 0.5);
      const isFree = (foot: number): boolean =>
        foot - size >= top && foot + 0.5 <= bottom && (foot + 0.5 < ink.top || foot - size > ink.bottom);
      const feet = [usual.y, ink.top - 1, bottom - 1, ink.bottom + size + 0.5];
      const found = feet.find(isFree);
      if (found !== undefined) return { x: left, y: found };
    }
    return usual;
  }

  /** The range of heights of the traces between two places: the own trace, and neighbours that reach into the row. */
  #inkOf(cell: Cell, from: number, to: number): { top: number; bottom: number } {
    const { strip, sheet } = this.content;
    const own = this.#baseline(cell.row);
    const ink = { top: own, bottom: own };
    const cells = [...sheet.cells, ...(sheet.strip === null ? [] : [sheet.strip])];
    const beside = cells.filter(({ row }) => Math.abs(row - cell.row) <= 1);
    const { top, bottom } = this.#edges(cell.row);
    for (const other of beside) {
      const { zero, perUnit } = this.#courseOf(other);
      const stretch = this.#stretch(other);
      const first = Math.max(stretch.from, Math.floor(this.#sampleAt(from)));
      const last = Math.min(stretch.to, Math.ceil(this.#sampleAt(to)) + 1);
      for (let sample = first; sample < last; sample += 1) {
        const y = zero - strip.buffer.at(other.lead, sample) * perUnit;
        if (other !== cell && (y < top || y > bottom)) continue;
        ink.top = Math.min(ink.top, Number.isFinite(y) ? y : ink.top);
        ink.bottom = Math.max(ink.bottom, Number.isFinite(y) ? y : ink.bottom);
      }
    }
    return ink;
  }

  #hatch(cell: Cell): void {
    const { strip, from: pageFrom, to: pageTo } = this.content;
    const { x, wide, from, to } = this.#stretch(cell);
    const { top, bottom } = this.#edges(cell.row);
    // Without the extra sample of the line.
    const inside = Math.min(to, from + Math.ceil((wide / SPEED) * strip.buffer.samplingRate - 1e-9));
    for (const gap of missingOf(strip.buffer, cell.lead, from, inside)) {
      const left = Math.max(x, this.#x(gap.from));
      const right = Math.max(left + LEAST_GAP, Math.min(x + wide, this.#x(gap.to)));
      const box = { x: left, y: top, width: right - left, height: bottom - top };
      const area: Area = { kind: "area", ...box, colour: GAP_GROUND, role: "gap" };
      this.#marks.push(area);
      this.#line("hatch", hatching(box), HATCH.width, COLOURS.gap, box);
      const text = `missing ${((gap.to - gap.from) / strip.buffer.samplingRate).toFixed(2)} s`;
      const needed = this.measure(text, SIZES.gap);
      if (needed > box.width - 1) continue;
      const middle = left + box.width / 2;
      this.#ground(middle - needed / 2, bottom - 1, SIZES.gap, needed);
      this.#text(text, middle, bottom - 1, SIZES.gap, { anchor: "middle", role: "gap-text" });
    }
    if (pageTo - pageFrom >= Math.floor(PAGE * strip.buffer.samplingRate)) return;
    const end = this.#x(pageTo);
    if (end < x || end > x + wide) return;
    this.#line("end", [[end, top, end, bottom]], 0.3, COLOURS.quiet);
  }

  // --- words ---

  #head(): void {
    const { strip, from, to, number, count, peaks, printed, sheet } = this.content;
    const { x, width } = this.#grid;
    const { patient, device, filter } = strip.origin.said(from, to);
    const rate = rateOf(strip, peaks, from, to);
    const lead = strip.buffer.leads[strip.rhythm] ?? "";
    const [begin, end] = [strip.timeOf(from), strip.timeOf(to)];
    const isTimed = Number.isFinite(begin);
    const leads =
      sheet.cells.length === strip.buffer.leads.length
        ? ""
        : ` · ${sheet.cells.length} of ${strip.buffer.leads.length} leads`;
    const columns = [
      {
        x,
        width: 94,
        lines: [
          patient === "" ? "Patient not stated" : `Patient ${patient}`,
          `Stream ${strip.stream}${device === "" ? "" : ` · device ${device}`}`,
          Number.isNaN(rate)
            ? "Heart rate not measured"
            : `HR ${Math.round(rate)}/min (${fitText(lead, 25, SIZES.text, this.measure).text}, mean of this page)`,
        ],
      },
      {
        x: x + 98,
        width: 86,
        lines: [
          isTimed ? `${day(begin)} ${timeOfDay(begin)}` : "Date and time not stated",
          isTimed ? `to ${timeOfDay(end)} ${zone(begin)}` : `${((to - from) / strip.buffer.samplingRate).toFixed(2)} s`,
          `Page ${number} of ${count}${leads} · printed ${day(printed)} ${timeOfDay(printed).slice(0, 8)}`,
        ],
      },
      {
        x: x + 188,
        width: width - 188,
        lines: [
          `${SPEED} mm/s · ${this.#gain}`,
          filter === "" ? "Filter not stated" : `Filter ${filter}`,
          `When taken: ${strip.state}`,
        ],
      },
    ];
    for (const column of columns) {
      for (const [index, line] of column.lines.entries()) {
        const isFirst = index === 0;
        const size = isFirst ? SIZES.head : SIZES.text;
        const isAlarm = index === 2 && column === columns[2] && !strip.isLive;
        const isBold = isFirst || isAlarm;
        const fitted = fitText(line, column.width, size, this.measure, isBold);
        if (fitted.isCut) this.#notes.push(`In full: ${line}.`);
        const y = TOP + 4 + index * 5.4;
        this.#text(fitted.text, column.x, y, fitted.size, {
          isBold,
          colour: isAlarm ? COLOURS.alarm : COLOURS.ink,
          role: "head",
        });
      }
    }
  }

  #note(cells: readonly Cell[], beyond: readonly string[]): void {
    const { strip, sheet, options, from, to } = this.content;
    const notes: string[] = [];
    const rate = strip.buffer.samplingRate;
    const shown = new Set(cells.map(({ lead }) => lead));
    const gaps = missingOfAll(strip, from, to).filter(({ leads }) => leads.some((each) => shown.has(each)));
    if (gaps.length > 0) {
      const named = gaps.slice(0, NAMED).map(({ gap, leads }) => {
        const at = strip.timeOf(gap.from);
        const when = Number.isFinite(at) ? timeOfDay(at) : `second ${((gap.from - from) / rate).toFixed(2)}`;
        const all = leads.length === strip.buffer.leads.length;
        const who = all ? "all leads" : listed(leads.map((each) => strip.buffer.leads[each]));
        return `${((gap.to - gap.from) / rate).toFixed(2)} s at ${when} (${who})`;
      });
      const others = gaps.length > NAMED ? [`and ${gaps.length - NAMED} more`] : [];
      notes.push(`Missing, hatched: ${[...named, ...others].join("; ")}.`);
    }
    if (to - from < Math.floor(PAGE * rate))
      notes.push(`The strip ends ${((to - from) / rate).toFixed(2)} s into this page.`);
    const behind = (strip.newest - strip.to) / rate;
    if (behind >= 1) notes.push(`The strip ends ${span(behind)} before the newest sample at the time it was taken.`);
    if (differs(strip, from, to)) {
      const seconds = took(strip, from, to).toFixed(2);
      notes.push(`By the stream's clock, these ${((to - from) / rate).toFixed(2)} s took ${seconds} s.`);
    }
    if (beyond.length > 0) notes.push(`Cut at the edge of the paper: ${listed(beyond)}.`);
    if (sheet.columns > 1) {
      const seconds = Number((PAGE / sheet.columns).toFixed(2));
      notes.push(`The columns are consecutive: ${seconds} s of each lead are shown.`);
    }
    if (options.order === "cabrera" && hasCabrera(strip.buffer.leads)) {
      const turned = sheet.cells.find(({ sign }) => sign < 0);
      notes.push(`Cabrera order${turned === undefined ? "" : `; ${turned.name} is drawn upside down`}.`);
    }
    const marks = this.#events.map(({ at, text }, index) => `${index + 1} at ${timeOfDay(at)}${said(text)}`);
    if (marks.length > 0) notes.push(`Marks: ${marks.join("; ")}.`);
    const { pacing, leads } = strip.origin.said(from, to);
    if (pacing !== "") notes.push(`Pacing, stated by the sender: ${pacing}.`);
    const spikes = seenSpikes(strip.buffer, from, to).length;
    if (spikes > 0)
      notes.push(`${spikes} pacing spike${spikes > 1 ? "s" : ""} detected in the signal, marked below the traces.`);
    if (leads !== "") notes.push(`Leads, stated by the sender: ${leads}.`);
    const guess = strip.origin.guess(from, to);
    if (guess !== "") notes.push(`Amplitude: ${guess}.`);
    const others = cells.filter(({ lead }) => strip.buffer.channels[lead].kind !== "ecg").map(({ name }) => name);
    if (others.length < cells.length) notes.push("Pulse: 1 mV, 200 ms.");
    if (others.length > 0) notes.push(`To their own scales, at the left: ${listed(others)}.`);
    notes.push(`All samples are drawn, at ${rate} Hz.`);
    this.#notes.unshift(...notes);
  }

  #foot(): void {
    const { x, y, width, height } = this.#grid;
    const line = SIZES.note * 1.22;
    const lines = wrap(this.#notes.join(" "), width, SIZES.note, this.measure);
    if (lines.length > NOTES) lines.splice(NOTES - 1, lines.length, REST);
    for (const [index, text] of lines.entries()) {
      this.#text(text, x, y + height + 3.4 + index * line, SIZES.note, { colour: COLOURS.quiet, role: "note" });
    }
    const below = y + height + 3.4 + NOTES * line;
    const own =
      "ecgframe monitor · for demonstrating the protocol, not a medical device · at 100 % scale, ten large squares are 50 mm";
    this.#text(own, x, below, SIZES.gap, { colour: COLOURS.quiet, role: "note" });
  }

  #line(role: string, lines: readonly (readonly number[])[], width: number, colour: string, clip?: Box): void {
    const mark: Lines = { kind: "lines", lines, width, colour, role, ...(clip === undefined ? {} : { clip }) };
    if (lines.length > 0) this.#marks.push(mark);
  }

  /** Draw white behind a text, so that the grid does not run through it. */
  #ground(x: number, y: number, size: number, width: number): void {
    const box = { x: x - 0.3, y: y - 0.85 * size, width: width + 0.6, height: 1.1 * size };
    this.#marks.push({ kind: "area", ...box, colour: "#ffffff", role: "ground" });
  }

  #text(text: string, x: number, y: number, size: number, rest: Partial<Writing>): void {
    const usual = { isBold: false, colour: COLOURS.ink, anchor: "start", role: "text" } as const;
    this.#marks.push({ kind: "text", text, x, y, size, ...usual, ...rest });
  }
}

/** The text of a mark behind its time; empty if it has none. */
function said(text: string): string {
  return text === "" ? "" : ` ${clean(text)}`;
}

/** Lines at 45 degrees over a box, within the box. */
function hatching({ x, y, width, height }: Box): number[][] {
  const lines: number[][] = [];
  for (let at = HATCH.step / 2; at < width + height; at += HATCH.step) {
    const [left, right] = [Math.max(0, at - height), Math.min(width, at)];
    lines.push([x + left, y + at - left, x + right, y + at - right]);
  }
  return lines;
}

/** Samples of pacing spikes that were detected in the signal. */
function seenSpikes({ spikes }: TraceBuffer, from: number, to: number): number[] {
  return spikes.filter(({ seen, sample }) => seen && sample >= from && sample < to).map(({ sample }) => sample);
}

/** List names; of many, only the first and the number of the others. */
function listed(names: readonly string[]): string {
  const short = names.slice(0, 6).map((name) => clean(name.length > 24 ? `${name.slice(0, 24)}…` : name));
  return names.length > 6 ? `${short.join(", ")} and ${names.length - 6} more` : short.join(", ");
}
