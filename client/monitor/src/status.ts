/** The status line: negotiation, data rates, latency and losses. */

import type { Message } from "../../src/index.js";
import { element, setText } from "./dom.js";
import { JsonCost } from "./json-cost.js";
import { duration } from "./presence-words.js";
import { Percentiles, Rate } from "./statistics.js";

/** Window of the rates in seconds. */
const WINDOW = 4;
/** If the median latency is below minus this many seconds, the server's clock is ahead. */
const CLOCK_TOLERANCE = 0.1;
/** Number of latencies from which the percentiles are calculated. */
const LATENCIES = 1000;

/** Counters of other parts of the page. */
export interface Counts {
  readonly gaps: number;
  readonly missingSeconds: number;
  readonly dropped: number;
  readonly reconnections: number;
}

export class Status {
  readonly latencies = new Percentiles(LATENCIES);
  readonly #frames = new Rate(WINDOW);
  readonly #bytes = new Rate(WINDOW);
  readonly #json = new JsonCost();
  #nextUpdate = 0;

  /** Count a received message. */
  received(message: Message): void {
    this.#frames.add(1);
    this.#bytes.add(message.frameBytes);
    this.#json.observe(message.data, message.frameBytes);
  }

  /** Add the latency of a message, in seconds. */
  travelled(seconds: number): void {
    this.latencies.add(seconds);
  }

  /** Show the result of the negotiation. */
  negotiated(version: number, capabilities: readonly string[]): void {
    set("status-version", `V${version}`);
    const names = capabilities.join(", ");
    set("status-capabilities", names && ` · ${names}`);
    element("status-capabilities", HTMLElement).title = names;
  }

  /** Start anew, for another stream. */
  clear(): void {
    this.latencies.clear();
    this.#json.clear();
  }

  /** Bring the line up to date, once per second. */
  update(now: number, counts: Counts): void {
    if (now < this.#nextUpdate) return;
    this.#nextUpdate = now + 1;
    const frames = this.#frames.perSecond(now);
    set("status-frames", Number.isNaN(frames) ? "––" : `${frames.toFixed(1)} /s`);
    set("status-bytes", describeBytes(this.#bytes.perSecond(now), this.#json.ratio));
    this.#showLatency();
    const missing = counts.missingSeconds > 0 ? ` · ${counts.missingSeconds.toFixed(2)} s` : "";
    set("status-gaps", `${counts.gaps}${missing}`, counts.gaps > 0);
    set("status-drops", String(counts.dropped), counts.dropped > 0);
    set("status-reconnections", String(counts.reconnections), counts.reconnections > 0);
  }

  /** Show the latency or, if messages seem to arrive before they were sent, by how much the server's clock is ahead. */
  #showLatency(): void {
    const [median, p99] = this.latencies.at(0.5, 0.99);
    const isAhead = this.latencies.count > 0 && median < -CLOCK_TOLERANCE;
    const times = `median ${milliseconds(median)} · p99 ${milliseconds(p99)}`;
    const text = isAhead ? `clock of the server ${duration(-median)} ahead` : times;
    set("status-latency", this.latencies.count === 0 ? "––" : text, isAhead);
  }
}

/** As `12.3 kB/s (JSON 41.0 kB/s, −70 %)`. */
export function describeBytes(rate: number, jsonRatio: number): string {
  if (Number.isNaN(rate)) return "––";
  const now = kilobytes(rate);
  if (!Number.isFinite(jsonRatio) || rate === 0) return now;
  const share = Math.round((1 / jsonRatio - 1) * 100);
  return `${now} (JSON ${kilobytes(rate * jsonRatio)}, ${share < 0 ? "−" : "+"}${Math.abs(share)} %)`;
}

function kilobytes(bytes: number): string {
  return bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB/s` : `${(bytes / 1e6).toFixed(2)} MB/s`;
}

function milliseconds(seconds: number): string {
  return `${(seconds * 1000).toFixed(1).replace("-", "−")} ms`;
}

function set(id: string, text: string, isBad = false): void {
  const target = element(id, HTMLElement);
  setText(target, text);
  target.classList.toggle("bad", isBad);
}
