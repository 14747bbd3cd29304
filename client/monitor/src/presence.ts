/** The badge and the notices: whether the signal arrives, and how old it is. */

import { element, setText } from "./dom.js";
import { changeInWords, type Knowledge, reasonInWords } from "./presence-words.js";
import { SignalPresence } from "./signal-presence.js";

/** Seconds for which a change of the delay is shown. */
const TOLD = 8;

/** Its state is the badge's `data-state`. */
export class Presence extends SignalPresence {
  readonly #badge = element("connection", HTMLElement);
  readonly #stage = element("stage", HTMLElement);
  readonly #notice = element("lost", HTMLElement);
  readonly #title = element("lost-title", HTMLElement);
  readonly #text = element("lost-text", HTMLElement);
  readonly #age = element("age", HTMLElement);

  /** Bring the badge and the notices up to date. */
  update(now: number, knowledge: Knowledge): void {
    const { seen } = knowledge;
    this.judge(now, seen);
    this.#badge.dataset.state = this.state;
    document.documentElement.dataset.age = this.state;
    this.#stage.classList.toggle("lost", this.isLost);
    setText(this.#badge, this.words(seen));
    this.#notice.hidden = !this.isLost;
    if (this.isLost) {
      const { title, text } = this.explain(seen);
      setText(this.#title, title);
      setText(this.#text, text);
    }
    this.#tell(now, knowledge);
  }

  #tell(now: number, knowledge: Knowledge): void {
    const { change, seen } = knowledge;
    const isNew = change !== null && now - change.at < TOLD;
    const isSaid = this.state === "live" || this.state === "connecting" || this.state === "lost" || seen === null;
    const words = [
      isSaid ? "" : reasonInWords(seen, knowledge),
      isNew && this.state === "live" ? changeInWords(change.seconds) : "",
    ].filter((text) => text !== "");
    this.#age.hidden = words.length === 0;
    this.#age.dataset.state = this.state;
    setText(this.#age, words.join(" "));
    const badge = this.#badge.textContent;
    const isQuiet = this.state === "live" || this.state === "connecting";
    document.title = isQuiet ? "ecgframe monitor" : `${this.isLost ? "✕ No signal" : badge} – ecgframe monitor`;
  }
}
