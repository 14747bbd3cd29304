/** Marks of events: making one, the list of marks and alerts from which one goes to a moment, and the file of it. */

import type { Alert } from "./alert-history.js";
import { toCsv } from "./alerts-csv.js";
import { clockTime, element, make, setHidden, setText } from "./dom.js";
import { download } from "./download.js";
import type { EventMark, EventMarks } from "./event-marks.js";
import { timeOfDay } from "./labels.js";
import { middleOf } from "./mark-flags.js";
import { type Moment, momentsOf, whenInWords } from "./moments.js";
import type { Screen } from "./screen.js";
import type { EcgSignal } from "./signal.js";
import type { Mark } from "./trend.js";

/** Number of moments that the list shows; the file has all. */
const SHOWN = 300;
/** Seconds by which two marks of one moment may differ: the time of a sample is known better with each message. */
const SAME = 0.02;

interface Parts {
  readonly marks: EventMarks;
  readonly screen: Screen;
  stream(): string;
  signal(): EcgSignal | null;
  /** The alerts that the page has shown, and those of the history. */
  alerts(): readonly Alert[];
  past(): readonly Mark[];
  /** Unix seconds, by the server's clock where it is known. */
  now(): number;
  goTo(at: number): void;
  compare(at: number, name: string): void;
  /** Called when the panel is opened, as it takes the place of the list of alerts. */
  opened(): void;
}

export class MarksPanel {
  readonly #panel = element("marks", HTMLElement);
  readonly #button = element("open-marks", HTMLButtonElement);
  readonly #list = element("mark-list", HTMLOListElement);
  readonly #said = element("marks-said", HTMLElement);
  readonly #entry = element("mark-entry", HTMLFormElement);
  readonly #text = element("mark-text", HTMLInputElement);
  /** The mark whose text is being entered, and what had the focus before. */
  #entered: EventMark | null = null;
  #before: Element | null = null;
  /** What the list shows, as text, so that it is rendered only if it changes. */
  #rendered = "";
  #note = "";

