/** The paper with its traces: three canvases on top of one another, for what stands, what is drawn once, what moves. */

import { bedside } from "./bedside.js";
import { Calipers, type Corner, describe, drawCalipers, samplesOf } from "./calipers.js";
import type { Layout, Panel } from "./layout.js";
import { PALETTES } from "./palette.js";
import { drawPaper } from "./paper.js";
import { millivolt, second } from "./scale.js";
import type { Settings } from "./settings.js";
import { sheet } from "./sheet.js";
import type { EcgSignal } from "./signal.js";
import { Sweep } from "./sweep.js";
import type { TraceBuffer } from "./trace-buffer.js";

/** Millimetres by which a key moves the calipers: finely, and in big squares. */
export const CALIPER_STEPS = { fine: 0.25, coarse: 5 };
/** Seconds behind from which the head says that nothing comes. */
const WAITING = 0.4;

/** What a frozen screen looks at. */
interface Review {
  readonly buffer: TraceBuffer;
  /** The sample at the left. */
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
  #overlayUsed = true;
  readonly #paper: CanvasRenderingContext2D;
  readonly #overlay: CanvasRenderingContext2D;

  /**
   * @param stage the box that the paper fills.
   * @param scroller holds the canvases, and scrolls where they are larger.
   * @param canvases paper, traces, overlay.
   */
  constructor(
    readonly stage: HTMLElement,
    readonly scroller: HTMLElement,
    readonly canvases: { paper: HTMLCanvasElement; traces: HTMLCanvasElement; overlay: HTMLCanvasElement },
    settings: Settings,
  ) {
    this.#settings = settings;
    this.#paper = pen(canvases.paper);
    this.sweep = new Sweep(pen(canvases.traces));
    this.#overlay = pen(canvases.overlay);
    new ResizeObserver(() => this.restyle(this.#settings)).observe(stage);
  }

  /** Show this signal from now on. */
  show(signal: EcgSignal | null): void {
    this.#signal = signal;
    this.review = this.calipers = null;
    this.sweep.clear(); // nothing of one stream may stand under the name of another
    this.#overlayUsed = true;
    this.#isStale = true;
  }

  /** The settings or the size have changed. */
  restyle(settings: Settings): void {
    if (settings.view !== this.#settings.view) this.calipers = null;
    this.#settings = settings;
    this.#isStale = true;
  }

  /** Samples that the screen looks at: those of now, or those of when it was frozen. */
  get buffer(): TraceBuffer | null {
    return this.review?.buffer ?? this.#signal?.buffer ?? null;
  }

  freeze(): void {
    if (this.#signal === null || this.review !== null || this.layout === null) return;
    const buffer = this.#signal.buffer.snapshot();
    const last = Math.min(buffer.end, Math.floor(this.#signal.head.position) + 1);
    this.review = { buffer, first: Math.max(buffer.start, last - Math.floor(this.sweep.page)) };
    this.#isStale = true;
  }

  goLive(): void {
    this.review = this.calipers = null;
    this.#isStale = true;
  }

  /** Scroll so that this sample is at the left, as far as there are samples. */
  scrollTo(first: number): void {
    if (this.review === null) return;
    const { from, to } = this.scrollable;
    this.review.first = Math.round(Math.max(from, Math.min(to, first)));
    this.#isStale = true;
  }

  /** Between which samples the left edge may be. */
  get scrollable(): { from: number; to: number } {
    const buffer = this.buffer;
    if (buffer === null) return { from: 0, to: 0 };
    return { from: buffer.start, to: Math.max(buffer.start, buffer.end - Math.floor(this.sweep.page)) };
  }

  /** Put calipers in the middle of a lead, or take them away. */
  toggleCalipers(): void {
    if (this.calipers !== null) {
      this.calipers = null;
      this.#overlayUsed = true;
      return;
    }
    this.freeze();
    const rhythm = this.#signal?.rhythm;
    const index = this.layout?.panels.findLastIndex(({ traces }) => traces.some(({ lead }) => lead === rhythm)) ?? -1;
    const panel = this.layout?.panels[index];
    if (this.review === null || this.layout === null || panel === undefined || rhythm === undefined) return;
    const middle = this.review.first + (panel.begin + panel.seconds / 2) * this.review.buffer.samplingRate;
    const half = samplesOf(10, this.layout.scale, this.review.buffer.samplingRate);
    const corner = (sample: number, millivolts: number): Corner => ({ sample: Math.round(sample), millivolts });
    this.calipers = new Calipers(index, rhythm, corner(middle - half, 0), corner(middle + half, 1));
  }

  /** Begin calipers where the pointer went down. */
  startCalipers(x: number, y: number): boolean {
    const hit = this.#hit(x, y);
    if (hit === null) return false;
    this.freeze();
    const corner = this.#corner(hit.panel, hit.lead, x, y);
    this.calipers = new Calipers(hit.index, hit.lead, corner, corner);
    return true;
  }

  /** The pointer drags the active corner. */
  dragCalipers(x: number, y: number): void {
    const panel = this.layout?.panels[this.calipers?.panel ?? -1];
    if (this.calipers === null || panel === undefined) return;
    const inside = Math.max(panel.x, Math.min(panel.x + panel.width, x));
    this.calipers.place(this.#corner(panel, this.calipers.lead, inside, y));
  }

  /** Move the active corner by millimetres of paper. */
  moveCalipers(right: number, up: number): void {
    if (this.calipers === null || this.layout === null || this.buffer === null) return;
    const samples = samplesOf(right, this.layout.scale, this.buffer.samplingRate);
    this.calipers.move(
      Math.sign(samples) * Math.max(Math.abs(Math.round(samples)), samples === 0 ? 0 : 1),
      up / this.layout.scale.gain,
    );
  }

  /** What the calipers read, or nothing. */
  get reading(): string {
    return this.calipers === null || this.buffer === null
      ? ""
      : describe(this.calipers.measure(this.buffer.samplingRate));
  }

  /** Draw what is due; to be called once for each frame of the display, with its time in seconds. */
  draw(now: number): void {
    const jumped = this.#signal?.head.advance(now) ?? false;
    if (this.#isStale) this.#redraw();
    else if (this.review === null && this.#signal !== null) {
      const { position } = this.#signal.head;
      if (jumped) this.sweep.redraw(position);
      else this.sweep.advance(position);
    }
    this.#drawOverlay();
  }

  /** Where a sample of a lead is, in CSS pixels; null where it is not shown. */
  point(lead: number, sample: number): { x: number; y: number } | null {
    const { from, to } = this.sweep.shown;
    if (sample < from || sample >= to) return null;
    const places = (this.layout?.panels ?? []).map((panel) => this.sweep.point(panel, lead, sample));
    return places.find((place) => place !== null) ?? null;
  }

  #redraw(): void {
    const buffer = this.buffer;
    if (this.#signal === null || buffer === null) return;
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (width === 0 || height === 0 || Number.isNaN(this.#signal.head.position)) return;
    const arrange = this.#settings.view === "sheet" ? sheet : bedside;
    const layout = arrange(buffer.leads, width, height, this.#settings);
    this.layout = layout;
    const ratio = devicePixelRatio;
    for (const canvas of Object.values(this.canvases)) resize(canvas, layout, ratio);
    // What scrolls has to be reached by keyboard; what does not is only in the way there.
    const scrolls = layout.width > width || layout.height > height;
    this.scroller.classList.toggle("scroll", scrolls);
    if (scrolls) this.scroller.tabIndex = 0;
    else this.scroller.removeAttribute("tabindex");
    const palette = PALETTES[this.#settings.theme];
    drawPaper(this.#paper, layout, palette, ratio);
    this.sweep.configure(layout, palette, ratio, buffer);
    if (this.review === null) this.sweep.redraw(this.#signal.head.position);
    else {
      const { from, to } = this.scrollable;
      this.review.first = Math.max(from, Math.min(to, this.review.first));
      this.sweep.still(this.review.first);
    }
    this.#isStale = false;
    this.#overlayUsed = true;
  }

  #drawOverlay(): void {
    if (this.layout === null) return;
    if (this.#overlayUsed) {
      this.#overlay.setTransform(1, 0, 0, 1, 0, 0);
      this.#overlay.clearRect(0, 0, this.canvases.overlay.width, this.canvases.overlay.height);
      this.#overlayUsed = false;
    }
    if (this.review === null) this.#drawWaiting();
    else this.#drawCalipers(this.layout);
  }

  #drawWaiting(): void {
    if (this.#signal === null || this.#isStale) return;
    const { head, buffer } = this.#signal;
    if (head.position - buffer.end < WAITING * buffer.samplingRate) return;
    this.sweep.drawWaiting(this.#overlay, head.position);
    this.#overlayUsed = true;
  }

  #drawCalipers(layout: Layout): void {
    const panel = layout.panels[this.calipers?.panel ?? -1];
    const { calipers, review } = this;
    if (calipers === null || panel === undefined || review === null) return;
    const step = second(layout.scale) / review.buffer.samplingRate;
    const left = panel.x - panel.begin * second(layout.scale);
    const x = (sample: number): number => left + (sample - review.first) * step;
    this.#overlay.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    drawCalipers(this.#overlay, calipers, panel, layout.scale, PALETTES[this.#settings.theme], x, this.reading);
    this.#overlayUsed = true;
  }

  /** The panel and the lead nearest to a place. */
  #hit(x: number, y: number): { index: number; panel: Panel; lead: number } | null {
    const panels = this.layout?.panels ?? [];
    const index = panels.findIndex(
      (box) => x >= box.x && x < box.x + box.width && y >= box.y && y < box.y + box.height,
    );
    const panel = panels[index];
    if (panel === undefined) return null;
    const nearest = [...panel.traces].sort(
      (one, other) => Math.abs(one.baseline - y) - Math.abs(other.baseline - y),
    )[0];
    return nearest === undefined ? null : { index, panel, lead: nearest.lead };
  }

  #corner(panel: Panel, lead: number, x: number, y: number): Corner {
    const trace = panel.traces.find((candidate) => candidate.lead === lead);
    const { layout, review } = this;
    if (layout === null || review === null || trace === undefined) return { sample: 0, millivolts: 0 };
    const seconds = panel.begin + (x - panel.x) / second(layout.scale);
    return {
      sample: Math.round(review.first + seconds * review.buffer.samplingRate),
      millivolts: (trace.baseline - y) / millivolt(layout.scale),
    };
  }
}

function pen(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const context = canvas.getContext("2d");
  if (context === null) throw new Error("this browser has no canvas to draw on");
  return context;
}

function resize(canvas: HTMLCanvasElement, layout: Layout, ratio: number): void {
  const width = Math.round(layout.width * ratio);
  const height = Math.round(layout.height * ratio);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.style.width = `${layout.width}px`;
  canvas.style.height = `${layout.height}px`;
}
