/** The status line: negotiation, data rates, latency and losses. */

import type { Message } from "../../src/index.js";
import { element, setText } from "./dom.js";
import { JsonCost } from "./json-cost.js";
import { duration } from "./presence-words.js";
import { Percentiles, Rate } from "./statistics.js";

/** Window of the rates in seconds. */
const WINDOW = 4;
/** Seconds by which the server's clock may be ahead without being marked. */
const CLOCK_TOLERANCE = 0.1;
/** A median latency below this many seconds would be shown as a negative number. */
const LEAST_SHOWN = -0.00005;
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

  #showLatency(): void {
    const isKnown = this.latencies.count > 0;
    const [median, p99] = this.latencies.at(0.5, 0.99);
    set("status-latency", isKnown ? latencyText(median, p99) : "––", isKnown && median < -CLOCK_TOLERANCE);
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

/** The latency or, if messages seem to arrive before they were sent, by how much the server's clock is ahead. */
export function latencyText(median: number, p99: number): string {
  if (median >= LEAST_SHOWN) return `median ${milliseconds(median)} · p99 ${milliseconds(p99)}`;
  return `clock of the server ${median > -CLOCK_TOLERANCE ? milliseconds(-median) : duration(-median)} ahead`;
}

function kilobytes(bytes: number): string {
  return bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB/s` : `${(bytes / 1e6).toFixed(2)} MB/s`;
}

function milliseconds(seconds: number): string {
  return `${Math.max(seconds * 1000, 0).toFixed(1)} ms`;
}

function set(id: string, text: string, isBad = false): void {
  const target = element(id, HTMLElement);
  setText(target, text);
  target.classList.toggle("bad", isBad);
}
