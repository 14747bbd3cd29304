/** What the server says of alarms, and what the page asks of it: ANOMALY_ALERT and FEATURE_DATA. docs/wall.md describes them. */

import { isRecord } from "../feed.js";
import type { Acknowledgement, Alarm } from "./alarm-book.js";
import { type Limits, limitsFromFeatures, limitsToFeatures } from "./limits.js";

/** The `kind` of an ANOMALY_ALERT that lists the alarms of the server. */
const LIST = "alarms";

/** Characters of a name that are shown. */
const LONGEST_NAME = 80;

export interface AlarmList {
  readonly takesAcknowledgements: boolean;
  /** True if the server keeps them over a restart. */
  readonly isKept: boolean;
  /** Who is signed in over this connection, as the server knows; empty if it knows nobody. */
  readonly user: string;
  readonly alarms: readonly unknown[];
  readonly limits: ReadonlyMap<string, Limits>;
}

/** Read the server's list of alarms; null if the message is an alert. */
export function readList(data: unknown): AlarmList | null {
  if (!isRecord(data) || data.kind !== LIST || !Array.isArray(data.alarms)) return null;
  const limits = Object.entries(isRecord(data.limits) ? data.limits : {}).flatMap(([bed, features]) => {
    const found = limitsFromFeatures(features);
    return found === null ? [] : [[bed, found] as const];
  });
  return {
    takesAcknowledgements: data.acknowledges === true,
    isKept: data.kept === true,
    user: typeof data.user === "string" ? data.user.slice(0, LONGEST_NAME) : "",
    alarms: data.alarms,
    limits: new Map(limits),
  };
}

/** Read the limits of a bed; null if the message has none. */
export function readLimits(data: unknown): { readonly bed: string; readonly limits: Limits } | null {
  if (!isRecord(data) || typeof data.source !== "string") return null;
  const limits = limitsFromFeatures(data.features);
  return limits === null ? null : { bed: data.source, limits };
}

/** The payload of an ANOMALY_ALERT that acknowledges an alarm. It has no stream: it is for the server. */
export function acknowledgementOf(alarm: Alarm, { by, at }: Acknowledgement): Record<string, unknown> {
  const { kind, severity, text, lead, start, end, timestamp, shownAt, stream, id } = alarm;
  return {
    kind,
    severity,
    timestamp: timestamp ?? shownAt,
    source: stream,
    acknowledged_by: by,
    acknowledged_at: at,
    ...(id === "" ? {} : { alarm: id }),
    ...(text === "" ? {} : { message: text }),
    ...(lead === "" ? {} : { lead }),
    ...(start === null ? {} : { start }),
    ...(end === null ? {} : { end }),
  };
}

/** The payload of an ANOMALY_ALERT that tells the server that this page pauses its sound: for how many seconds, 0 for the end. */
export function pauseMessage(seconds: number, by: string, at: number): Record<string, unknown> {
  return {
    kind: "pause",
    severity: "info",
    timestamp: at,
    paused_seconds: seconds,
    paused_by: by.slice(0, LONGEST_NAME),
  };
}

/** The payload of FEATURE_DATA that sets the limits of a bed. It has no stream: it is for the server. */
export function limitsMessage(bed: string, limits: Limits, by: string): Record<string, unknown> {
  return { features: limitsToFeatures(limits), source: bed, ...(by === "" ? {} : { set_by: by }) };
}