  constructor(readonly parts: Parts) {
    this.#button.addEventListener("click", () => this.toggle());
    element("mark", HTMLButtonElement).addEventListener("click", () => this.mark());
    element("save-marks", HTMLButtonElement).addEventListener("click", () => this.#save());
    element("mark-remove", HTMLButtonElement).addEventListener("click", () => this.#discard());
    this.#entry.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#leave();
    });
    this.#text.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#leave();
    });
    addEventListener("storage", () => parts.marks.reload());
  }

  get isOpen(): boolean {
    return !this.#panel.hidden;
  }

  toggle(): void {
    setHidden(this.#panel, this.isOpen);
    this.#button.setAttribute("aria-expanded", String(this.isOpen));
    if (this.isOpen) this.parts.opened();
    this.update();
  }

  /** Mark the newest sample or, on a frozen paper, the corner of the calipers or the middle; its text may be entered then. */
  mark(): void {
    const { marks, stream, now } = this.parts;
    this.#leave();
    const at = this.#chosen;
    if (Number.isNaN(at)) {
      this.#note = "Nothing is marked: there is no signal, or its messages have no times";
      if (!this.isOpen) this.toggle();
      this.update();
      return;
    }
    this.#note = "";
    const known = marks.of(stream()).find((mark) => Math.abs(mark.at - at) < SAME);
    const mark = known ?? { at, text: "", made: now() };
    marks.put(stream(), mark);
    this.#enter(mark);
  }

  /** Stop entering a text, for another stream. */
  clear(): void {
    this.#leave();
  }

  /** Bring the list up to date. */
  update(): void {
    const { marks, stream } = this.parts;
    setText(element("mark-count", HTMLElement), String(marks.of(stream()).length));
    if (!this.isOpen) return;
    const now = this.parts.now();
    const all = this.#moments;
    const shown = all.slice(0, SHOWN);
    const more = all.length > SHOWN ? `${all.length - SHOWN} earlier ones are in the file only` : "";
    setText(this.#said, [this.#note, marks.fault, more].filter(Boolean).join(". "));
    const rendered = JSON.stringify(shown.map(({ at, kind, text }) => [whenInWords(at, now), kind, text]));
    if (rendered === this.#rendered) return;
    this.#rendered = rendered;
    const focused = document.activeElement;
    const items = shown.map((moment) => this.#item(moment, whenInWords(moment.at, now)));
    const none = make("li", "No marks and no alerts so far.", "none");
    const key = focused instanceof HTMLElement && this.#list.contains(focused) ? focused.dataset.key : undefined;
    this.#list.replaceChildren(...(items.length > 0 ? items : [none]));
    if (key === undefined) return;
    const same = [...this.#list.querySelectorAll("button")].find((button) => button.dataset.key === key);
    (same ?? this.#list).focus();
  }

  // --- a mark ---

  /** The moment that a mark is for, in Unix seconds; NaN if there is none. */
  get #chosen(): number {
    const { screen, signal } = this.parts;
    const { review, calipers } = screen;
    if (review === null) {
      const live = signal();
      return live?.timeOf(Math.min(live.buffer.end - 1, Math.floor(live.head.position))) ?? Number.NaN;
    }
    return review.signal.timeOf(calipers?.corners[calipers.active].sample ?? middleOf(review, screen.sweep.page));
  }

  #enter(mark: EventMark): void {
    this.#before = document.activeElement;
    this.#entered = mark;
    setText(element("mark-time", HTMLElement), clockTime(mark.at));
    this.#text.value = mark.text;
    this.#entry.hidden = false;
    this.#text.focus();
    this.update();
  }

  /** Keep the mark with the text. */
  #leave(): void {
    const mark = this.#entered;
    if (mark !== null && mark.text !== this.#text.value)
      this.parts.marks.put(this.parts.stream(), { ...mark, text: this.#text.value });
    this.#close();
  }

  #discard(): void {
    if (this.#entered !== null) this.parts.marks.remove(this.parts.stream(), this.#entered.at);
    this.#close();
  }

  #close(): void {
    if (this.#entered === null) return;
    this.#entered = null;
    setHidden(this.#entry, true);
    if (this.#before instanceof HTMLElement && this.#before.isConnected) this.#before.focus();
    this.update();
  }

  // --- the list ---

  get #moments(): Moment[] {
    const { marks, stream, alerts, past } = this.parts;
    return momentsOf(stream(), marks.of(stream()), alerts(), past());
  }

  #item({ at, kind, text }: Moment, when: string): HTMLLIElement {
    const made = make("li");
    made.dataset.kind = kind;
    const name = `${when} ${text}`;
    const act = (word: string, run: () => void): HTMLButtonElement => {
      const button = make("button", word);
      button.type = "button";
      button.setAttribute("aria-label", `${word}: ${name}`);
      button.dataset.key = `${word} ${at} ${kind}`;
      button.addEventListener("click", run);
      return button;
    };
    const shown = act("Show", () => this.parts.goTo(at));
    shown.className = "moment";
    shown.removeAttribute("aria-label");
    shown.replaceChildren(make("strong", when), ` ${kind === "mark" ? "" : `${kind}: `}${text}`);
    made.append(
      shown,
      act("Compare", () => this.#compare(at, text)),
    );
    if (kind !== "mark") return made;
    const { marks, stream } = this.parts;
    const own = (): EventMark | undefined => marks.of(stream()).find((mark) => mark.at === at);
    made.append(
      act("Edit", () => {
        const mark = own();
        this.#leave();
        if (mark !== undefined) this.#enter(mark);
      }),
      act("Remove", () => {
        const mark = own();
        marks.remove(stream(), at);
        this.#note = `Removed: ${timeOfDay(at)} ${mark?.text ?? ""}`.trim();
        this.update();
      }),
    );
    return made;
  }

  #compare(at: number, name: string): void {
    this.parts.compare(at, name);
    if (matchMedia("(max-width: 700px)").matches) this.toggle(); // there is no room for both
  }

  #save(): void {
    const name = this.parts.stream().replace(/[^A-Za-z0-9_-]+/g, "-") || "stream";
    download([toCsv(this.#moments.map(({ row }) => row))], `${name}-marks-and-alerts.csv`, "text/csv");
  }
}
