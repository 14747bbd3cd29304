/** The strip with the heart rate over time: a click, or Enter, shows the samples of that time. */

import {
  type History,
  type HistoryHost,
  history,
  MessageType,
  ProtocolError,
  type StreamMessage,
} from "../../src/index.js";
import type { Alert } from "./alert-history.js";
import { element, setHidden, setText } from "./dom.js";
import type { EventMark } from "./event-marks.js";
import { ecgFrame } from "./feed.js";
import { timeOfDay } from "./labels.js";
import { HISTORY_SINCE } from "./past.js";
import { duration } from "./presence-words.js";
import type { Screen } from "./screen.js";
import { type Mark, markOf, PastRates, Trend } from "./trend.js";
import { drawTrend, type TrendColours } from "./trend-drawing.js";

/** Seconds that the strip shows, the shortest first; the first that has room for all rates is used. */
const SPANS = [120, 600, 3600, 4 * 3600, 24 * 3600];
/** Seconds of the history that are asked for when the strip is opened. */
const ASKED = 4 * 3600;
/** Seconds between two drawings. */
const REDRAWN = 1;

interface Parts {
  readonly host: HistoryHost;
  readonly screen: Screen;
  stream(): string;
  /** The version of the protocol; 0 without a connection. */
  version(): number;
  /** The alerts that the page has shown. */
  alerts(): readonly Alert[];
  /** The moments that somebody has marked. */
  events(): readonly EventMark[];
  /** Unix seconds, by the server's clock where it is known. */
  now(): number;
  /** Show the samples of a time, in Unix seconds. */
  goTo(time: number): void;
}

export class TrendPanel {
  readonly trend = new Trend();
  readonly #panel = element("trend", HTMLElement);
  readonly #button = element("open-trend", HTMLButtonElement);
  readonly #canvas = element("trend-canvas", HTMLCanvasElement);
  readonly #place = element("trend-place", HTMLInputElement);
  readonly #said = element("trend-said", HTMLElement);
  #history: History | null = null;
  #hasAsked = false;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #words = "";

