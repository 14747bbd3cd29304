/** The screen: four stacked canvases for the paper, the traces, the overlay with the calipers, and the labels. */

import { bedside } from "./bedside.js";
import type { Calipers } from "./calipers.js";
import type { Layout } from "./layout.js";
import { OwnRanges, withOwnScales } from "./own-scale.js";
import { PALETTES, type Palette } from "./palette.js";
import { drawGround, drawLabels, nameOf, shortName } from "./paper.js";
import type { ScreenTools } from "./screen-tools.js";
import type { Settings } from "./settings.js";
import { type EcgSignal, KEPT_BYTES } from "./signal.js";
import { Sweep } from "./sweep.js";
import type { TraceBuffer } from "./trace-buffer.js";

/** Millimetres by which a key moves the calipers, without and with Shift. */
export const CALIPER_STEPS = { fine: 0.25, coarse: 5 };

/** The samples of a frozen screen. */
export interface Review {
  buffer: TraceBuffer;
  /** The signal that `buffer` was copied from. It maps samples to times, also after the page shows another signal. */
  readonly signal: EcgSignal;
  /** The sample that was chosen for the left edge; another size of the page may not have it there. */
  chosen: number;
  /** The sample at the left edge. */
  first: number;
}

export class Screen {
  readonly sweep: Sweep;
  layout: Layout | null = null;
  review: Review | null = null;
  calipers: Calipers | null = null;
  #signal: EcgSignal | null = null;
  #settings: Settings;
  #isStale = true;
  /** True if the form of the page may have changed since the last full redraw. */
  #isReshaped = true;
  #overlayNeedsClear = true;
  /** Device pixel ratio at the last full redraw. */
  #pixelRatio = devicePixelRatio;
  /** The first sample of a live sheet; null before it begins. */
  #sheetFirst: number | null = null;
  /** The scales of the signals that are no ECG. */
  #ranges = new OwnRanges([]);
  readonly #paper: CanvasRenderingContext2D;
  readonly #overlay: CanvasRenderingContext2D;
  readonly #labels: CanvasRenderingContext2D;
  readonly #resizes = new ResizeObserver(() => this.restyle(this.#settings));

  /**
   * @param stage the box that the paper fills.
   * @param scroller holds the canvases, and scrolls if they are larger.
   * @param canvases from the lowest to the highest.
   * @param paletteOf gives the colours; by default, those of the theme.
   * @param tools the sheet and the calipers; without them, a sheet is shown as a sweep, and there are no calipers.
   */
  constructor(
    readonly stage: HTMLElement,
    readonly scroller: HTMLElement,
    readonly canvases: {
      readonly paper: HTMLCanvasElement;
      readonly traces: HTMLCanvasElement;
      readonly overlay: HTMLCanvasElement;
      readonly labels: HTMLCanvasElement;
    },
    settings: Settings,
    readonly paletteOf: (settings: Settings) => Palette = ({ theme }) => PALETTES[theme],
    public tools: ScreenTools | null = null,
  ) {
    this.#settings = settings;
    this.#paper = pen(canvases.paper);
    this.sweep = new Sweep(pen(canvases.traces));
    this.#labels = pen(canvases.labels);
    this.#overlay = pen(canvases.overlay);
    this.connect();
  }

  /** Observe the size of the box. */
  connect(): void {
    this.#resizes.observe(this.stage);
  }

  /** Observe the box no longer. */
  disconnect(): void {
    this.#resizes.disconnect();
  }

  /** Show the signal of another stream, or none. */
  show(signal: EcgSignal | null): void {
    this.review = this.calipers = null;
    this.sweep.clear(); // no trace of one stream may be shown under the name of another
    this.continueWith(signal);
  }

  /** Continue with a signal of other leads or another rate. A frozen screen stays as it is. */
  continueWith(signal: EcgSignal | null): void {
    this.#signal = signal;
    this.#sheetFirst = null;
    this.#overlayNeedsClear = true;
    this.#isStale = true;
  }

