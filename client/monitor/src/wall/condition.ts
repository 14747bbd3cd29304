/** What a tile says of its signal: whether it arrives, how old it is, and why there is none. */

import type { Seen } from "../age.js";
import { ageInSigns, duration } from "../presence-words.js";

/** The state of a bed's signal, and the tile's `data-state`. */
export type State = "connecting" | "denied" | "lost" | "silent" | "live" | "delayed" | "old" | "clock" | "unknown";

export interface Facts {
  /** True if the connection to the server is open. */
  readonly isOpen: boolean;
  /** True if a connection was lost, or could not be opened. */
  readonly wasCut: boolean;
  /** Why the server denies the stream; empty if it does not. */
  readonly refusal: string;
  /** What is wrong with the last message; empty if nothing is. */
  readonly fault: string;
  /** Seconds since the last message; null if there was none. */
  readonly since: number | null;
  /** Seconds since the stream was requested. */
  readonly asked: number;
  /** Seconds of signal in a message. */
  readonly frame: number;
  /** The age of the newest sample; null before the first. */
  readonly seen: Seen | null;
}

export interface Condition {
  readonly state: State;
  readonly words: string;
}

/** Seconds without a message after which there is no signal, unless messages are longer. */
const SILENT = 1.5;
/** The same in messages; the longer time counts. */
const MESSAGES = 2.5;
/** Largest age of a live signal, and age from which it is old, in seconds. */
const LIVE = 2;
const OLD = 10;

export function conditionOf(facts: Facts): Condition {
  const { isOpen, wasCut, refusal, fault, since, asked, frame, seen } = facts;
  if (refusal !== "") return { state: "denied", words: `Denied: ${refusal}` };
  if (fault !== "") return { state: "denied", words: `Refused: ${fault}` };
  const ago = since === null ? "" : ` · last sample ${duration(Math.floor(since))} ago`;
  if (!isOpen && wasCut) return { state: "lost", words: `Connection lost${ago}` };
  if ((since ?? asked) > Math.max(SILENT, MESSAGES * frame) && isOpen)
    return { state: "silent", words: `No signal${ago}` };
  if (since === null || seen === null) return { state: "connecting", words: "Connecting" };
  return judge(seen);
}

function judge(seen: Seen): Condition {
  const late = latenessOf(seen);
  if (late > LIVE) return { state: late < OLD ? "delayed" : "old", words: `Delayed ${ageInSigns(seen)}` };
  if (seen.kind === "age") return { state: "live", words: `Live · ${duration(Math.max(0, seen.seconds))}` };
  if (seen.kind === "unknown") return { state: "unknown", words: "Age unknown" };
  return { state: "clock", words: "Clock error" };
}

/** The largest known age in seconds. */
function latenessOf(seen: Seen): number {
  if (seen.kind === "age") return seen.seconds + seen.error;
  return (seen.kind === "unknown" ? seen.late : seen.sent) ?? 0;
}