  constructor(readonly parts: Parts) {
    this.#button.addEventListener("click", () => this.toggle());
    this.#place.addEventListener("input", () => this.#draw());
    this.#place.addEventListener("pointerup", () => this.#go());
    this.#place.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.#go();
    });
    new ResizeObserver(() => this.#draw()).observe(this.#canvas);
  }

  get isOpen(): boolean {
    return !this.#panel.hidden;
  }

  toggle(): void {
    setHidden(this.#panel, this.isOpen);
    this.#button.setAttribute("aria-expanded", String(this.isOpen));
    if (!this.isOpen) return;
    this.#place.value = this.#place.max;
    this.#ask();
    this.#draw();
  }

  /** Forget everything, for another stream. */
  clear(): void {
    this.#history?.end();
    this.#history = null;
    this.#hasAsked = false;
    this.trend.clear();
    if (this.isOpen) this.#ask();
  }

  /** Note the rate at a time, in Unix seconds. @param now in seconds of a monotonic clock */
  update(at: number, rate: number, now: number): void {
    this.trend.add(at, rate);
    if (!this.isOpen || now - this.#drawnAt < REDRAWN) return;
    this.#drawnAt = now;
    if (!this.#hasAsked) this.#ask();
    this.#draw();
  }

  /** Ask for the history before what the page has, once; it comes beside the live signal. */
  #ask(): void {
    const { host, stream, version, now } = this.parts;
    if (this.#hasAsked || stream() === "" || version() === 0) return;
    this.#hasAsked = true;
    if (version() < HISTORY_SINCE) {
      this.#words = "Since this page was opened: earlier rates need version 4 of the protocol";
      return;
    }
    const rates = new PastRates(this.trend);
    const stamp = (seconds: number): bigint => BigInt(Math.max(0, Math.round(1e6 * seconds)));
    const take = (message: StreamMessage): void => {
      const sent = message.timestamp === null ? null : Number(message.timestamp) / 1e6;
      if (message.type === MessageType.ANOMALY_ALERT) rates.alert(message.data, sent);
      if (message.type !== MessageType.ECG_DATA) return;
      try {
        rates.take(ecgFrame(message));
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error; // as of a live message, which is reported
      }
    };
    const asking = history(host, stream(), take, { start: stamp(now() - ASKED), stop: stamp(now()) });
    this.#history = asking;
    this.#words = "Loading what the server keeps…";
    asking.finished.then(
      () => this.#loaded(asking, asking.lost > 0 ? `${asking.lost} messages of the past are lost` : ""),
      (error: Error) => this.#loaded(asking, `No earlier rates: ${error.message}`),
    );
  }

  #loaded(asking: History, words: string): void {
    if (this.#history !== asking) return; // another stream is shown
    this.#history = null;
    this.#words = words;
    this.#draw();
  }

  // --- the strip ---

  /** The times that the strip shows. */
  get #range(): { from: number; to: number } {
    const to = this.parts.now();
    const oldest = this.trend.steps.at(0)?.from ?? to;
    const span = SPANS.find((each) => to - oldest <= each) ?? (SPANS.at(-1) as number);
    return { from: to - span, to };
  }

  get #marks(): readonly Mark[] {
    const stream = this.parts.stream();
    const own = this.parts.alerts().filter((alert) => alert.stream === "" || alert.stream === stream);
    return [...this.trend.marks, ...own.map(markOf).filter((mark) => mark !== null)];
  }

  /** The time at the thumb, which keeps its distance from the right end. */
  get #chosen(): number {
    const { from, to } = this.#range;
    return from + (Number(this.#place.value) / Number(this.#place.max)) * (to - from);
  }

  #go(): void {
    this.parts.goTo(this.#chosen);
    this.#draw();
  }

  #describe(): void {
    const { steps } = this.trend;
    const at = this.#chosen;
    const rate = Math.round(this.trend.rateAt(at));
    const isNear = (mark: { readonly at: number }): boolean =>
      Math.abs(mark.at - at) < (this.#range.to - this.#range.from) / 100;
    const near = this.#marks.filter(isNear);
    const events = this.parts.events().filter(isNear);
    const marked = events.map(({ text }) => `mark: ${text}`.replace(/: $/, ""));
    const alerts = [...new Set(near.map(({ kind, severity }) => `${severity}: ${kind.replaceAll("_", " ")}`))];
    const text = [timeOfDay(at), Number.isNaN(rate) ? "no rate" : `${rate} beats a minute`, ...alerts, ...marked].join(
      " · ",
    );
    if (this.#place.getAttribute("aria-valuetext") !== text) this.#place.setAttribute("aria-valuetext", text);
    const oldest = steps.at(0)?.from;
    const known = oldest === undefined ? "No rates yet" : `${duration(this.#range.to - oldest)} of rates`;
    setText(this.#said, [text, known, this.#words].filter(Boolean).join(" · "));
  }

  #draw(): void {
    if (!this.isOpen) return;
    this.#describe();
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const pen = this.#canvas.getContext("2d");
    if (pen === null || width === 0 || height === 0) return;
    const ratio = devicePixelRatio;
    if (this.#canvas.width !== Math.round(width * ratio)) this.#canvas.width = Math.round(width * ratio);
    if (this.#canvas.height !== Math.round(height * ratio)) this.#canvas.height = Math.round(height * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const view = {
      ...this.#range,
      steps: this.trend.steps,
      marks: this.#marks,
      events: this.parts.events().map(({ at }) => at),
      chosen: this.#chosen,
      shown: this.#shown,
    };
    drawTrend(pen, view, width, height, coloursOf(this.#panel));
  }

  /** The times on a frozen paper. */
  get #shown(): { from: number; to: number } | null {
    const { review, sweep } = this.parts.screen;
    if (review === null) return null;
    return { from: review.signal.timeOf(review.first), to: review.signal.timeOf(review.first + sweep.page) };
  }
}

function coloursOf(panel: HTMLElement): TrendColours {
  const style = getComputedStyle(panel);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  return {
    ground: colour("--paper"),
    line: colour("--line"),
    text: colour("--quiet"),
    rate: colour("--accent"),
    band: colour("--line"),
    place: colour("--warn"),
    event: colour("--mark"),
    marks: { critical: colour("--bad"), warning: colour("--warn"), info: colour("--info") },
  };
}
