/** The limits of a bed, and the watch over its heart rate. */

import type { Alert } from "../alert-history.js";
import { isRecord } from "../feed.js";
import type { Alarm } from "./alarm-book.js";

export interface Limits {
  /** Highest and lowest heart rate without an alarm, in beats per minute; null for no alarm. */
  readonly rateHigh: number | null;
  readonly rateLow: number | null;
  /** Seconds without a beat after which asystole is an alarm; null for no alarm. */
  readonly asystole: number | null;
  /** True if leads that are off are an alarm. */
  readonly leadOff: boolean;
}

export const DEFAULT_LIMITS: Limits = { rateHigh: 130, rateLow: 45, asystole: 4, leadOff: true };
/** Ranges that limits can have. `ecgframe/server/alarm_limits.py` has the same. */
export const RANGES = { rateHigh: [20, 350], rateLow: [20, 350], asystole: [4, 30] } as const;
/** Seconds for which the rate has to be beyond a limit, or within it again. */
const LASTING = 3;

/** The limits as the features of a message; NaN for no alarm. */
export function limitsToFeatures({ rateHigh, rateLow, asystole, leadOff }: Limits): Record<string, number> {
  const number = (value: number | null): number => value ?? Number.NaN;
  return {
    rate_high: number(rateHigh),
    rate_low: number(rateLow),
    asystole: number(asystole),
    lead_off: leadOff ? 1 : 0,
  };
}

/** Read the features of a message; null if they are no limits. */
export function limitsFromFeatures(features: unknown): Limits | null {
  if (!isRecord(features) || !("rate_high" in features)) return null;
  const number = (value: unknown, [least, most]: readonly [number, number]): number | null =>
    typeof value === "number" && value >= least && value <= most ? value : null;
  return {
    rateHigh: number(features.rate_high, RANGES.rateHigh),
    rateLow: number(features.rate_low, RANGES.rateLow),
    asystole: number(features.asystole, RANGES.asystole),
    leadOff: features.lead_off === 1,
  };
}

/** Returns whether the limits of its bed keep an alarm from signalling. */
export function isMutedBy(limits: Limits, { kind, start, end }: Alarm, now: number): boolean {
  switch (kind) {
    case "asystole":
      return limits.asystole === null || (start !== null && (end ?? now) - start < limits.asystole);
    case "lead_off":
      return !limits.leadOff;
    case "rate_high":
      return limits.rateHigh === null;
    case "rate_low":
      return limits.rateLow === null;
    default:
      return false;
  }
}

type Side = "rate_high" | "rate_low";

/** Watches the heart rate of one bed. */
export class LimitWatch {
  readonly #open = new Map<Side, number>();
  /** Since when the rate is beyond a limit, or within an open one again. */
  readonly #since = new Map<Side, number>();

  constructor(readonly stream: string) {}

  /**
   * Take the present rate. Returns the alerts that begin or end.
   *
   * @param rate in beats per minute; null if it is unknown, which ends nothing.
   * @param now in Unix seconds.
   */
  update(rate: number | null, limits: Limits, now: number): Alert[] {
    return [
      ...this.#look("rate_high", rate, limits.rateHigh, now),
      ...this.#look("rate_low", rate, limits.rateLow, now),
    ];
  }

  #look(side: Side, rate: number | null, limit: number | null, now: number): Alert[] {
    const begun = this.#open.get(side);
    if (limit === null && begun !== undefined) return [this.#end(side, begun, now, "no limit any more")];
    if (rate === null || limit === null) {
      this.#since.delete(side);
      return [];
    }
    const isBeyond = side === "rate_high" ? rate > limit : rate < limit;
    if (isBeyond === (begun !== undefined)) {
      this.#since.delete(side);
      return [];
    }
    const since = this.#since.get(side) ?? now;
    this.#since.set(side, since);
    if (now - since < LASTING) return [];
    this.#since.delete(side);
    if (begun !== undefined) return [this.#end(side, begun, now, `${rate} beats a minute again`)];
    this.#open.set(side, since);
    return [alertOf(this.stream, side, since, null, `${rate} beats a minute, the limit is ${limit}`, now)];
  }

  #end(side: Side, begun: number, now: number, text: string): Alert {
    this.#open.delete(side);
    this.#since.delete(side);
    return alertOf(this.stream, side, begun, now, text, now);
  }
}

function alertOf(stream: string, kind: Side, start: number, end: number | null, text: string, now: number): Alert {
  return {
    kind,
    severity: end === null ? "warning" : "info",
    text,
    lead: "",
    stream,
    confidence: null,
    timestamp: end ?? now,
    start,
    end,
    ending: end === null ? "" : text,
    origins: ["page"],
    shownAt: now,
  };
}
