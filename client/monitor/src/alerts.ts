/** Alerts: a banner with the gravest that nobody has seen yet, and a history. */

import { clockTime, element, make, setText } from "./dom.js";
import { isRecord, secondsOf } from "./feed.js";

export type Severity = "info" | "warning" | "critical";

export interface Alert {
  readonly kind: string;
  readonly severity: Severity;
  readonly text: string;
  readonly lead: string;
  readonly stream: string;
  /** Of 0 to 1; null where the detector did not say. */
  readonly confidence: number | null;
  /** When it happened and when it was shown, in Unix seconds. */
  readonly timestamp: number | null;
  readonly shownAt: number;
}

/** Alerts that are remembered. */
const KEPT = 200;
const GRAVITY: readonly Severity[] = ["info", "warning", "critical"];

/** What an ANOMALY_ALERT says; a kind is all that it must have. */
export function readAlert(data: unknown, now: number): Alert {
  const fields = isRecord(data) ? data : {};
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  const severity = GRAVITY.find((known) => known === fields.severity) ?? "warning";
  return {
    kind: text(fields.kind) || "alert",
    severity,
    text: text(fields.message),
    lead: text(fields.lead),
    stream: text(fields.stream),
    confidence: typeof fields.confidence === "number" ? fields.confidence : null,
    timestamp: secondsOf(fields.timestamp),
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

  /** Show an alert, at once. */
  add(alert: Alert): void {
    this.history.unshift(alert);
    this.history.length = Math.min(this.history.length, KEPT);
    this.#unseen.unshift(alert);
    this.#unseen.length = Math.min(this.#unseen.length, KEPT);
    this.#render();
  }

  /** The one in the banner was seen; the next comes up. */
  markSeen(): void {
    const shown = this.#gravest();
    if (shown !== undefined) this.#unseen.splice(this.#unseen.indexOf(shown), 1);
    this.#render();
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
      setText(this.#kind, `${shown.severity.toUpperCase()}: ${shown.kind}`);
      const more = this.#unseen.length - 1;
      setText(this.#text, [summary(shown), more > 0 ? `${more} more` : ""].filter(Boolean).join(" · "));
    }
    setText(this.#count, String(this.history.length));
    this.#count.classList.toggle("some", this.#unseen.length > 0);
    const items = this.history.map(item);
    this.#list.replaceChildren(...(items.length > 0 ? items : [make("li", "None so far.", "none")]));
  }
}

function summary(alert: Alert): string {
  const confidence = alert.confidence === null ? "" : `${Math.round(alert.confidence * 100)} % sure`;
  const lead = alert.lead === "" ? "" : `lead ${alert.lead}`;
  const time = clockTime(alert.timestamp ?? alert.shownAt);
  return [alert.text, alert.stream, lead, confidence, time].filter(Boolean).join(" · ");
}

function item(alert: Alert): HTMLLIElement {
  const made = make("li");
  made.dataset.severity = alert.severity;
  made.append(make("strong", `${alert.severity}: ${alert.kind}`), make("br"), make("span", summary(alert)));
  return made;
}
