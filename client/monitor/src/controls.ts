/** Buttons, keys and the pointer. */

import type { Alerts } from "./alerts.js";
import type { Analyzer } from "./analyzer.js";
import type { Comparison } from "./comparison.js";
import { element, setHidden } from "./dom.js";
import { bindKeys, type Key } from "./keys.js";
import type { LabelLine } from "./label-line.js";
import type { MarksPanel } from "./marks-panel.js";
import type { Overflow } from "./overflow.js";
import { bindPointer } from "./pointer.js";
import type { PrintDialog } from "./print/dialog.js";
import { GAINS, SPEEDS } from "./scale.js";
import { CALIPER_STEPS, type Screen } from "./screen.js";
import { keepInAddress, namedInAddress, type Settings, save, THEMES, VIEWS } from "./settings.js";
import type { EcgSignal } from "./signal.js";
import type { StreamChooser } from "./streams.js";
import type { TrendPanel } from "./trend-panel.js";

/** Seconds that a key scrolls, and share of a page with Shift or a page key. */
const SCROLL = { seconds: 0.2, page: 0.9 };

export class Controls {
  #settings: Settings;
  #described: EcgSignal | null = null;
  readonly #theme = element("theme", HTMLButtonElement);
  readonly #overlay = element("overlay", HTMLCanvasElement);

