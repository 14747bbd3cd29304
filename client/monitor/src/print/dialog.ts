/**
 * The dialog "Print / save…". The strip is taken when the dialog opens, so that all files and sheets have the same samples.
 * The browser's own print command prints the same sheets.
 *
 * The browser's print dialog makes the PDF: it has fonts for all scripts and embeds them, and no library is needed.
 */

import { element, make } from "../dom.js";
import { download } from "../download.js";
import { GAINS, type Gain } from "../scale.js";
import type { Screen } from "../screen.js";
import type { EcgSignal } from "../signal.js";
import {
  ARRANGEMENTS,
  type Arrangement,
  hasCabrera,
  nameOf,
  type Order,
  PAPERS,
  type Paper,
  type SheetOptions,
  SPEED,
} from "./arrange.js";
import { measureWith, RESOLUTION, toPng } from "./canvas.js";
import { toCsv } from "./csv.js";
import { fileName, missingText } from "./files.js";
import type { PrintedMark } from "./flags.js";
import type { Origin } from "./origin.js";
import { gridOf, pageCount, pages } from "./page.js";
import { type Condition, PAGE, type Strip, stateText, stretchOf, timesNow } from "./strip.js";
import { toSvg } from "./svg.js";
import { clean, day, timeOfDay, zone } from "./text.js";
import { toWfdb, wfdbChanges } from "./wfdb.js";
import { type Entry, zip } from "./zip.js";

/** Seconds that can be chosen; 0 is all that is kept. */
const LENGTHS = [10, 30, 60, 0];

interface Parts {
  readonly screen: Screen;
  origin(signal: EcgSignal): Origin;
  stream(): string;
  /** The marks of events of the stream. */
  marks(): readonly Pick<PrintedMark, "at" | "text">[];
  signal(): EcgSignal | null;
  condition(signal: EcgSignal): Condition;
  /** Unix seconds. */
  now(): number;
}

export class PrintDialog {
  readonly #dialog = make("dialog");
  readonly #about = make("p", "", "about");
  readonly #notes = make("ul", "", "notes");
  readonly #preview = make("figure", "", "preview");
  readonly #status = make("p", "", "status");
  readonly #length = chooser("print-length");
  readonly #paper = chooser("print-paper");
  readonly #arrangement = chooser("print-layout");
  readonly #order = chooser("print-order");
  readonly #gain = chooser("print-gain");
  readonly #actions = make("div", "", "actions");
  readonly #pages = make("div");
  readonly #measure;
  #strip: Strip | null = null;
  #isBusy = false;

