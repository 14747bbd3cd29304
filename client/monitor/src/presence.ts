/** Whether the signal comes: what the badge says, and the notice over the paper where it does not. */

import { element, setText } from "./dom.js";

/** Seconds without a frame after which the signal counts as lost, where frames are not longer than that themselves. */
const SILENT = 1.5;
/** Frames that may be missing before. */
const FRAMES = 2.5;

export type Link = "idle" | "connecting" | "open" | "reconnecting" | "closed";

export class Presence {
  isLost = false;
  #link: Link = "idle";
  #refusal = "";
  #last = Number.NaN;
  #began: number;
  #interval = 0;
  readonly #badge = element("connection", HTMLElement);
  readonly #stage = element("stage", HTMLElement);
  readonly #notice = element("lost", HTMLElement);
  readonly #title = element("lost-title", HTMLElement);
  readonly #text = element("lost-text", HTMLElement);

  /** @param now in seconds of a clock that never steps back; so everywhere here. */
  constructor(now: number) {
    this.#began = now;
  }

  /** The connection is in this state now. */
  linked(link: Link): void {
    this.#link = link;
  }

  /** The stream is another one from now on. */
  watching(now: number): void {
    this.#refusal = "";
    this.#last = Number.NaN;
    this.#began = now;
    this.#interval = 0;
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
  update(now: number): void {
    const hasSignal = !Number.isNaN(this.#last);
    const since = now - (hasSignal ? this.#last : this.#began);
    const isSilent = since > Math.max(SILENT, FRAMES * this.#interval);
    const isCut = this.#link === "reconnecting" || this.#link === "closed";
    this.isLost = isCut || isSilent || this.#refusal !== "";
    this.#badge.dataset.state = this.isLost ? "lost" : hasSignal ? "live" : "connecting";
    setText(this.#badge, this.isLost ? (isCut ? "Lost" : "No signal") : hasSignal ? "Live" : "Connecting");
    this.#stage.classList.toggle("lost", this.isLost);
    this.#notice.hidden = !this.isLost;
    document.title = this.isLost ? "✕ No signal – ecgframe monitor" : "ecgframe monitor";
    if (this.isLost) this.#explain(isCut, hasSignal, since);
  }

  #explain(isCut: boolean, hasSignal: boolean, since: number): void {
    setText(this.#title, isCut ? "Connection lost" : this.#refusal !== "" ? "Refused" : "No signal");
    const doing =
      this.#link === "closed"
        ? "the connection is closed; reload the page to try again"
        : isCut
          ? "reconnecting"
          : "waiting for the stream";
    const ago = hasSignal ? ` · last sample ${Math.floor(since)} s ago` : "";
    setText(this.#text, this.#refusal !== "" ? this.#refusal : `${doing}${ago}`);
  }
}
