/** The status line: what was negotiated, how much comes and how fast, what was missed. */

import type { Message } from "../../src/index.js";
import { element, setText } from "./dom.js";
import { JsonCost } from "./json-cost.js";
import { duration } from "./presence-words.js";
import { Percentiles, Rate } from "./statistics.js";

/** Seconds over which rates are taken. */
const WINDOW = 4;
/** Seconds that a latency may be below zero before that is the clock's. */
const PUNCTUAL = 0.1;
/** Latencies that the percentiles are of. */
const LATENCIES = 1000;

/** What is counted elsewhere. */
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
  #next = 0;

  /** A message came. */
  received(message: Message): void {
    this.#frames.add(1);
    this.#bytes.add(message.frameBytes);
    this.#json.observe(message.data, message.frameBytes);
  }

  /** How long a message was on its way, in seconds. */
  travelled(seconds: number): void {
    this.latencies.add(seconds);
  }

  /** What both sides agreed on. */
  negotiated(version: number, capabilities: readonly string[]): void {
    set("status-version", `V${version}`);
    const names = capabilities.join(", ");
    set("status-capabilities", names && ` · ${names}`);
    element("status-capabilities", HTMLElement).title = names;
  }

  /** Another stream: what was measured of the last one counts no more. */
  clear(): void {
    this.latencies.clear();
    this.#json.clear();
  }

  /** Say how it is, once a second. */
  update(now: number, counts: Counts): void {
    if (now < this.#next) return;
    this.#next = now + 1;
    const frames = this.#frames.perSecond(now);
    set("status-frames", Number.isNaN(frames) ? "––" : `${frames.toFixed(1)} /s`);
    set("status-bytes", describeBytes(this.#bytes.perSecond(now), this.#json.ratio));
    this.#tellLatency();
    const missing = counts.missingSeconds > 0 ? ` · ${counts.missingSeconds.toFixed(2)} s` : "";
    set("status-gaps", `${counts.gaps}${missing}`, counts.gaps > 0);
    set("status-drops", String(counts.dropped), counts.dropped > 0);
    set("status-reconnections", String(counts.reconnections), counts.reconnections > 0);
  }

  /** A message cannot come before it was sent: where it seems so, beyond what timers are off by, a clock is off. */
  #tellLatency(): void {
    const [median, late] = this.latencies.at(0.5, 0.99);
    const isOff = this.latencies.count > 0 && median < -PUNCTUAL;
    const times = `median ${milliseconds(median)} · p99 ${milliseconds(late)}`;
    const text = isOff ? `clock of the server ${duration(-median)} ahead` : times;
    set("status-latency", this.latencies.count === 0 ? "––" : text, isOff);
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