  constructor(readonly parts: Parts) {
    const context = document.createElement("canvas").getContext("2d");
    if (context === null) throw new Error("this browser does not support drawing on a canvas");
    this.#measure = measureWith(context);
    this.#build();
    offer(
      this.#paper,
      Object.entries(PAPERS).map(([value, { name }]) => [value, name]),
      usualPaper(),
    );
    offer(
      this.#gain,
      GAINS.map((gain) => [String(gain), `${gain} mm/mV`]),
      "10",
    );
    element("open-print", HTMLButtonElement).addEventListener("click", () => this.toggle());
    addEventListener("beforeprint", () => this.#fillPages());
    addEventListener("afterprint", () => this.#pages.replaceChildren());
  }

  toggle(): void {
    if (this.#dialog.open) this.#dialog.close();
    else this.#open();
  }

  #open(): void {
    this.#strip = null;
    const buffer = this.parts.screen.buffer;
    const kept = buffer === null ? 0 : (buffer.end - buffer.start) / buffer.samplingRate;
    offer(
      this.#length,
      LENGTHS.filter((seconds) => seconds <= PAGE || seconds < kept).map((seconds) => [
        String(seconds),
        seconds === 0 ? `everything, ${kept.toFixed(1)} s` : `${seconds} s`,
      ]),
      "10",
    );
    this.#status.textContent = "";
    this.#take();
    this.#dialog.showModal();
  }

  /** Take the strip: what a frozen screen shows, or the last seconds. */
  #take(): void {
    this.#strip = this.#stripNow(this.#strip);
    const buffer = this.#strip?.buffer;
    if (buffer !== undefined) {
      const height = gridOf(this.#options.paper).height;
      offer(
        this.#arrangement,
        ARRANGEMENTS.map((each) => [each, nameOf(each, buffer.leads, this.#options, height, buffer.channels)]),
        this.#arrangement.value || "rhythm",
      );
      const cabrera = hasCabrera(buffer.leads);
      const why = cabrera ? "Cabrera (aVL I −aVR II aVF III)" : "Cabrera: needs all six limb leads";
      offer(
        this.#order,
        [
          ["standard", "standard"],
          ["cabrera", why, !cabrera],
        ],
        cabrera ? this.#order.value : "standard",
      );
    }
    this.#show();
  }

  /** @param before the current strip: its samples stay, and only its length follows the choice. */
  #stripNow(before: Strip | null): Strip | null {
    const { screen, origin, stream, condition } = this.parts;
    // The frozen signal may have been replaced by another one since.
    const live = this.parts.signal();
    const signal = screen.review?.signal ?? live;
    const chosen = this.#length.value;
    const seconds = chosen === "0" ? Number.POSITIVE_INFINITY : Number(chosen || PAGE);
    const first = screen.review?.first ?? Number.POSITIVE_INFINITY;
    if (before !== null) return { ...before, ...clipped(before, first, seconds) };
    if (signal === null || signal.buffer.end === signal.buffer.start) return null;
    const buffer = screen.review?.buffer ?? signal.buffer.snapshot();
    const { text, isLive } = stateText(condition(live ?? signal));
    const strip = {
      stream: stream(),
      buffer,
      origin: origin(signal).snapshot(),
      rhythm: signal.rhythm,
      timeOf: timesNow(signal, buffer),
      from: buffer.start,
      to: buffer.end,
      newest: signal.buffer.end,
      state: text,
      isLive,
      marks: this.parts.marks().map(({ at, text }) => ({ at, text, sample: signal.sampleAt(at) })),
    };
    return { ...strip, ...clipped(strip, first, seconds) };
  }

  get #options(): SheetOptions {
    return {
      paper: (this.#paper.value || "a4") as Paper,
      arrangement: (this.#arrangement.value || "rhythm") as Arrangement,
      order: (this.#order.value || "standard") as Order,
      gain: (Number(this.#gain.value) || 10) as Gain,
    };
  }

  /** Say what will be printed or saved, and show its first page. */
  #show(): void {
    const strip = this.#strip;
    for (const button of this.#actions.querySelectorAll("button")) button.disabled = strip === null;
    if (strip === null) {
      this.#about.textContent = "There is no signal yet to print or save.";
      this.#notes.replaceChildren();
      this.#preview.replaceChildren();
      return;
    }
    const { buffer, from, to } = strip;
    const [begin, end] = [strip.timeOf(from), strip.timeOf(to)];
    const when = Number.isFinite(begin)
      ? `${day(begin)} ${timeOfDay(begin)} to ${timeOfDay(end)} ${zone(begin)}`
      : "time not stated";
    const count = pageCount(strip, this.#options);
    this.#about.textContent = `${clean(strip.stream)} · ${buffer.leads.length} ${buffer.leads.length === 1 ? "lead" : "leads"} at ${buffer.samplingRate} Hz · ${when} · ${count} ${count === 1 ? "page" : "pages"} · ${strip.state}`;
    const guess = strip.origin.guess(from, to);
    const notes = [
      `Missing: ${missingText(strip)}.`,
      ...(guess === "" ? [] : [`Amplitude: ${guess}.`]),
      ...wfdbChanges(strip).map((text) => `WFDB, ${text}.`),
    ];
    this.#notes.replaceChildren(...notes.map((text) => make("li", text)));
    const [first] = pages(strip, this.#options, this.parts.now(), this.#measure);
    const svg = toSvg(first);
    svg.removeAttribute("width");
    svg.removeAttribute("height");
    this.#preview.replaceChildren(svg);
  }

  /** The sheets for the printer: those of the dialog, or the last seconds where the browser prints by itself. */
  #fillPages(): void {
    const strip = this.#dialog.open ? this.#strip : this.#stripNow(null);
    this.#pages.className = this.#options.paper;
    if (strip === null) {
      this.#pages.replaceChildren(make("p", "ecgframe monitor: there is no signal to print."));
      return;
    }
    const drawn: Element[] = [];
    for (const page of pages(strip, this.#options, this.parts.now(), this.#measure)) drawn.push(toSvg(page));
    this.#pages.replaceChildren(...drawn);
  }

  async #save(strip: Strip, kind: "png" | "csv" | "wfdb"): Promise<string> {
    const now = this.parts.now();
    const name = fileName(strip, now);
    if (kind === "csv") return download(toCsv(strip), `${name}.csv`, "text/csv");
    if (kind === "wfdb") return download([zip(toWfdb(strip, name), now)], `${name}.zip`, "application/zip");
    const pictures: Entry[] = [];
    const count = pageCount(strip, this.#options);
    for (const page of pages(strip, this.#options, now, this.#measure)) {
      this.#status.textContent = `Writing page ${pictures.length + 1} of ${count}…`;
      pictures.push({ name: `${name}_${String(pictures.length + 1).padStart(2, "0")}.png`, bytes: await toPng(page) });
    }
    if (pictures.length === 1) return download([pictures[0].bytes], `${name}.png`, "image/png");
    return download([zip(pictures, now)], `${name}_png.zip`, "application/zip");
  }

  async #run(kind: "png" | "csv" | "wfdb"): Promise<void> {
    const strip = this.#strip;
    if (strip === null) return;
    if (this.#isBusy) {
      this.#status.textContent = "The previous file is still being written; try again then.";
      return;
    }
    this.#isBusy = true;
    this.#status.textContent = "Writing…";
    try {
      this.#status.textContent = `Saved as ${await this.#save(strip, kind)}.`;
    } catch (error) {
      this.#status.textContent = `Not saved: ${error instanceof Error ? error.message : String(error)}`;
    }
    this.#isBusy = false;
  }

  #build(): void {
    const dialog = this.#dialog;
    dialog.id = "print";
    dialog.setAttribute("aria-labelledby", "print-title");
    const title = make("h2", "Print or save the strip");
    title.id = "print-title";
    const fields = make("div", "", "fields");
    for (const [text, field] of [
      ["Length", this.#length],
      ["Paper", this.#paper],
      ["Layout", this.#arrangement],
      ["Order of leads", this.#order],
      ["Gain", this.#gain],
    ] as const) {
      const label = make("label", text);
      label.append(field);
      fields.append(label);
      field.addEventListener("change", () => this.#take());
    }
    this.#status.setAttribute("role", "status");
    this.#actions.append(
      action("print-now", "Print or PDF…", () => print()),
      action("save-png", `PNG, ${RESOLUTION} dpi`, () => void this.#run("png")),
      action("save-csv", "CSV", () => void this.#run("csv")),
      action("save-wfdb", "WFDB", () => void this.#run("wfdb")),
    );
    const hint = make(
      "p",
      `To print at ${SPEED} mm/s, choose this paper, no margins and a scale of 100 % in the browser's print dialog. CSV and WFDB contain all leads of the whole strip.`,
    );
    const form = make("form");
    form.method = "dialog";
    form.append(make("button", "Close"));
    dialog.append(title, this.#about, fields, this.#actions, this.#status, this.#preview, this.#notes, hint, form);
    this.#pages.id = "print-pages";
    document.body.append(dialog, this.#pages);
  }
}

function clipped(strip: Pick<Strip, "buffer">, first: number, seconds: number): { from: number; to: number } {
  const { start, end, samplingRate } = strip.buffer;
  return stretchOf(strip.buffer, first, Math.min(seconds, (end - start) / samplingRate));
}

function chooser(id: string): HTMLSelectElement {
  const made = make("select");
  made.id = id;
  return made;
}

function offer(
  field: HTMLSelectElement,
  choices: readonly (readonly [string, string, boolean?])[],
  chosen: string,
): void {
  field.replaceChildren(
    ...choices.map(([value, text, isDisabled]) => {
      const option = new Option(text, value, false, value === chosen);
      option.disabled = isDisabled ?? false;
      return option;
    }),
  );
}

function action(id: string, text: string, run: () => void): HTMLButtonElement {
  const button = make("button", text);
  button.type = "button";
  button.id = id;
  button.addEventListener("click", run);
  return button;
}

/** Letter in countries that use it, A4 elsewhere. */
function usualPaper(): Paper {
  return /-(US|CA|MX|PH|CL|CO|VE)$/i.test(navigator.language) ? "letter" : "a4";
}