  /** Apply changed settings or a new size. */
  restyle(settings: Settings): void {
    if (settings.view !== this.#settings.view) {
      this.calipers = null;
      this.#sheetFirst = null;
    }
    this.#settings = settings;
    this.#isStale = this.#isReshaped = true;
  }

  /** The samples of the screen: live, or those at the time when it was frozen. */
  get buffer(): TraceBuffer | null {
    return this.review?.buffer ?? this.#signal?.buffer ?? null;
  }

  freeze(): void {
    if (this.#signal === null || this.review !== null || this.layout === null) return;
    const buffer = this.#signal.buffer.snapshot();
    const last = Math.min(buffer.end, Math.floor(this.#signal.head.position) + 1);
    // A complete sheet is frozen as it is shown.
    const isWhole = this.#sheetFirst !== null && this.#sheetFirst + this.sweep.page <= last;
    const first = isWhole ? (this.#sheetFirst ?? 0) : last - Math.floor(this.sweep.page);
    const chosen = Math.max(buffer.start, Math.ceil(first));
    this.review = { buffer, signal: this.#signal, chosen, first: chosen };
    this.#isStale = true;
  }

  /** Make room for that many seconds of earlier samples on a frozen screen, at most. Returns whether there is any. */
  makeRoom(seconds: number): boolean {
    if (this.review === null) return false;
    const { start, end, leads, samplingRate } = this.review.buffer;
    const most = Math.floor(KEPT_BYTES / (4 * leads.length));
    const capacity = Math.min(most, end - start + Math.ceil(seconds * samplingRate));
    if (capacity <= end - start) return false;
    this.review.buffer = this.review.buffer.snapshot(capacity);
    this.#isStale = true;
    return true;
  }

  /** Draw everything again, as earlier samples have changed. */
  refresh(): void {
    this.#isStale = true;
  }

  goLive(): void {
    this.review = this.calipers = null;
    this.#isStale = true;
  }

  /** Scroll so that this sample is at the left edge, as far as there are samples. */
  scrollTo(first: number): void {
    if (this.review === null) return;
    const { from, to } = this.scrollable;
    this.review.chosen = this.review.first = Math.round(Math.max(from, Math.min(to, first)));
    this.#isStale = true;
  }

  /** The range of samples that can be at the left edge. */
  get scrollable(): { from: number; to: number } {
    const buffer = this.buffer;
    if (buffer === null) return { from: 0, to: 0 };
    return { from: buffer.start, to: Math.max(buffer.start, buffer.end - Math.floor(this.sweep.page)) };
  }

  /** Put calipers in the middle of a lead, or remove them. */
  toggleCalipers(): void {
    if (this.calipers !== null) {
      this.calipers = null;
      this.#overlayNeedsClear = true;
      return;
    }
    if (this.tools === null) return;
    this.freeze();
    const { review, layout, tools } = this;
    if (review === null || layout === null) return;
    this.calipers = tools.calipersInMiddle(review, layout, this.#ranges.of(review.signal.rhythm));
  }

  /** Start calipers where the pointer was pressed. */
  startCalipers(x: number, y: number): boolean {
    const { layout, tools } = this;
    const hit = layout && tools?.hitAt(layout, x, y);
    if (!hit || !tools) return false;
    this.freeze();
    if (this.review === null) return false;
    this.calipers = tools.calipersAt(hit, x, y, this.review, layout);
    return true;
  }

  /** Drag the active corner to a place. */
  dragCalipers(x: number, y: number): void {
    const { calipers, review, layout, tools } = this;
    if (calipers && review && layout) tools?.dragTo(calipers, x, y, review, layout);
  }

  /** Move the active corner by millimetres of paper. */
  moveCalipers(right: number, up: number): void {
    const { calipers, buffer, layout, tools } = this;
    if (calipers && buffer && layout) tools?.moveBy(calipers, right, up, layout, buffer.samplingRate);
  }

  /** The reading of the calipers; empty without them. */
  get reading(): string {
    return this.calipers === null || this.buffer === null || this.tools === null
      ? ""
      : this.tools.describe(this.calipers.measure(this.buffer.samplingRate), this.buffer.channels[this.calipers.lead]);
  }

  /** Draw. To be called for each frame of the display, with its time in seconds. */
  draw(now: number): void {
    const jumped = this.#signal?.head.advance(now) ?? false;
    if (devicePixelRatio !== this.#pixelRatio) this.#isStale = true; // the window moved to another screen, or was zoomed
    const isRescaled = this.review === null && this.#signal !== null && this.#follow(this.#signal.buffer);
    if (this.#isStale || isRescaled || (jumped && this.review === null)) this.#redraw();
    else if (this.review === null && this.#signal !== null) this.#drawNewSamples(this.#signal);
    this.#drawOverlay();
  }

  /** Follow the ranges of a live signal. Returns whether one has changed. */
  #follow(buffer: TraceBuffer): boolean {
    if (buffer.channels !== this.#ranges.channels) this.#ranges = new OwnRanges(buffer.channels);
    return this.#ranges.follow(buffer);
  }

  #drawNewSamples(signal: EcgSignal): void {
    const { position } = signal.head;
    if (!this.#isSheet) this.sweep.advance(position);
    else if (this.#turnSheet(signal)) this.sweep.drawPage(this.#sheetFirst ?? 0, position);
    else this.sweep.drawUpTo(position);
  }

  /** Start the next live sheet, but only when its ten seconds are complete. Returns whether it was started. */
  #turnSheet({ buffer, head }: EcgSignal): boolean {
    const { page } = this.sweep;
    const before = this.#sheetFirst;
    const isAhead = before !== null && before > head.position; // the head moved back
    let first = before === null || isAhead ? Math.max(buffer.start, Math.floor(head.position - page)) : before;
    while (first + 2 * page <= head.position) first += page;
    this.#sheetFirst = Math.ceil(Math.max(first, buffer.start));
    return this.#sheetFirst !== before;
  }

  /** The live sheet: its samples, and seconds until it is complete, or until the next one; null if there is none. */
  get sheet(): { first: number; last: number; isWhole: boolean; seconds: number } | null {
    if (this.#sheetFirst === null || this.#signal === null || this.review !== null) return null;
    const { page } = this.sweep;
    const { position } = this.#signal.head;
    const end = this.#sheetFirst + page;
    const isWhole = position >= end;
    const seconds = ((isWhole ? end + page : end) - position) / this.#signal.buffer.samplingRate;
    return { first: this.#sheetFirst, last: isWhole ? end : position, isWhole, seconds: Math.max(0, seconds) };
  }

  /** The full name of a lead whose shortened name is at that place; otherwise empty. */
  nameAt(x: number, y: number): string {
    for (const panel of this.layout?.panels ?? []) {
      const found = panel.traces.find(({ labelY }) => y >= labelY && y < labelY + 18);
      if (found === undefined || x < panel.x || x > panel.x + panel.width || this.layout === null) continue;
      const name = nameOf(found);
      if (shortName(this.#labels, name, panel, this.layout.scale) !== name) return name;
    }
    return "";
  }

  /** The place of a sample of a lead, in CSS pixels; null if it is not shown. */
  point(lead: number, sample: number): { x: number; y: number } | null {
    const { from, to } = this.sweep.shown;
    if (sample < from || sample >= to) return null;
    const places = (this.layout?.panels ?? []).map((panel) => this.sweep.point(panel, lead, sample));
    return places.find((place) => place !== null) ?? null;
  }

  get #isSheet(): boolean {
    return this.#settings.view === "sheet" && this.tools !== null;
  }

  #redraw(): void {
    const buffer = this.buffer;
    if (this.#signal === null || buffer === null) return;
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (width === 0 || height === 0 || Number.isNaN(this.#signal.head.position)) return;
    const arrange = this.#isSheet && this.tools ? this.tools.sheet : bedside;
    const layout = this.#scaled(arrange(buffer.leads, width, height, this.#settings, buffer.channels), buffer);
    this.layout = layout;
    const ratio = devicePixelRatio;
    this.#pixelRatio = ratio;
    for (const canvas of Object.values(this.canvases)) resize(canvas, layout, ratio);
    // Add the scroller to the tab order only when it scrolls.
    const scrolls = layout.width > width || layout.height > height;
    this.scroller.classList.toggle("scroll", scrolls);
    this.scroller.classList.toggle("tall", layout.height > height);
    if (scrolls) this.scroller.tabIndex = 0;
    else this.scroller.removeAttribute("tabindex");
    const palette = this.paletteOf(this.#settings);
    drawGround(this.#paper, layout, palette, ratio);
    clear(this.#labels);
    drawLabels(this.#labels, layout, palette, ratio);
    this.sweep.configure(layout, palette, ratio, buffer);
    if (this.review === null && this.#isSheet) {
      this.#turnSheet(this.#signal);
      this.sweep.drawPage(this.#sheetFirst ?? 0, this.#signal.head.position);
    } else if (this.review === null) this.sweep.redraw(this.#signal.head.position);
    else {
      if (this.#isReshaped) this.#place(this.review);
      this.sweep.drawPage(this.review.first);
    }
    this.#isStale = this.#isReshaped = false;
    this.#overlayNeedsClear = true;
  }

  /** Give the signals that are no ECG their scales. */
  #scaled(layout: Layout, buffer: TraceBuffer): Layout {
    if (this.review === null) this.#follow(buffer);
    else {
      if (buffer.channels !== this.#ranges.channels) this.#ranges = new OwnRanges(buffer.channels);
      const page = layout.period * buffer.samplingRate;
      this.#ranges.include(buffer, this.review.first, Math.ceil(this.review.first + page));
    }
    return withOwnScales(layout, this.#ranges);
  }

  /** Put the chosen sample at the left edge of a page of another form or, if they would not be seen, the calipers on it. */
  #place(review: Review): void {
    const { from, to } = this.scrollable;
    const within = (sample: number): number => Math.round(Math.max(from, Math.min(to, sample)));
    review.first = within(review.chosen);
    if (this.calipers === null) return;
    const samples = this.calipers.corners.map(({ sample }) => sample);
    const { page } = this.sweep;
    const isSeen = Math.min(...samples) >= review.first && Math.max(...samples) <= review.first + page;
    if (!isSeen) review.first = within((samples[0] + samples[1] - page) / 2);
  }

  #drawOverlay(): void {
    if (this.layout === null) return;
    if (this.#overlayNeedsClear) {
      clear(this.#overlay);
      this.#overlayNeedsClear = false;
    }
    if (this.review !== null) this.#drawCalipers(this.layout, this.review);
  }

  #drawCalipers(layout: Layout, review: Review): void {
    const { calipers, tools } = this;
    if (calipers === null || tools === null) return;
    this.#overlay.setTransform(this.#pixelRatio, 0, 0, this.#pixelRatio, 0, 0);
    const isDrawn = tools.drawPlaced(this.#overlay, calipers, review, layout, this.paletteOf(this.#settings));
    if (isDrawn) this.#overlayNeedsClear = true;
  }
}

function pen(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const context = canvas.getContext("2d");
  if (context === null) throw new Error("this browser does not support drawing on a canvas");
  return context;
}

function clear(context: CanvasRenderingContext2D): void {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
}

function resize(canvas: HTMLCanvasElement, layout: Layout, ratio: number): void {
  const width = Math.round(layout.width * ratio);
  const height = Math.round(layout.height * ratio);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.style.width = `${layout.width}px`;
  canvas.style.height = `${layout.height}px`;
}
