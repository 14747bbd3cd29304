/** The button that says how many leads are out of sight and where, and scrolls to them. */

import { element, setText } from "./dom.js";
import type { Screen } from "./screen.js";

/** Share of the visible part by which a click scrolls. */
const STEP = 0.8;

export class MoreLeads {
  readonly #button = element("more-leads", HTMLButtonElement);
  /** CSS pixels by which a click scrolls. */
  #left = 0;
  #top = 0;

  constructor(readonly screen: Screen) {
    this.#button.addEventListener("click", () => screen.scroller.scrollBy({ left: this.#left, top: this.#top }));
  }

  /** Update the button. Leads below come first, then those to the right; if there are none, it scrolls back. */
  update(): void {
    const { scroller, layout } = this.screen;
    const { scrollTop, scrollLeft, clientHeight, clientWidth } = scroller;
    let [below, above, right] = [0, 0, false];
    for (const { traces, x, width } of layout?.panels ?? []) {
      below += traces.filter(({ baseline }) => baseline > scrollTop + clientHeight).length;
      above += traces.filter(({ baseline }) => baseline < scrollTop).length;
      right ||= x + width > scrollLeft + clientWidth + 1;
    }
    const leads = (count: number): string => `${count} lead${count === 1 ? "" : "s"}`;
    let text = "";
    [this.#left, this.#top] = [0, STEP * clientHeight];
    if (below > 0) text = `▼ ${leads(below)} below`;
    else if (right) {
      text = "▶ more at the right";
      [this.#left, this.#top] = [STEP * clientWidth, 0];
    } else if (above > 0) {
      text = `▲ ${leads(above)} above`;
      this.#top = -scrollTop;
    } else if (scrollLeft > 0) {
      text = "◀ more at the left";
      [this.#left, this.#top] = [-scrollLeft, 0];
    }
    this.#button.hidden = text === "";
    setText(this.#button, text);
  }
}
