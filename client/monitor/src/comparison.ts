/** A moment of the stream as reference, on a paper of its own beside the one in view, at the same scale. */

import type { HistoryHost } from "../../src/index.js";
import { element, setHidden, setText } from "./dom.js";
import { MarkFlags, middleOf } from "./mark-flags.js";
import { whenInWords } from "./moments.js";
import { HISTORY_SINCE } from "./past.js";
import { duration } from "./presence-words.js";
import { Screen } from "./screen.js";
import { SCREEN_TOOLS } from "./screen-tools.js";
import type { Settings } from "./settings.js";
import type { EcgSignal } from "./signal.js";
import { loadStretch } from "./stretch.js";
import type { TraceBuffer } from "./trace-buffer.js";

/** Seconds that are loaded around a moment which the page does not keep. */
const AROUND = 20;

interface Parts {
  readonly host: HistoryHost;
  /** The paper in view. */
  readonly screen: Screen;
  stream(): string;
  signal(): EcgSignal | null;
  /** The version of the protocol; 0 without a connection. */
  version(): number;
  /** Seconds by which the server's time of a message is later than its first sample. */
  offset(): number;
  /** Heart rate at a time in Unix seconds; NaN if it is not known. */
  rateAt(at: number): number;
  /** Unix seconds, by the server's clock where it is known. */
  now(): number;
}

/** What is compared with. */
interface Reference {
  /** Unix seconds. */
  readonly at: number;
  readonly name: string;
  readonly signal: EcgSignal | null;
  /** Why there is nothing to see, or what is missing; empty if nothing is. */
  readonly missing: string;
}

export class Comparison {
  readonly screen: Screen;
  readonly #papers = element("papers", HTMLElement);
  readonly #box = element("reference", HTMLElement);
  readonly #said = element("reference-said", HTMLElement);
  readonly #shown = element("shown-said", HTMLElement);
  readonly #button = element("compare", HTMLButtonElement);
  readonly #flags: MarkFlags;
  #reference: Reference | null = null;
  /** Samples per page for which the moment was put into the middle. */
  #page = 0;

  constructor(
    readonly parts: Parts,
    settings: Settings,
  ) {
    const canvas = (id: string): HTMLCanvasElement => element(`reference-${id}`, HTMLCanvasElement);
    this.screen = new Screen(
      element("reference-scroller", HTMLElement), // its size is that of the paper in view
      element("reference-scroller", HTMLElement),
      { paper: canvas("paper"), traces: canvas("traces"), overlay: canvas("overlay"), labels: canvas("labels") },
      settings,
      undefined,
      SCREEN_TOOLS,
    );
    this.#flags = new MarkFlags(this.screen);
    this.#button.addEventListener("click", () => this.toggle());
    element("reference-close", HTMLButtonElement).addEventListener("click", () => this.close());
  }

  get isOpen(): boolean {
    return this.#reference !== null;
  }

  /** Take what is in view as reference, or compare no more. */
  toggle(): void {
    if (this.isOpen) {
      this.close();
      return;
    }
    const { review } = this.parts.screen;
    const at = this.#inView;
    if (Number.isNaN(at)) return;
    this.with(at, review === null ? "taken live" : "taken from a frozen paper");
  }

  /** Take a moment as reference. @param at in Unix seconds */
  with(at: number, name: string): void {
    const kept = this.#keptAt(at);
    if (kept !== null) this.#show({ at, name, signal: kept.signal, missing: "" }, kept.buffer);
    else void this.#load(at, name);
  }

