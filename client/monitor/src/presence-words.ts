/** How old the signal is, and why, in words. */

import type { Seen } from "./age.js";
import type { DelayChange } from "./playhead.js";

/** What is known beside the age. */
export interface Knowledge {
  /** Null before the first frame. */
  readonly seen: Seen | null;
  /** Seconds of the last round trip; null before the first. */
  readonly roundTrip: number | null;
  /** Of the protocol; null without a connection. */
  readonly version: number | null;
  /** The last change of the delay. */
  readonly change: DelayChange | null;
}

/** Seconds that may lie between two ages that are the same. */
const SAME = 1;
/** Share of an age by which it may be wrong without that being said. */
const EXACT = 0.1;

/** As `24 s`, `up to 24 s`, `at least 24 s`. */
export function ageInWords(seen: Seen): string {
  switch (seen.kind) {
    case "age": {
      // It may be more: that is what the viewer has to know.
      const isExact = seen.error <= Math.max(0.1, EXACT * seen.seconds);
      return isExact ? duration(seen.seconds) : `up to ${duration(seen.seconds + seen.error)}`;
    }
    case "ahead":
    case "set":
      return `at least ${duration(seen.sent ?? 0)}`;
    case "unknown":
      return `at least ${duration(seen.late)}`;
  }
}

/** The same for the badge, which is short: `24 s`, `≤ 24 s`, `≥ 24 s`. */
export function ageInSigns(seen: Seen): string {
  return ageInWords(seen).replace("up to", "≤").replace("at least", "≥");
}

/** Why it is not called live: sentences. */
export function reasonInWords(seen: Seen, { roundTrip, version }: Knowledge): string {
  switch (seen.kind) {
    case "age":
      return `What you see is ${ageInWords(seen)} old. ${whereLate(seen.seconds, seen.sent)}`;
    case "ahead": {
      const whose = seen.by === "source" ? "source" : "server";
      return `Clock of the ${whose} ${duration(seen.seconds)} ahead: how old the signal is cannot be told.${sent(seen.sent)}`;
    }
    case "set": {
      const set = `set ${seen.seconds < 0 ? "back" : "forward"} by ${duration(Math.abs(seen.seconds))}`;
      return `Clock of the source ${set}: how old the signal is cannot be told.${sent(seen.sent)}`;
    }
    case "unknown": {
      const late = seen.late > SAME ? ` It comes at least ${duration(seen.late)} later than it did.` : "";
      const trip = roundTrip === null ? "" : ` Round trip to the server: ${duration(roundTrip)}.`;
      const isMute = version !== null && version < 3;
      const why = isMute
        ? `version ${version} of the protocol has no timestamps`
        : "the server's clock is not known yet";
      return `How old the signal is cannot be told: ${why}.${late}${trip}`;
    }
  }
}

function sent(ago: number | null): string {
  return ago === null ? "" : ` The server sent it ${duration(Math.max(0, ago))} ago.`;
}

function whereLate(seconds: number, sent: number | null): string {
  if (sent === null) return "";
  if (seconds - sent < SAME) return "The connection is too slow: it was so long on its way from the server.";
  const ago = `The server sent it ${duration(Math.max(0, sent))} ago`;
  return `${ago}: it came late to the server, or the clock of its source is behind.`;
}

/** That the delay has changed for good, and what was seen of it. */
export function changeInWords(seconds: number): string {
  const by = duration(Math.abs(seconds));
  return seconds > 0
    ? `The delay has risen by ${by}: the trace stood still for so long.`
    : `The delay has fallen by ${by}: the trace has caught up.`;
}

/** As `0.35 s`, `2.4 s`, `24 s`, `3 min`, `2.5 h`, `3 days`. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${seconds.toFixed(2)} s`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}
