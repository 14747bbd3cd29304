/**
 * Alerts: a banner with the gravest that nobody has seen yet, and a history. One episode is one alert, whoever tells of it:
 * the server, this page or both; each alert says who did, and when it was over.
 */

import { clockTime, element, make, setText } from "./dom.js";
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

export class Alerts {
  /** All that are remembered, the newest first. */
  readonly history: Alert[] = [];
  readonly #unseen: Alert[] = [];
  readonly #banner = element("banner", HTMLElement);
  readonly #kind = element("banner-kind", HTMLElement);
  readonly #text = element("banner-text", HTMLElement);
  readonly #count = element("alert-count", HTMLElement);
  readonly #list = element("alert-list", HTMLOListElement);

  constructor() {
    this.#render();
  }

  /** Show an alert, at once; or, where it tells of an episode that is there already, what it adds to that. */
  add(alert: Alert): void {
    if (this.history.some((one) => isRepeated(one, alert))) return;
    const known = this.#episodeOf(alert);
    if (known === undefined) {
      this.history.unshift(alert);
      this.history.length = Math.min(this.history.length, KEPT);
      this.#unseen.unshift(alert);
      this.#unseen.length = Math.min(this.#unseen.length, KEPT);
    } else {
      const joined = join(known, alert);
      for (const list of [this.history, this.#unseen]) {
        const place = list.indexOf(known);
        if (place >= 0) list[place] = joined;
      }
    }
    this.#render();
  }

  /** The one in the banner was seen; the next comes up. */
  markSeen(): void {
    const shown = this.#gravest();
    if (shown !== undefined) this.#unseen.splice(this.#unseen.indexOf(shown), 1);
    this.#render();
  }

  /** The alert of which this one tells more: the nearest in time, where several could be meant. */
  #episodeOf(alert: Alert): Alert | undefined {
    const { start } = alert;
    if (start === null) return undefined;
    const distance = (one: Alert): number => Math.abs((one.start ?? Number.POSITIVE_INFINITY) - start);
    return this.history.filter((one) => isSame(one, alert)).sort((one, other) => distance(one) - distance(other))[0];
  }

  /** The gravest that nobody has seen, the newest of these first. */
  #gravest(): Alert | undefined {
    return [...this.#unseen].sort((one, other) => GRAVITY.indexOf(other.severity) - GRAVITY.indexOf(one.severity))[0];
  }

  #render(): void {
    const shown = this.#gravest();
    this.#banner.hidden = shown === undefined;
    if (shown !== undefined) {
      this.#banner.dataset.severity = shown.severity;
      setText(this.#kind, `${shown.severity.toUpperCase()}: ${nameOf(shown)}`);
      const more = this.#unseen.length - 1;
      setText(this.#text, [summary(shown), more > 0 ? `${more} more` : ""].filter(Boolean).join(" · "));
    }
    setText(this.#count, String(this.history.length));
    this.#count.classList.toggle("some", this.#unseen.length > 0);
    const items = this.history.map(item);
    this.#list.replaceChildren(...(items.length > 0 ? items : [make("li", "None so far.", "none")]));
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

function nameOf({ kind }: Alert): string {
  return kind.replaceAll("_", " ");
}

function summary(alert: Alert): string {
  const confidence = alert.confidence === null ? "" : `${Math.round(alert.confidence * 100)} % sure`;
  const lead = alert.lead === "" ? "" : `lead ${alert.lead}`;
  const time = clockTime(alert.timestamp ?? alert.shownAt);
  return [alert.text, spanOf(alert), alert.stream, lead, confidence, time, originOf(alert)].filter(Boolean).join(" · ");
}

/** From when to when, and how it ended. */
function spanOf({ start, end, ending, text }: Alert): string {
  if (start === null) return "";
  const since = `since ${timeOfDay(start)}`;
  if (end === null) return since;
  return [`${timeOfDay(start)} to ${timeOfDay(end)}, over`, ending === text ? "" : ending].filter(Boolean).join(": ");
}

function timeOfDay(seconds: number): string {
  return clockTime(seconds).slice(0, 8);
}

function originOf({ origins }: Alert): string {
  if (origins.length > 1) return "found by this page, and sent by the server";
  return origins[0] === "page" ? "found by this page" : "sent by the server";
}

function item(alert: Alert): HTMLLIElement {
  const made = make("li");
  made.dataset.severity = alert.severity;
  made.append(make("strong", `${alert.severity}: ${nameOf(alert)}`), make("br"), make("span", summary(alert)));
  return made;
}