  close(): void {
    this.#reference = null;
    this.screen.show(null);
    this.#papers.classList.remove("comparing");
    setHidden(this.#box, true);
    this.#shown.hidden = true;
    this.#button.setAttribute("aria-pressed", "false");
  }

  restyle(settings: Settings): void {
    this.screen.restyle(settings);
  }

  /** Draw. To be called for each frame of the display, with its time in seconds. @param flags marks of the stream */
  draw(now: number, flags: readonly { readonly at: number; readonly text: string }[]): void {
    const { review, sweep } = this.screen;
    if (this.#reference === null || review === null) return;
    // Exactly the same size, whatever the rounding of the grid: so the scale is the same.
    const { clientWidth, clientHeight } = this.parts.screen.stage;
    const { style } = this.screen.scroller;
    style.width = `${clientWidth}px`;
    style.height = `${clientHeight}px`;
    this.screen.draw(now);
    const { at, signal } = this.#reference;
    if (sweep.page !== this.#page) {
      this.#page = sweep.page;
      this.screen.scrollTo(review.signal.sampleAt(at) - sweep.page / 2);
    }
    const own = flags.some((flag) => Math.abs(flag.at - at) < 0.001) ? [] : [{ at, text: "reference" }];
    this.#flags.draw([...flags, ...own], signal);
  }

  /** Bring the times above the papers up to date. */
  update(): void {
    if (this.#reference === null) return;
    const { at, name, missing } = this.#reference;
    const { screen, now, rateAt } = this.parts;
    const described = (time: number): string => {
      const rate = Math.round(rateAt(time));
      return [whenInWords(time, now()), Number.isNaN(rate) ? "" : `${rate} bpm`].filter(Boolean).join(" · ");
    };
    const isSmaller = this.screen.layout?.scale.millimetre !== screen.layout?.scale.millimetre;
    const scale = isSmaller && this.screen.review !== null ? "not at the same size: other leads" : "";
    setText(this.#said, [`Reference: ${described(at)}`, name, missing, scale].filter(Boolean).join(" · "));
    const seen = this.#inView;
    const apart = seen - at;
    const far = Number.isNaN(apart) ? "" : `${duration(Math.abs(apart))} ${apart < 0 ? "earlier" : "later"}`;
    const state = screen.review === null ? "Live" : "In view";
    setText(this.#shown, [`${state}: ${described(seen)}`, far].filter(Boolean).join(" · "));
  }

  /** The time in view, in Unix seconds: the newest sample or, on a frozen paper, the middle; NaN if there is none. */
  get #inView(): number {
    const { screen, signal } = this.parts;
    const { review } = screen;
    const live = signal();
    if (review === null) return live?.timeOf(Math.floor(live.head.position)) ?? Number.NaN;
    return review.signal.timeOf(middleOf(review, screen.sweep.page));
  }

  /** What the page keeps of a moment; null if it does not keep it. */
  #keptAt(at: number): { readonly signal: EcgSignal; readonly buffer: TraceBuffer } | null {
    const { review } = this.parts.screen;
    const live = this.parts.signal();
    const kept = [review, live === null ? null : { signal: live, buffer: live.buffer }];
    for (const one of kept) {
      if (one === null) continue;
      const { signal, buffer } = one;
      if (at >= signal.timeOf(buffer.start) && at <= signal.timeOf(buffer.end)) return { signal, buffer };
    }
    return null;
  }

  async #load(at: number, name: string): Promise<void> {
    const { host, stream, version, offset } = this.parts;
    const waiting: Reference = { at, name, signal: null, missing: "loading…" };
    this.#show(waiting, null);
    let found: Pick<Reference, "signal" | "missing">;
    try {
      found =
        version() < HISTORY_SINCE
          ? { signal: null, missing: "earlier samples need version 4 of the protocol" }
          : await loadStretch(host, stream(), at + offset() - AROUND, at + offset() + AROUND);
    } catch (error) {
      found = { signal: null, missing: error instanceof Error ? error.message : String(error) };
    }
    if (this.#reference === waiting) this.#show({ ...waiting, ...found }, found.signal?.buffer ?? null);
  }

  #show(reference: Reference, buffer: TraceBuffer | null): void {
    const { signal } = reference;
    this.#reference = reference;
    this.#page = 0;
    this.#papers.classList.add("comparing");
    this.#box.hidden = this.#shown.hidden = false;
    this.#button.setAttribute("aria-pressed", "true");
    this.screen.show(signal);
    if (signal !== null && buffer !== null)
      this.screen.review = { buffer: buffer.snapshot(), signal, chosen: buffer.start, first: buffer.start };
    else this.#flags.draw([], null);
    this.update();
  }
}
