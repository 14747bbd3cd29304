/** Texts about the age of the signal. */

import type { Seen } from "./age.js";
import type { DelayChange } from "./playhead.js";

/** The age of the signal, and the other values that the texts need. */
export interface Knowledge {
  /** Null before the first frame. */
  readonly seen: Seen | null;
  /** Seconds of the last round trip; null before the first. */
  readonly roundTrip: number | null;
  /** Version of the protocol; null without a connection. */
  readonly version: number | null;
  /** The last change of the delay. */
  readonly change: DelayChange | null;
}

/** Differences of up to this many seconds between two ages are not mentioned. */
const NEGLIGIBLE = 1;
/** An age whose error is at most this share of it is shown without "up to". */
const EXACT_SHARE = 0.1;

/** As `24 s`, `up to 24 s`, `at least 24 s`. */
export function ageInWords(seen: Seen): string {
  switch (seen.kind) {
    case "age": {
      // If the error is larger, the viewer has to know the largest possible age.
      const isExact = seen.error <= Math.max(0.1, EXACT_SHARE * seen.seconds);
      return isExact ? duration(seen.seconds) : `up to ${duration(seen.seconds + seen.error)}`;
    }
    case "ahead":
    case "set":
      return `at least ${duration(seen.sent ?? 0)}`;
    case "unknown":
      return `at least ${duration(seen.late)}`;
  }
}

/** The same for the badge, as `24 s`, `≤ 24 s`, `≥ 24 s`. */
export function ageInSigns(seen: Seen): string {
  return ageInWords(seen).replace("up to", "≤").replace("at least", "≥");
}

/** Sentences that say why the signal is not called live. */
export function reasonInWords(seen: Seen, { roundTrip, version }: Knowledge): string {
  switch (seen.kind) {
    case "age":
      return `What you see is ${ageInWords(seen)} old. ${whereLate(seen.seconds, seen.sent)}`;
    case "ahead": {
      const whose = seen.by === "source" ? "source" : "server";
      return `Clock of the ${whose} ${duration(seen.seconds)} ahead: the age of the signal is unknown.${sent(seen.sent)}`;
    }
    case "set": {
      const set = `set ${seen.seconds < 0 ? "back" : "forward"} by ${duration(Math.abs(seen.seconds))}`;
      return `Clock of the source ${set}: the age of the signal is unknown.${sent(seen.sent)}`;
    }
    case "unknown": {
      const late = seen.late > NEGLIGIBLE ? ` It arrives at least ${duration(seen.late)} later than before.` : "";
      const trip = roundTrip === null ? "" : ` Round trip to the server: ${duration(roundTrip)}.`;
      const hasNoTimestamps = version !== null && version < 3;
      const why = hasNoTimestamps
        ? `version ${version} of the protocol has no timestamps`
        : "the server's clock is not measured yet";
      return `The age of the signal is unknown: ${why}.${late}${trip}`;
    }
  }
}

function sent(ago: number | null): string {
  return ago === null ? "" : ` The server sent it ${duration(Math.max(0, ago))} ago.`;
}

function whereLate(seconds: number, sent: number | null): string {
  if (sent === null) return "";
  if (seconds - sent < NEGLIGIBLE) return "It arrived late from the server: the connection or this page is too slow.";
  const ago = `The server sent it ${duration(Math.max(0, sent))} ago`;
  return `${ago}: it reached the server late, or the clock of the source is behind.`;
}

/** A sentence about a lasting change of the delay, and its effect on the trace. */
export function changeInWords(seconds: number): string {
  const by = duration(Math.abs(seconds));
  return seconds > 0
    ? `The delay increased by ${by}: the trace paused for that long.`
    : `The delay decreased by ${by}: the trace has caught up.`;
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
