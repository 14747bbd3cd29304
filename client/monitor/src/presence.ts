/** Whether the signal comes, and how old it is: what the badge says, and the notices where it is not live. */

import type { Seen } from "./age.js";
import { element, setText } from "./dom.js";
import { ageInSigns, changeInWords, type Knowledge, reasonInWords } from "./presence-words.js";

export type { Knowledge } from "./presence-words.js";

/** Seconds without a frame after which the signal counts as lost, where frames are not longer than that themselves. */
const SILENT = 1.5;
/** Frames that may be missing before. */
const FRAMES = 2.5;
/** Seconds without a frame after which it counts as lost where it comes late already: slow links deliver in bursts. */
const SILENT_LATE = 6;
/** Seconds that what is seen may be old, its display and the error of the clocks counted, to be called live. */
export const LIVE = 2;
/** Seconds below which it is live again, so that the badge does not flicker. */
const LIVE_AGAIN = 1.7;
/** Seconds from which it is old, and red. */
const OLD = 10;
/** Seconds that the server's clock may take to become known, and that what is filled in may take to be passed over. */
const SETTLING = { clock: 3, history: 0.5 };
/** Seconds for which a change of the delay is told. */
const TOLD = 8;

export type Link = "idle" | "connecting" | "open" | "reconnecting" | "closed";
/** As in the badge's `data-state`. */
export type State = "connecting" | "lost" | "live" | "delayed" | "old" | "clock" | "unknown";

export class Presence {
  state: State = "connecting";
  #link: Link = "idle";
  #refusal = "";
  #last = Number.NaN;
  #began: number;
  #interval = 0;
  /** Since when it could not be called live. */
  #lateSince = Number.NaN;
  #opened: number;
  readonly #badge = element("connection", HTMLElement);
  readonly #stage = element("stage", HTMLElement);
  readonly #notice = element("lost", HTMLElement);
  readonly #title = element("lost-title", HTMLElement);
  readonly #text = element("lost-text", HTMLElement);
  readonly #age = element("age", HTMLElement);

  /** @param now in seconds of a clock that never steps back; so everywhere here. */
  constructor(now: number) {
    this.#began = this.#opened = now;
  }

  /** Whether nothing comes. */
  get isLost(): boolean {
    return this.state === "lost";
  }

  /** Whether what is seen is known to be as young as `LIVE`. */
  get isLive(): boolean {
    return this.state === "live";
  }

  /** The connection is in this state now. */
  linked(link: Link): void {
    if (link === "open") this.#opened = Number.NaN; // the next look says when
    this.#link = link;
  }

  /** The stream is another one from now on. */
  watching(now: number): void {
    this.#refusal = "";
    this.#last = Number.NaN;
    this.#began = now;
    this.#interval = 0;
    this.#lateSince = Number.NaN;
  }

  /** The stream, or the whole connection, is not to be had, for this reason. */
  refused(reason: string): void {
    this.#refusal = reason;
  }

  /** A frame of the signal came, of so many seconds. */
  arrived(now: number, seconds: number): void {
    this.#last = now;
    this.#interval = seconds;
    this.#refusal = "";
  }

  /** Say how it is now. */
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

  /** How it is where frames come. */
  #judge(now: number, seen: Seen): void {
    const state = this.#stateOf(seen);
    if (state === "live") this.#lateSince = Number.NaN;
    else if (Number.isNaN(this.#lateSince)) this.#lateSince = now;
    // What was missed is filled in, and passed over at the next frame of the display: that is not late.
    const isFillingIn = this.state !== "live" && now - this.#lateSince < SETTLING.history;
    // Before the first answer to a ping, nothing can be said.
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
        return "Clock off";
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

/** Seconds that it may be old, as far as that is known. */
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
