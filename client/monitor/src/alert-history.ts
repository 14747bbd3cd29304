/**
 * The alerts of the server and of this page. If both report the same episode, it is one alert, with both as its origin.
 */

import { isRecord, secondsOf } from "./feed.js";
import type { Finding } from "./findings.js";

export type Severity = "info" | "warning" | "critical";
/** Where an alert comes from: the server, or the detector of this page. */
export type Origin = "server" | "page";

export interface Alert {
  readonly kind: string;
  readonly severity: Severity;
  readonly text: string;
  readonly lead: string;
  readonly stream: string;
  /** From 0 to 1; null if the sender states none. */
  readonly confidence: number | null;
  /** When it was reported, in Unix seconds. */
  readonly timestamp: number | null;
  /** Beginning and end, in Unix seconds; null if unknown. */
  readonly start: number | null;
  readonly end: number | null;
  /** How it ended; empty while it lasts. */
  readonly ending: string;
  readonly origins: readonly Origin[];
  /** When it was shown, in Unix seconds. */
  readonly shownAt: number;
}

/** Number of alerts that are remembered. */
const KEPT = 200;
const GRAVITY: readonly Severity[] = ["info", "warning", "critical"];
/** Seconds by which two reports of one episode may differ. */
const SAME = 5;

/** Read an ANOMALY_ALERT, of which all fields but `kind` are optional. */
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

/** An alert of this page's own detector. */
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

/** The last alerts, and which of them were not seen yet. */
export class AlertHistory {
  /** All remembered alerts, the newest first. */
  readonly all: Alert[] = [];
  /** The alerts that are not marked as seen. */
  readonly unseen: Alert[] = [];

  /** Add an alert, or complete the alert of the same episode. */
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

  /** Mark the most severe alert as seen. */
  markSeen(): void {
    const { mostSevere } = this;
    if (mostSevere !== undefined) this.unseen.splice(this.unseen.indexOf(mostSevere), 1);
  }

  /** The most severe alert that was not seen; of several, the newest. */
  get mostSevere(): Alert | undefined {
    return [...this.unseen].sort((one, other) => GRAVITY.indexOf(other.severity) - GRAVITY.indexOf(one.severity))[0];
  }

  #replace(known: Alert, alert: Alert): void {
    for (const list of [this.all, this.unseen]) {
      const place = list.indexOf(known);
      if (place >= 0) list[place] = alert;
    }
  }

  /** The alert of the same episode; of several, the nearest in time. */
  #episodeOf(alert: Alert): Alert | undefined {
    const { start } = alert;
    if (start === null) return undefined;
    const distance = (one: Alert): number => Math.abs((one.start ?? Number.POSITIVE_INFINITY) - start);
    return this.all.filter((one) => isSame(one, alert)).sort((one, other) => distance(one) - distance(other))[0];
  }
}

/** Returns whether the server sends an alert again, as it does after a new subscription. */
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
 * Returns whether two alerts are of one episode: the second reports its end, or its beginning from the other origin.
 * Alerts without a beginning are never joined.
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
