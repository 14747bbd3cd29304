/** The panel that lists the last frames with their headers decoded. */

import { clockTime, element, make } from "./dom.js";
import type { FrameLog, LoggedFrame } from "./frame-log.js";

/** Largest number of rows. */
const ROWS = 60;
/** Seconds between two updates. */
const UPDATE_INTERVAL = 0.25;

export class Analyzer {
  readonly #panel = element("frames", HTMLElement);
  readonly #rows = element("frame-rows", HTMLTableSectionElement);
  /** Number of frames in the log when the rows were drawn; -1 if they have to be drawn again. */
  #drawnCount = -1;
  #nextUpdate = 0;

  constructor(readonly log: FrameLog) {}

  /** Bring the panel up to date if it is open. It does not change while the screen is frozen. */
  update(now: number, isFrozen: boolean): void {
    const isDue = this.#drawnCount !== this.log.count && now >= this.#nextUpdate && (!isFrozen || this.#drawnCount < 0);
    if (this.#panel.hidden || !isDue) return;
    this.#nextUpdate = now + UPDATE_INTERVAL;
    this.#drawnCount = this.log.count;
    this.#rows.replaceChildren(...this.log.latest(ROWS).map(row));
  }

  /** Draw all rows at the next update. */
  refresh(): void {
    this.#drawnCount = -1;
    this.#nextUpdate = 0;
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