  /** @param changed called after each change of what the screen shows. */
  constructor(
    readonly screen: Screen,
    readonly alerts: Alerts,
    readonly analyzer: Analyzer,
    readonly chooser: StreamChooser,
    readonly paper: PrintDialog,
    readonly labels: LabelLine,
    readonly trend: TrendPanel,
    readonly marks: MarksPanel,
    readonly comparison: Comparison,
    settings: Settings,
    readonly overflow: Overflow,
    readonly changed: () => void,
  ) {
    this.#settings = settings;
    this.#bindButtons();
    bindPointer(screen, this.#overlay, changed);
    bindKeys(this.#keys());
    this.#apply(settings);
  }

  /** Describe the paper for screen readers. */
  describe(signal: EcgSignal): void {
    const { leads } = signal.buffer;
    const { view, speed, gain } = this.#settings;
    const names = leads.join(", ");
    const text = `${view === "sheet" ? "ECG sheet" : "ECG sweep"}: ${leads.length} leads (${names}), ${speed} mm/s, ${gain} mm/mV`;
    this.#overlay.setAttribute("aria-label", text);
    this.#described = signal;
  }

  #apply(settings: Settings): void {
    this.#settings = settings;
    save(settings, localStorage);
    keepInAddress(namedInAddress(settings));
    for (const name of ["view", "speed", "gain"] as const) {
      for (const radio of document.querySelectorAll<HTMLInputElement>(`input[name="${name}"]`)) {
        radio.checked = radio.value === String(settings[name]);
      }
    }
    document.documentElement.dataset.theme = settings.theme;
    document.documentElement.dataset.view = settings.view;
    this.#theme.textContent = settings.theme === "dark" ? "Light" : "Dark";
    this.screen.restyle(settings);
    this.comparison.restyle(settings);
    if (this.#described !== null) this.describe(this.#described);
    this.changed();
  }

  #bindButtons(): void {
    const on = (id: string, run: () => void): void => element(id, HTMLButtonElement).addEventListener("click", run);
    on("freeze", () => this.#toggleFreeze());
    on("live", () => this.#goLive());
    on("calipers", () => this.#toggleCalipers());
    on("open-alerts", () => this.#togglePanel("alerts"));
    on("open-frames", () => this.#togglePanel("frames"));
    on("theme", () => this.#next("theme", THEMES));
    on("open-help", () => this.#toggleHelp());
    on("seen", () => this.alerts.markSeen());
    document.addEventListener("change", ({ target }) => {
      if (!(target instanceof HTMLInputElement) || target.type !== "radio") return;
      const value = target.name === "view" ? target.value : Number(target.value);
      this.#apply({ ...this.#settings, [target.name]: value });
    });
  }

  #keys(): Key[] {
    return [
      { keys: [" "], shown: "Space", does: "freeze, or continue live", run: () => this.#toggleFreeze() },
      {
        keys: ["ArrowLeft"],
        shown: "←",
        does: "scroll back (freezes); with calipers: move a corner",
        run: (event) => this.#arrow(event, -1, 0),
      },
      {
        keys: ["ArrowRight"],
        shown: "→",
        does: "scroll forward; with calipers: move a corner",
        run: (event) => this.#arrow(event, 1, 0),
      },
      {
        keys: ["ArrowUp", "ArrowDown"],
        shown: "↑ ↓",
        does: "with calipers: move a corner; Shift: by 5 mm",
        run: (event) => this.#arrow(event, 0, event.key === "ArrowUp" ? 1 : -1),
      },
      {
        keys: ["PageUp", "PageDown"],
        shown: "PgUp PgDn",
        does: "scroll by one page",
        run: (event) => this.#scrollPage(event.key === "PageUp" ? -1 : 1),
      },
      {
        keys: ["Home", "End"],
        shown: "Home End",
        does: "go to the oldest or newest sample",
        run: (event) => this.#scrollToEnd(event.key === "End"),
      },
      { keys: ["c", "C"], shown: "C", does: "calipers: measure ms and mV", run: () => this.#toggleCalipers() },
      {
        keys: ["x", "X"],
        shown: "X",
        does: "with calipers: switch to the other corner",
        run: () => this.screen.calipers?.swap(),
      },
      { keys: ["v", "V"], shown: "V", does: "sweep or sheet", run: () => this.#next("view", VIEWS) },
      { keys: ["s", "S"], shown: "S", does: "speed: 12.5, 25, 50 mm/s", run: () => this.#next("speed", SPEEDS) },
      { keys: ["g", "G"], shown: "G", does: "gain: 5, 10, 20 mm/mV", run: () => this.#next("gain", GAINS) },
      { keys: ["n", "N"], shown: "N", does: "next stream", run: () => this.chooser.step(1) },
      { keys: ["p", "P"], shown: "P", does: "previous stream", run: () => this.chooser.step(-1) },
      { keys: ["a", "A"], shown: "A", does: "mark the alert as seen", run: () => this.alerts.markSeen() },
      { keys: ["l", "L"], shown: "L", does: "list of alerts", run: () => this.#togglePanel("alerts") },
      {
        keys: ["f", "F"],
        shown: "F",
        does: "list of the last frames, decoded",
        run: () => this.#togglePanel("frames"),
      },
      {
        keys: ["r", "R"],
        shown: "R",
        does: "trend of the heart rate; Enter or a click shows a time",
        run: () => this.trend.toggle(),
      },
      { keys: ["m", "M"], shown: "M", does: "mark this moment", run: () => this.marks.mark() },
      {
        keys: ["k", "K"],
        shown: "K",
        does: "list of marks and alerts, to show or compare a moment",
        run: () => this.marks.toggle(),
      },
      {
        keys: ["d", "D"],
        shown: "D",
        does: "keep what is in view as reference beside it; again: compare no more",
        run: () => this.comparison.toggle(),
      },
      { keys: ["b", "B"], shown: "B", does: "hide or show bed, patient and user", run: () => this.labels.toggle() },
      { keys: ["e", "E"], shown: "E", does: "print or save the strip", run: () => this.paper.toggle() },
      { keys: ["t", "T"], shown: "T", does: "dark or light", run: () => this.#next("theme", THEMES) },
      { keys: ["Escape"], shown: "Esc", does: "close calipers, continue live, close panels", run: () => this.#leave() },
      { keys: ["?"], does: "show these keys", run: () => this.#toggleHelp() },
    ];
  }

  #next<K extends keyof Settings>(name: K, values: readonly Settings[K][]): void {
    const place = values.indexOf(this.#settings[name]);
    this.#apply({ ...this.#settings, [name]: values[(place + 1) % values.length] });
  }

  #toggleFreeze(): void {
    if (this.screen.review === null) this.screen.freeze();
    else this.screen.goLive();
    this.changed();
  }

  #goLive(): void {
    this.screen.goLive();
    this.changed();
  }

  #toggleCalipers(): void {
    this.screen.toggleCalipers();
    this.changed();
  }

  #arrow(event: KeyboardEvent, right: number, up: number): void {
    if (this.screen.calipers !== null) {
      const step = event.shiftKey ? CALIPER_STEPS.coarse : CALIPER_STEPS.fine;
      this.screen.moveCalipers(right * step, up * step);
    } else if (right !== 0) {
      const page = this.screen.sweep.page * SCROLL.page;
      const rate = this.screen.buffer?.samplingRate ?? 0;
      this.#scrollBy(right * (event.shiftKey ? page : SCROLL.seconds * rate));
    }
    this.changed();
  }

  #scrollPage(by: 1 | -1): void {
    this.#scrollBy(by * this.screen.sweep.page * SCROLL.page);
    this.changed();
  }

  #scrollBy(samples: number): void {
    this.screen.freeze();
    if (this.screen.review !== null) this.screen.scrollTo(this.screen.review.first + samples);
  }

  #scrollToEnd(isNewest: boolean): void {
    this.screen.freeze();
    const { from, to } = this.screen.scrollable;
    this.screen.scrollTo(isNewest ? to : from);
    this.changed();
  }

  #togglePanel(id: "alerts" | "frames"): void {
    const panel = element(id, HTMLElement);
    setHidden(panel, !panel.hidden);
    element(`open-${id}`, HTMLButtonElement).setAttribute("aria-expanded", String(!panel.hidden));
    if (id === "alerts" && !panel.hidden && this.marks.isOpen) this.marks.toggle();
    this.analyzer.refresh();
  }

  /** Give the room of the list of alerts to another panel. */
  closeAlerts(): void {
    if (!element("alerts", HTMLElement).hidden) this.#togglePanel("alerts");
  }

  #toggleHelp(): void {
    const help = element("help", HTMLDialogElement);
    if (help.open) help.close();
    else help.showModal();
  }

  /** Close what was opened last, or continue live. */
  #leave(): void {
    if (this.overflow.isOpen) this.overflow.close();
    else if (this.screen.calipers !== null) this.screen.toggleCalipers();
    else if (this.screen.review !== null) this.screen.goLive();
    else if (this.comparison.isOpen) this.comparison.close();
    else if (this.trend.isOpen) this.trend.toggle();
    else if (this.marks.isOpen) this.marks.toggle();
    else for (const id of ["alerts", "frames"] as const) if (!element(id, HTMLElement).hidden) this.#togglePanel(id);
    this.changed();
  }
}
