/** Alerts on the page: a banner with the most severe one that was not seen, and a list of all. */

import { type Alert, AlertHistory } from "./alert-history.js";
import { clockTime, element, make, setText } from "./dom.js";

export class Alerts {
  readonly #history = new AlertHistory();
  readonly #banner = element("banner", HTMLElement);
  readonly #kind = element("banner-kind", HTMLElement);
  readonly #text = element("banner-text", HTMLElement);
  readonly #count = element("alert-count", HTMLElement);
  readonly #list = element("alert-list", HTMLOListElement);

  constructor() {
    this.#render();
  }

  /** All remembered alerts, the newest first. */
  get history(): readonly Alert[] {
    return this.#history.all;
  }

  /** Show an alert, or complete the alert of the same episode. */
  add(alert: Alert): void {
    this.#history.add(alert);
    this.#render();
  }

  /** Mark the alert in the banner as seen, and show the next one. */
  markSeen(): void {
    this.#history.markSeen();
    this.#render();
  }

  #render(): void {
    const shown = this.#history.mostSevere;
    this.#banner.hidden = shown === undefined;
    if (shown !== undefined) {
      this.#banner.dataset.severity = shown.severity;
      this.#banner.classList.toggle("over", shown.end !== null);
      setText(this.#kind, nameOf(shown).replace(shown.severity, shown.severity.toUpperCase()));
      const more = this.#history.unseen.length - 1;
      setText(this.#text, [summary(shown), more > 0 ? `${more} more` : ""].filter(Boolean).join(" · "));
    }
    setText(this.#count, String(this.history.length));
    this.#count.classList.toggle("some", this.#history.unseen.length > 0);
    const items = this.history.map(item);
    this.#list.replaceChildren(...(items.length > 0 ? items : [make("li", "None so far.", "none")]));
  }
}

/** As `critical: asystole`, or `critical, over: asystole`. */
function nameOf({ severity, kind, end }: Alert): string {
  return `${severity}${end === null ? "" : ", over"}: ${kind.replaceAll("_", " ")}`;
}

function summary(alert: Alert): string {
  const confidence = alert.confidence === null ? "" : `${Math.round(alert.confidence * 100)} % sure`;
  const lead = alert.lead === "" || alert.text.includes(alert.lead) ? "" : `lead ${alert.lead}`;
  const time = alert.start === null ? clockTime(alert.timestamp ?? alert.shownAt) : "";
  const text = alert.text === alert.ending ? "" : alert.text; // if only the end is known
  return [text, spanOf(alert), alert.stream, lead, confidence, time, originOf(alert)].filter(Boolean).join(" · ");
}

/** Beginning, end, and how it ended. */
function spanOf({ start, end, ending }: Alert): string {
  if (start === null) return "";
  const since = `since ${timeOfDay(start)}`;
  if (end === null) return since;
  return [`${timeOfDay(start)} to ${timeOfDay(end)}`, ending].filter(Boolean).join(", ");
}

function timeOfDay(seconds: number): string {
  return clockTime(seconds).slice(0, 8);
}

function originOf({ origins }: Alert): string {
  if (origins.length > 1) return "found by page and server";
  return origins[0] === "page" ? "found by this page" : "sent by the server";
}

function item(alert: Alert): HTMLLIElement {
  const made = make("li");
  made.dataset.severity = alert.severity;
  made.append(make("strong", nameOf(alert)), make("br"), make("span", summary(alert)));
  return made;
}
