/**
 * The past of the stream, from the server's history: what was lost on the way, at once, and what is older than the kept samples,
 * on request. It comes in the class BULK, so the live trace goes on untouched.
 */

import {
  type History,
  type HistoryHost,
  history,
  type Message,
  MessageType,
  ProtocolError,
  type StreamMessage,
} from "../../src/index.js";
import { element, setText } from "./dom.js";
import { ecgFrame } from "./feed.js";
import { duration } from "./presence-words.js";
import type { Screen } from "./screen.js";
import type { EcgFrame, EcgSignal } from "./signal.js";
import { loadStretch } from "./stretch.js";
import { missingIn } from "./trace-buffer.js";

/** The first version with histories on request. */
export const HISTORY_SINCE = 4;
/** Seconds that one press of the button loads. */
const STEP = 60;
/** Seconds that are loaded before a time that is to be shown. */
const AROUND = 10;
/** Farther back than this many seconds, only the seconds around a time are loaded. */
const FAR = 300;
const AROUND_FAR = 60;
/** Seconds after which a text about what was loaded disappears. */
const SAID = 20;
/** Number of gaps that may wait; of more, the oldest stay gaps. */
const MOST_WAITING = 16;

/** Timestamps of messages, in microseconds since 1970, both included. */
interface Range {
  readonly from: bigint;
  readonly to: bigint;
}

interface Parts {
  readonly host: HistoryHost;
  readonly screen: Screen;
  stream(): string;
  signal(): EcgSignal | null;
  /** The version of the protocol; 0 without a connection. */
  version(): number;
  /** Note a frame that is added to a signal of the past. */
  note(signal: EcgSignal, frame: EcgFrame, data: unknown): void;
  /** Take an alert that was lost on the way. */
  alert(message: Message): void;
}

/** A frame of the history; null if its fields are invalid, as those of a live one are reported. */
function readFrame(message: StreamMessage): EcgFrame | null {
  try {
    return ecgFrame(message);
  } catch (error) {
    if (error instanceof ProtocolError) return null;
    throw error;
  }
}

export class Past {
  readonly #button = element("earlier", HTMLButtonElement);
  readonly #said = element("past", HTMLElement);
  #history: History | null = null;
  /** A gap before the next frame, and gaps that wait for the history before them. */
  #open: Range | null = null;
  #waiting: Range[] = [];
  #saidAt = 0;
  /** The server's time of a message minus that of its first sample, in seconds. */
  #offset = Number.NaN;

  constructor(readonly parts: Parts) {
    this.#button.addEventListener("click", () => void this.#loadEarlier(STEP));
  }

  /** Note messages that were lost: they are requested once the gap is on the trace. */
  lost({ from, to }: Range): void {
    if (to < from) return; // the clock went back: no range has them
    this.#open = { from: this.#open?.from ?? from, to };
  }

  /** Note a live frame, by the server's time and that of its first sample, in seconds. */
  arrived(sent: number, taken: number | null): void {
    this.#offset = sent - (taken ?? Number.NaN);
    if (this.#open === null) return;
    this.#waiting.push(this.#open);
    this.#open = null;
    this.#waiting.splice(0, this.#waiting.length - MOST_WAITING);
    this.#next();
  }

  /** Forget what was requested, for another stream. */
  clear(): void {
    this.#waiting = [];
    this.#open = null;
    this.#history?.end();
    this.#history = null;
    this.#say("");
  }

  /** Bring the button and the text up to date. @param now in seconds */
  update(now: number): void {
    this.#button.disabled = this.parts.signal() === null || this.#history !== null;
    if (this.#history === null && now - this.#saidAt > SAID) this.#say("");
  }

  #next(): void {
    if (this.#history !== null || this.parts.version() < HISTORY_SINCE) return;
    const range = this.#waiting.shift();
    const signal = this.parts.signal();
    if (range !== undefined && signal !== null) void this.#load(range, signal, true);
  }

  /** Freeze the screen, and show a time in Unix seconds in its middle; what the page does not keep is loaded. */
  goTo(time: number): void {
    const { screen } = this.parts;
    screen.freeze();
    const { review } = screen;
    if (review === null) return;
    const { signal, buffer } = review;
    const place = (): number => signal.sampleAt(time) - screen.sweep.page / 2;
    if (Number.isNaN(place())) this.#say("The messages have no times");
    else if (place() >= buffer.start) screen.scrollTo(place());
    else if ((buffer.start - place()) / buffer.samplingRate > FAR) void this.#loadFar(time);
    else {
      const seconds = Math.ceil((buffer.start - place()) / buffer.samplingRate) + AROUND;
      void this.#loadEarlier(seconds)?.then(() => {
        if (screen.review?.signal === signal) screen.scrollTo(place());
      });
    }
  }

