/** Marks on the paper: a line over the rows, and a flag with the text. */

import { make } from "./dom.js";
import type { Screen } from "./screen.js";
import type { EcgSignal } from "./signal.js";
import type { TraceBuffer } from "./trace-buffer.js";

export interface Flag {
  /** Unix seconds. */
  readonly at: number;
  readonly text: string;
}

interface FlagBox {
  readonly left: number;
  readonly top: number;
  readonly height: number;
  readonly text: string;
  /** True if there is no room for the flag on the right. */
  readonly isTurned: boolean;
}

/** CSS pixels that a flag may take. */
const ROOM = 150;

/** The sample in the middle of what a frozen paper shows. @param page samples per page */
export function middleOf(
  { buffer, first }: { readonly buffer: TraceBuffer; readonly first: number },
  page: number,
): number {
  return Math.round((first + Math.min(first + page, buffer.end)) / 2);
}

export class MarkFlags {
  readonly #host = make("div", "", "flags");
  #drawn = "";

  constructor(readonly screen: Screen) {
    this.#host.setAttribute("aria-hidden", "true"); // the list has them in words
    screen.scroller.append(this.#host);
  }

  /**
   * Show those that are on the paper. To be called for each frame of the display.
   *
   * @param signal the one that is on the paper; null for none.
   */
  draw(flags: readonly Flag[], signal: EcgSignal | null): void {
    const places = signal === null ? [] : flags.flatMap((flag) => this.#placesOf(flag, signal));
    const drawn = JSON.stringify(places);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#host.replaceChildren(
      ...places.map(({ left, top, height, text, isTurned }) => {
        const line = make("div", "", isTurned ? "flag turned" : "flag");
        line.style.left = `${left}px`;
        line.style.top = `${top}px`;
        line.style.height = `${height}px`;
        line.append(make("span", text));
        return line;
      }),
    );
  }

  #placesOf({ at, text }: Flag, signal: EcgSignal): FlagBox[] {
    const { sweep, layout } = this.screen;
    const sample = signal.sampleAt(at);
    if (layout === null || !(sample >= sweep.shown.from && sample < sweep.shown.to)) return [];
    return layout.panels.flatMap((panel) => {
      const x = sweep.point(panel, panel.traces[0]?.lead ?? 0, sample)?.x;
      if (x === undefined) return [];
      const isTurned = x + ROOM > layout.width;
      return [{ left: Math.round(x), top: panel.y, height: panel.height, text, isTurned }];
    });
  }
}
