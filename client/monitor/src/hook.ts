/**
 * `window.ecgframe`: what the page has and shows, for tests and for the curious. It only tells; nothing can be changed
 * by it. docs/monitor.md describes it.
 */

import type { HeartStatus } from "../../src/features/index.js";
import type { WebSocketBinaryService } from "../../src/index.js";
import type { Alert, Alerts } from "./alerts.js";
import type { Pace } from "./pace.js";
import type { Presence } from "./presence.js";
import type { Screen } from "./screen.js";
import type { EcgSignal } from "./signal.js";
import type { Gap } from "./trace-buffer.js";

interface Parts {
  readonly service: WebSocketBinaryService;
  readonly screen: Screen;
  readonly presence: Presence;
  readonly alerts: Alerts;
  readonly pace: Pace;
  stream(): string;
  signal(): EcgSignal | null;
}

export interface MonitorHook {
  /** How things are. Samples are numbered from the first that came. */
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
    /** Where the screen is in them. */
    readonly head: number;
    /** Samples that are on the canvas: `[from, to)`. */
    readonly shown: { readonly from: number; readonly to: number };
    readonly gaps: readonly Gap[];
    readonly rate: number;
    /** What the detector tells of the heart and of the leads; null where there is no signal that it can follow. */
    readonly heart: HeartStatus | null;
    readonly peaks: readonly number[];
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
  /** Milliseconds of the last frames of the display: spent on drawing, and between them. */
  readonly pace: { readonly drawing: readonly number[]; readonly between: readonly number[] };
}

declare global {
  interface Window {
    ecgframe: MonitorHook;
  }
}

export function installHook(parts: Parts): void {
  const { service, screen, presence, alerts, pace } = parts;
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
        peaks: [...(signal?.peaks ?? [])],
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
    get pace() {
      return pace.times;
    },
  };
}
