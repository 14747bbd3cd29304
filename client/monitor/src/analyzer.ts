/** The panel with the last frames: the protocol analyzer in the page. */

import { clockTime, element, make } from "./dom.js";
import type { FrameLog, LoggedFrame } from "./frame-log.js";

/** Rows that are shown. */
const ROWS = 60;
/** Seconds between two looks. */
const PAUSE = 0.25;

export class Analyzer {
  readonly #panel = element("frames", HTMLElement);
  readonly #rows = element("frame-rows", HTMLTableSectionElement);
  #shown = -1;
  #next = 0;

  constructor(readonly log: FrameLog) {}

  /** Bring the panel up to date, where it is open and something came; stands still while the screen is frozen. */
  update(now: number, isFrozen: boolean): void {
    const isOld = this.#shown !== this.log.count && now >= this.#next && (!isFrozen || this.#shown < 0);
    if (this.#panel.hidden || !isOld) return;
    this.#next = now + PAUSE;
    this.#shown = this.log.count;
    this.#rows.replaceChildren(...this.log.latest(ROWS).map(row));
  }

  /** Show again what there is, at the next update. */
  refresh(): void {
    this.#shown = -1;
    this.#next = 0;
  }
}

function row(frame: LoggedFrame): HTMLTableRowElement {
  const made = make("tr", "", `${frame.direction}${frame.isError ? " error" : ""}`);
  const cells = [
    clockTime(frame.at),
    frame.direction,
    frame.type,
    frame.version,
    frame.flags,
    frame.length,
    frame.checksum,
    frame.timestamp,
    frame.isError ? `✕ ${frame.note}` : frame.note,
  ];
  made.append(...cells.map((text, column) => make("td", text, column === 5 ? "number" : "")));
  return made;
}
