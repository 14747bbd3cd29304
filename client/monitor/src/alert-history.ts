/**
 * What was told of a heart, by the server or by this page. One episode is one alert, whoever tells of it: each alert says
 * who did, and when it was over.
 */

import { isRecord, secondsOf } from "./feed.js";
import type { Finding } from "./findings.js";

export type Severity = "info" | "warning" | "critical";
/** Who found it: the server, or whoever published it there, or this page in the signal. */
export type Origin = "server" | "page";

export interface Alert {
  readonly kind: string;
  readonly severity: Severity;
  readonly text: string;
  readonly lead: string;
  readonly stream: string;
  /** Of 0 to 1; null where the detector did not say. */
  readonly confidence: number | null;
  /** When it was told, in Unix seconds. */
  readonly timestamp: number | null;
  /** When it began and ended, in Unix seconds; null where it is not told. */
  readonly start: number | null;
  readonly end: number | null;
  /** How it ended; empty while it lasts. */
  readonly ending: string;
  readonly origins: readonly Origin[];
  /** When it was shown, in Unix seconds. */
  readonly shownAt: number;
}

/** Alerts that are remembered. */
const KEPT = 200;
const GRAVITY: readonly Severity[] = ["info", "warning", "critical"];
/** Seconds by which two may tell a different beginning of one episode. */
const SAME = 5;

/** What an ANOMALY_ALERT says; a kind is all that it must have. */
export function readAlert(data: unknown, now: number): Alert {
  const fields = isRecord(data) ? data : {};
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  const severity = GRAVITY.find((known) => known === fields.severity) ?? "warning";
  const end = secondsOf(fields.end);
  return {
    kind: text(fields.kind) || "alert",
    severity,
    text: text(fields.message),
    lead: text(fields.lead),
    stream: text(fields.stream),
    confidence: typeof fields.confidence === "number" ? fields.confidence : null,
    timestamp: secondsOf(fields.timestamp),
    start: secondsOf(fields.start),
    end,
    ending: end === null ? "" : text(fields.message),
    origins: ["server"],
    shownAt: now,
  };
}

/** What this page found itself. */
export function foundAlert(finding: Finding, stream: string, timeOf: (second: number) => number, now: number): Alert {
  const moment = (second: number | null): number | null => {
    const time = second === null ? Number.NaN : timeOf(second);
    return Number.isNaN(time) ? null : time;
  };
  return {
    kind: finding.kind,
    severity: finding.severity,
    text: finding.message,
    lead: finding.leads.length === 1 ? finding.leads[0] : "",
    stream,
    confidence: null,
    timestamp: moment(finding.end ?? finding.at),
    start: moment(finding.start),
    end: moment(finding.end),
    ending: finding.ending,
    origins: ["page"],
    shownAt: now,
  };
}

export class AlertHistory {
  /** All that are remembered, the newest first. */
  readonly all: Alert[] = [];
  /** Those of them that nobody has seen. */
  readonly unseen: Alert[] = [];

  /** Take an alert; or, where it tells of an episode that is there already, what it adds to that. */
  add(alert: Alert): void {
    if (this.all.some((one) => isRepeated(one, alert))) return;
    const known = this.#episodeOf(alert);
    for (const list of [this.all, this.unseen]) {
      if (known === undefined) {
        list.unshift(alert);
        list.length = Math.min(list.length, KEPT);
      }
    }
    if (known !== undefined) this.#replace(known, join(known, alert));
  }

  /** The gravest was seen. */
  markSeen(): void {
    const { gravest } = this;
    if (gravest !== undefined) this.unseen.splice(this.unseen.indexOf(gravest), 1);
  }

  /** The gravest that nobody has seen, the newest of these first. */
  get gravest(): Alert | undefined {
    return [...this.unseen].sort((one, other) => GRAVITY.indexOf(other.severity) - GRAVITY.indexOf(one.severity))[0];
  }

  #replace(known: Alert, alert: Alert): void {
    for (const list of [this.all, this.unseen]) {
      const place = list.indexOf(known);
      if (place >= 0) list[place] = alert;
    }
  }

  /** The alert of which this one tells more: the nearest in time, where several could be meant. */
  #episodeOf(alert: Alert): Alert | undefined {
    const { start } = alert;
    if (start === null) return undefined;
    const distance = (one: Alert): number => Math.abs((one.start ?? Number.POSITIVE_INFINITY) - start);
    return this.all.filter((one) => isSame(one, alert)).sort((one, other) => distance(one) - distance(other))[0];
  }
}

/** Whether a server sends again what it sent before: to a page that comes back to a stream. */
function isRepeated(one: Alert, other: Alert): boolean {
  return (
    !other.origins.includes("page") &&
    one.origins.includes("server") &&
    other.timestamp !== null &&
    one.kind === other.kind &&
    one.stream === other.stream &&
    one.lead === other.lead &&
    one.severity === other.severity &&
    one.text === other.text &&
    one.timestamp === other.timestamp
  );
}

/**
 * Whether an alert tells of the episode of one before it: of its end, or of its beginning after somebody else did. Alerts
 * without a beginning stand each for itself.
 */
function isSame(one: Alert, other: Alert): boolean {
  if (one.kind !== other.kind || one.stream !== other.stream || one.lead !== other.lead) return false;
  if (one.start === null || other.start === null) return false;
  if (other.end !== null)
    return one.start <= other.end + SAME && (one.end ?? Number.POSITIVE_INFINITY) >= other.start - SAME;
  const isNews = other.origins.some((origin) => !one.origins.includes(origin));
  return isNews && Math.abs(one.start - other.start) <= SAME;
}

function join(one: Alert, other: Alert): Alert {
  const origins = [...new Set([...one.origins, ...other.origins])];
  const { end, ending } = one.end === null ? other : one;
  return { ...one, origins, end, ending };
}
