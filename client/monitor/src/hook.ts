/**
 * `window.ecgframe`: read-only access to the state of the page, for tests. docs/monitor.md describes it.
 */

import type { WebSocketBinaryService } from "../../src/index.js";
import type { Alert } from "./alert-history.js";
import type { Alerts } from "./alerts.js";
import type { HeartState } from "./findings.js";
import type { Pace } from "./pace.js";
import type { Presence } from "./presence.js";
import type { Screen } from "./screen.js";
import type { EcgSignal, LeadQuality } from "./signal.js";
import type { Gap, SpikeMark } from "./trace-buffer.js";
import type { Mark, Rates, Trend } from "./trend.js";

interface Parts {
  readonly service: WebSocketBinaryService;
  readonly screen: Screen;
  readonly presence: Presence;
  readonly alerts: Alerts;
  readonly pace: Pace;
  readonly trend: Trend;
  stream(): string;
  signal(): EcgSignal | null;
}

export interface MonitorHook {
  /** The state of the page. Samples are numbered from the first that arrived. */
  readonly state: {
    readonly stream: string;
    readonly link: string;
    readonly lost: boolean;
    readonly frozen: boolean;
    readonly leads: readonly string[];
    readonly samplingRate: number;
    /** Samples that are kept: `[start, end)`. */
    readonly start: number;
    readonly end: number;
    /** Number of the newest sample on the screen. */
    readonly head: number;
    /** Samples that are on the canvas: `[from, to)`. */
    readonly shown: { readonly from: number; readonly to: number };
    readonly gaps: readonly Gap[];
    readonly rate: number;
    readonly heart: HeartState | null;
    /** Of each lead, in their order. */
    readonly quality: readonly LeadQuality[];
    readonly peaks: readonly number[];
    /** Samples with pacing spikes, marked by the device or detected in the signal. */
    readonly spikes: readonly SpikeMark[];
    readonly reading: string;
    readonly reconnections: number;
  };
  /** The samples `[from, to)` of a lead, in millivolts, as float32; null where one is missing. */
  samples(lead: string, from: number, to: number): (number | null)[];
  /** Where a sample is on the canvas `#traces`, in its own pixels; null where it is not shown. */
  point(lead: string, sample: number): { x: number; y: number } | null;
  /** When a sample was taken, in Unix seconds. */
  timeOf(sample: number): number;
  /** The alerts, the newest first, with the time at which each was shown. */
  readonly alerts: readonly Alert[];
  /** The heart rate over time, in steps of 5 seconds, and the alerts of the history. */
  readonly trend: { readonly steps: readonly Rates[]; readonly marks: readonly Mark[] };
  /** Of the last frames of the display: milliseconds of drawing, and between two frames. */
  readonly pace: { readonly drawing: readonly number[]; readonly between: readonly number[] };
}

declare global {
  interface Window {
    ecgframe: MonitorHook;
  }
}

export function installHook(parts: Parts): void {
  const { service, screen, presence, alerts, pace, trend } = parts;
  const leadOf = (name: string): number => parts.signal()?.buffer.leads.indexOf(name) ?? -1;
  window.ecgframe = {
    get state() {
      const signal = parts.signal();
      const buffer = signal?.buffer;
      return {
        stream: parts.stream(),
        link: service.state,
        lost: presence.isLost,
        frozen: screen.review !== null,
        leads: buffer?.leads ?? [],
        samplingRate: buffer?.samplingRate ?? 0,
        start: buffer?.start ?? 0,
        end: buffer?.end ?? 0,
        head: signal?.head.position ?? 0,
        shown: screen.sweep.shown,
        gaps: buffer?.gaps ?? [],
        rate: signal?.rate ?? Number.NaN,
        heart: signal?.heart ?? null,
        quality: [...(signal?.quality ?? [])],
        peaks: [...(signal?.peaks ?? [])],
        spikes: [...(buffer?.spikes ?? [])],
        reading: screen.reading,
        reconnections: service.statistics.reconnections,
      };
    },
    samples(name, from, to) {
      const values = Array.from(parts.signal()?.buffer.slice(leadOf(name), from, to) ?? []);
      return values.map((value) => (Number.isNaN(value) ? null : value));
    },
    point(name, sample) {
      const place = screen.point(leadOf(name), sample);
      return place === null ? null : { x: place.x * devicePixelRatio, y: place.y * devicePixelRatio };
    },
    timeOf: (sample) => parts.signal()?.timeOf(sample) ?? Number.NaN,
    get alerts() {
      return [...alerts.history];
    },
    get trend() {
      return { steps: trend.steps, marks: trend.marks };
    },
    get pace() {
      return pace.times;
    },
  };
}
