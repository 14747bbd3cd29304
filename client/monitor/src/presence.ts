/** The badge and the notices: whether the signal arrives, and how old it is. */

import type { Seen } from "./age.js";
import { element, setText } from "./dom.js";
import { ageInSigns, changeInWords, type Knowledge, reasonInWords } from "./presence-words.js";

export type { Knowledge } from "./presence-words.js";

/** Seconds without a frame after which the signal is lost, unless frames are longer. */
const SILENT = 1.5;
/** The same in frames; the longer time counts. */
const FRAMES = 2.5;
/** Seconds without a frame after which a delayed signal is lost, as slow links deliver in bursts. */
const SILENT_LATE = 6;
/** Largest age of a live signal in seconds, including the display and the error of the clocks. */
export const LIVE = 2;
/** Age in seconds below which it is live again, so that the badge does not flicker. */
const LIVE_AGAIN = 1.7;
/** Age in seconds from which the badge is red. */
const OLD = 10;
/** Seconds that measuring the server's clock may take, and that the head may take to pass samples that are filled in. */
const SETTLING = { clock: 3, history: 0.5 };
/** Seconds for which a change of the delay is shown. */
const TOLD = 8;

export type Link = "idle" | "connecting" | "open" | "reconnecting" | "closed";
/** The state of the signal, and the badge's `data-state`. */
export type State = "connecting" | "lost" | "live" | "delayed" | "old" | "clock" | "unknown";

export class Presence {
  state: State = "connecting";
  #link: Link = "idle";
  #refusal = "";
  #last = Number.NaN;
  #began: number;
  #interval = 0;
  /** Since when it is not live. */
  #lateSince = Number.NaN;
  #opened: number;
  readonly #badge = element("connection", HTMLElement);
  readonly #stage = element("stage", HTMLElement);
  readonly #notice = element("lost", HTMLElement);
  readonly #title = element("lost-title", HTMLElement);
  readonly #text = element("lost-text", HTMLElement);
  readonly #age = element("age", HTMLElement);

  /** @param now in seconds of a monotonic clock, as in all methods. */
  constructor(now: number) {
    this.#began = this.#opened = now;
  }

  /** True if no signal arrives. */
  get isLost(): boolean {
    return this.state === "lost";
  }

  /** True if the age is known and below `LIVE`. */
  get isLive(): boolean {
    return this.state === "live";
  }

  /** Note the state of the connection. */
  linked(link: Link): void {
    if (link === "open") this.#opened = Number.NaN; // set at the next update
    this.#link = link;
  }

  /** Start anew, for another stream. */
  watching(now: number): void {
    this.#refusal = "";
    this.#last = Number.NaN;
    this.#began = now;
    this.#interval = 0;
    this.#lateSince = Number.NaN;
  }

  /** Note that the stream or the connection was refused, for this reason. */
  refused(reason: string): void {
    this.#refusal = reason;
  }

  /** Note a frame of that many seconds. */
  arrived(now: number, seconds: number): void {
    this.#last = now;
    this.#interval = seconds;
    this.#refusal = "";
  }

  /** Bring the badge and the notices up to date. */
  update(now: number, knowledge: Knowledge): void {
    if (Number.isNaN(this.#opened)) this.#opened = now;
    const { seen } = knowledge;
    const hasSignal = !Number.isNaN(this.#last);
    const since = now - (hasSignal ? this.#last : this.#began);
    const isCut = this.#link === "reconnecting" || this.#link === "closed";
    const wasLate = this.state === "delayed" || this.state === "old";
    const isSilent = since > Math.max(wasLate ? SILENT_LATE : SILENT, FRAMES * this.#interval);
    if (isCut || isSilent || this.#refusal !== "") this.#enter("lost");
    else if (!hasSignal || seen === null) this.#enter("connecting");
    else this.#judge(now, seen);
    setText(this.#badge, this.#words(isCut, seen));
    this.#notice.hidden = !this.isLost;
    if (this.isLost) this.#explain(isCut, hasSignal, since, seen);
    this.#tell(now, knowledge);
  }

  /** Choose the state while frames arrive. */
  #judge(now: number, seen: Seen): void {
    const state = this.#stateOf(seen);
    if (state === "live") this.#lateSince = Number.NaN;
    else if (Number.isNaN(this.#lateSince)) this.#lateSince = now;
    // Missed samples that are filled in are not late: the head passes them at the next frame of the display.
    const isFillingIn = this.state !== "live" && now - this.#lateSince < SETTLING.history;
    // Before the first PONG, the age is not known.
    const isMeasuring = state === "unknown" && now - this.#opened < SETTLING.clock;
    if (isMeasuring) this.#enter("connecting");
    else if (!isFillingIn || !(this.state === "lost" || this.state === "connecting")) this.#enter(state);
  }

  #stateOf(seen: Seen): State {
    const limit = this.state === "delayed" || this.state === "old" ? LIVE_AGAIN : LIVE;
    const late = latenessOf(seen);
    if (late > limit) return late < OLD ? "delayed" : "old";
    if (seen.kind === "age") return "live";
    return seen.kind === "unknown" ? "unknown" : "clock";
  }

  #enter(state: State): void {
    this.state = state;
    this.#badge.dataset.state = state;
    document.documentElement.dataset.age = state;
    this.#stage.classList.toggle("lost", state === "lost");
  }

  #words(isCut: boolean, seen: Seen | null): string {
    switch (this.state) {
      case "lost":
        return isCut ? "Lost" : "No signal";
      case "connecting":
        return "Connecting";
      case "live":
        return "Live";
      case "clock":
        return "Clock error";
      case "unknown":
        return "Age unknown";
      default:
        return seen === null ? "Delayed" : `Delayed ${ageInSigns(seen)}`;
    }
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

  #explain(isCut: boolean, hasSignal: boolean, since: number, seen: Seen | null): void {
    setText(this.#title, isCut ? "Connection lost" : this.#refusal !== "" ? "Refused" : "No signal");
    const doing =
      this.#link === "closed" ? "the connection is closed" : isCut ? "reconnecting" : "waiting for the stream";
    const old = seen?.kind === "age" ? Math.max(since, seen.seconds) : since;
    const ago = hasSignal ? ` · last sample ${Math.floor(old)} s ago` : "";
    setText(this.#text, this.#refusal !== "" ? this.#refusal : `${doing}${ago}`);
  }
}

/** The largest known age in seconds. */
function latenessOf(seen: Seen): number {
  switch (seen.kind) {
    case "age":
      return seen.seconds + seen.error;
    case "ahead":
    case "set":
      return seen.sent ?? 0;
    case "unknown":
      return seen.late;
  }
}
