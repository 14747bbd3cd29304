/** Judges whether a signal arrives, and whether it is live, from the connection, the frames and the age of the samples. */

import type { Seen } from "./age.js";
import { ageInSigns } from "./presence-words.js";

/** Seconds without a frame after which the signal is lost, unless frames are longer. */
const SILENT = 1.5;
/** The same in frames; the longer time counts. */
const FRAMES = 2.5;
/** Seconds without a frame after which a delayed signal is lost, as slow links deliver in bursts. */
const SILENT_LATE = 6;
/** Largest age of a live signal in seconds, including the display and the error of the clocks. */
const LIVE = 2;
/** Age in seconds below which it is live again, so that the badge does not flicker. */
const LIVE_AGAIN = 1.7;
/** Age in seconds from which the signal is old. */
const OLD = 10;
/** Seconds that measuring the server's clock may take, and that the head may take to pass samples that are filled in. */
const SETTLING = { clock: 3, history: 0.5 };

export type Link = "idle" | "connecting" | "open" | "reconnecting" | "closed";
/** The state of the signal. */
export type State = "connecting" | "lost" | "live" | "delayed" | "old" | "clock" | "unknown";

/** Times are in seconds of a monotonic clock. */
export class SignalPresence {
  state: State = "connecting";
  #link: Link = "idle";
  #refusal = "";
  #last = Number.NaN;
  #began: number;
  #interval = 0;
  /** Seconds without a frame. */
  #silence = 0;
  /** Since when it is not live. */
  #lateSince = Number.NaN;
  #opened: number;

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

  /** Why the stream or the connection was refused; empty if it was not. */
  get refusal(): string {
    return this.#refusal;
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

  /** Choose the state. @param seen the age of the samples on the screen; null before the first frame */
  judge(now: number, seen: Seen | null): void {
    if (Number.isNaN(this.#opened)) this.#opened = now;
    this.#silence = now - (this.#hasSignal ? this.#last : this.#began);
    const wasLate = this.state === "delayed" || this.state === "old";
    const isSilent = this.#silence > Math.max(wasLate ? SILENT_LATE : SILENT, FRAMES * this.#interval);
    if (this.#isCut || isSilent || this.#refusal !== "") this.state = "lost";
    else if (!this.#hasSignal || seen === null) this.state = "connecting";
    else this.#judgeAge(now, seen);
  }

  /** The state in a few words. */
  words(seen: Seen | null): string {
    switch (this.state) {
      case "lost":
        return this.#isCut ? "Lost" : "No signal";
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

  /** Why no signal arrives: a title and a sentence. */
  explain(seen: Seen | null): { title: string; text: string } {
    const title = this.#isCut ? "Connection lost" : this.#refusal !== "" ? "Refused" : "No signal";
    if (this.#refusal !== "") return { title, text: this.#refusal };
    const doing =
      this.#link === "closed" ? "the connection is closed" : this.#isCut ? "reconnecting" : "waiting for the stream";
    const old = seen?.kind === "age" ? Math.max(this.#silence, seen.seconds) : this.#silence;
    const ago = this.#hasSignal ? ` · last sample ${Math.floor(old)} s ago` : "";
    return { title, text: `${doing}${ago}` };
  }

  get #isCut(): boolean {
    return this.#link === "reconnecting" || this.#link === "closed";
  }

  get #hasSignal(): boolean {
    return !Number.isNaN(this.#last);
  }

  /** Choose the state while frames arrive. */
  #judgeAge(now: number, seen: Seen): void {
    const state = this.#stateOf(seen);
    if (state === "live") this.#lateSince = Number.NaN;
    else if (Number.isNaN(this.#lateSince)) this.#lateSince = now;
    // Missed samples that are filled in are not late: the head passes them at the next frame of the display.
    const isFillingIn = this.state !== "live" && now - this.#lateSince < SETTLING.history;
    // Before the first PONG, the age is not known.
    const isMeasuring = state === "unknown" && now - this.#opened < SETTLING.clock;
    if (isMeasuring) this.state = "connecting";
    else if (!isFillingIn || !(this.state === "lost" || this.state === "connecting")) this.state = state;
  }

  #stateOf(seen: Seen): State {
    const limit = this.state === "delayed" || this.state === "old" ? LIVE_AGAIN : LIVE;
    const late = latenessOf(seen);
    if (late > limit) return late < OLD ? "delayed" : "old";
    if (seen.kind === "age") return "live";
    return seen.kind === "unknown" ? "unknown" : "clock";
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
