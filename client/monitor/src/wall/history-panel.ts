/** The history on the page: a filter, the list, and the file. */

import type { Severity } from "../alert-history.js";
import { toCsv } from "../alerts-csv.js";
import { clockTime, element, make, setText } from "../dom.js";
import { download } from "../download.js";
import type { Alarm, AlarmBook } from "./alarm-book.js";
import { alarmInWords, PRIORITY_NAMES } from "./alarm-words.js";
import { type Filter, select } from "./history.js";

/** Number of alarms that the list shows; the file has all. */
const SHOWN = 200;

export class HistoryPanel {
  readonly #panel = element("history", HTMLElement);
  readonly #button = element("open-history", HTMLButtonElement);
  readonly #bed = element("filter-bed", HTMLSelectElement);
  readonly #priority = element("filter-priority", HTMLSelectElement);
  readonly #state = element("filter-state", HTMLSelectElement);
  readonly #words = element("filter-words", HTMLInputElement);
  readonly #list = element("alarms", HTMLOListElement);
  /** What the list shows, as text, so that it is rendered only if it changes. */
  #rendered = "";

  constructor(
    readonly book: AlarmBook,
    readonly now: () => number,
    acknowledge: (alarms: readonly Alarm[]) => void,
    /** Called when the panel takes room of the tiles, or gives it back. */
    resized: () => void,
  ) {
    this.#button.addEventListener("click", () => {
      this.#panel.hidden = !this.#panel.hidden;
      this.#button.setAttribute("aria-expanded", String(!this.#panel.hidden));
      this.update();
      resized();
    });
    element("filter", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
    for (const field of [this.#bed, this.#priority, this.#state, this.#words])
      field.addEventListener("input", () => this.update());
    element("export", HTMLButtonElement).addEventListener("click", () => this.#save());
    element("acknowledge-all", HTMLButtonElement).addEventListener("click", () => acknowledge(this.#selected()));
  }

  toggle(): void {
    this.#button.click();
  }

  update(): void {
    const now = this.now();
    setText(element("count", HTMLElement), String(this.book.signalling(now).length));
    if (this.#panel.hidden) return;
    this.#offerBeds();
    const found = this.#selected();
    const shown = found.slice(0, SHOWN).map((alarm) => ({ alarm, text: this.#line(alarm, now) }));
    const forgotten = this.book.forgotten > 0 ? `${this.book.forgotten} older ones are forgotten.` : "";
    const more = found.length > SHOWN ? `${found.length - SHOWN} more; the file has them.` : "";
    const notes = [found.length === 0 ? "None." : "", more, forgotten].filter(Boolean);
    const rendered = JSON.stringify([shown.map(({ alarm, text }) => [alarm.key, alarm.severity, text]), notes]);
    if (rendered === this.#rendered) return;
    this.#rendered = rendered;
    const items = shown.map(({ alarm, text }) => {
      const item = make("li");
      item.dataset.priority = alarm.severity;
      item.append(make("span", PRIORITY_NAMES[alarm.severity], "priority"), ` ${text}`);
      return item;
    });
    this.#list.replaceChildren(...items, ...notes.map((note) => make("li", note)));
  }

  #line(alarm: Alarm, now: number): string {
    const { acknowledged, start, end, timestamp, shownAt } = alarm;
    const begin = clockTime(start ?? timestamp ?? shownAt).slice(0, 8);
    const span = end === null ? begin : `${begin} to ${clockTime(end).slice(0, 8)}`;
    const by =
      acknowledged === null ? "" : `acknowledged by ${acknowledged.by} at ${clockTime(acknowledged.at).slice(0, 8)}`;
    const state = this.book.isSignalling(alarm, now) ? "signalling" : by === "" ? "not acknowledged" : by;
    return [alarm.stream, alarmInWords(alarm, now), span, state].join(" · ");
  }

  #selected(): Alarm[] {
    const now = this.now();
    const filter: Filter = {
      bed: this.#bed.value,
      priority: this.#priority.value as Severity | "",
      state: this.#state.value as Filter["state"],
      words: this.#words.value,
    };
    return select(this.book.all, filter, (alarm) => this.book.isSignalling(alarm, now));
  }

  #offerBeds(): void {
    const names = [...new Set(this.book.all.map(({ stream }) => stream))].sort();
    const known = Array.from(this.#bed.options, ({ value }) => value).slice(1);
    if (names.length === known.length && names.every((name, place) => name === known[place])) return;
    const { value } = this.#bed;
    this.#bed.replaceChildren(new Option("all", ""), ...names.map((name) => new Option(name, name)));
    this.#bed.value = names.includes(value) ? value : "";
  }

  #save(): void {
    download([toCsv(this.#selected())], "alarms.csv", "text/csv");
  }
}