  /** Seconds by which the server's time of a message is later than that of its first sample; 0 if that is not known. */
  get offset(): number {
    return Number.isNaN(this.#offset) ? 0 : this.#offset;
  }

  /** Show a time that is far back, with a minute before and after it in place of what the page keeps. */
  async #loadFar(time: number): Promise<void> {
    const { host, screen, stream, version, note } = this.parts;
    if (version() < HISTORY_SINCE) {
      this.#say("No earlier samples: that needs version 4 of the protocol");
      return;
    }
    const { review } = screen;
    const name = stream();
    this.#say("Loading the minutes around that time…");
    const middle = time + this.offset;
    let text: string;
    try {
      const { signal, missing } = await loadStretch(host, name, middle - AROUND_FAR, middle + AROUND_FAR, note);
      if (stream() !== name || screen.review === null || screen.review !== review) return; // something else is shown
      text = missing;
      if (signal !== null) {
        const { buffer } = signal;
        text = [`${duration((buffer.end - buffer.start) / buffer.samplingRate)} loaded`, missing].join(" · ");
        screen.review = { buffer, signal, chosen: buffer.start, first: buffer.start };
        screen.scrollTo(signal.sampleAt(time) - screen.sweep.page / 2);
      }
    } catch (error) {
      text = `No earlier samples: ${error instanceof Error ? error.message : String(error)}`;
    }
    this.#say(text.replace(/ · $/, ""));
  }

  /** Load that many seconds before the oldest sample of the frozen screen. Returns null if nothing is loaded. */
  #loadEarlier(step: number): Promise<void> | null {
    const { screen } = this.parts;
    screen.freeze();
    const { review } = screen;
    if (review === null || this.#history !== null) return null;
    const oldest = review.signal.timeOf(review.buffer.start) + this.#offset;
    if (this.parts.version() < HISTORY_SINCE) this.#say("No earlier samples: that needs version 4 of the protocol");
    else if (Number.isNaN(oldest)) this.#say("No earlier samples: the messages have no times");
    else if (!screen.makeRoom(step)) this.#say("No earlier samples: the page keeps no more");
    else {
      const stamp = (seconds: number): bigint => BigInt(Math.max(0, Math.round(1e6 * seconds)));
      // A second more: the messages around the oldest sample are there already.
      return this.#load({ from: stamp(oldest - step), to: stamp(oldest + 1) }, review.signal, false);
    }
    return null;
  }

  async #load({ from, to }: Range, signal: EcgSignal, isGap: boolean): Promise<void> {
    const { host, screen } = this.parts;
    const { samplingRate } = signal.buffer;
    let expected = Number.NaN;
    let restored = 0;
    const take = (message: StreamMessage): void => {
      if (message.type === MessageType.ANOMALY_ALERT && isGap) this.parts.alert(message);
      if (message.type !== MessageType.ECG_DATA) return;
      const frame = readFrame(message);
      if (frame === null) return;
      const copy = screen.review?.signal === signal ? screen.review.buffer : null;
      const found = signal.restore(frame, signal.buffer, expected);
      restored += Math.max(found.restored, copy === null ? 0 : signal.restore(frame, copy, expected).restored);
      expected = found.end;
      screen.refresh();
    };
    const asked = (Number(to - from) / 1e6) | 0;
    this.#say(isGap ? "Loading what was lost…" : `Loading ${duration(asked)} of the past…`);
    const asking = history(host, this.parts.stream(), take, { start: from, stop: to });
    this.#history = asking;
    let why = "the server keeps no more";
    try {
      await asking.finished;
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
    if (this.#history !== asking) return; // another stream is shown
    this.#history = null;
    if (asking.unopened > 0) why = "this page does not have the keys";
    const text = restored > 0 ? `${duration(restored / samplingRate)} loaded` : "";
    const missing = missingIn(signal.buffer.gaps, 0, signal.buffer.end) / samplingRate;
    const rest = isGap
      ? missing > 0 && `${duration(missing)} missing: ${why}`
      : restored === 0 && `No earlier samples: ${why}`;
    this.#say([text, rest].filter(Boolean).join(" · "));
    this.#next();
  }

  #say(text: string): void {
    this.#saidAt = performance.now() / 1000;
    setText(this.#said, text);
    this.#said.hidden = text === "";
  }
}
