/**
 * The alarms of all beds: what was reported, by whom it was acknowledged, and which of them signal.
 *
 * A critical alarm latches: it signals until somebody acknowledges it, also if its episode is over. Others end with their
 * episode, or after a while if they have none.
 */

import { type Alert, readAlert, type Severity } from "../alert-history.js";
import { isRecord, secondsOf } from "../feed.js";

export interface Acknowledgement {
  readonly by: string;
  /** Unix seconds. */
  readonly at: number;
}

/** An alert with what the server adds to it. */
export interface Report extends Alert {
  /** The server's name of the alarm; empty if it has none. */
  readonly id: string;
  readonly acknowledged: Acknowledgement | null;
}

export interface Alarm extends Report {
  /** Number of the alarm on this page. */
  readonly key: number;
  /** When a report last changed it, in Unix seconds. */
  readonly changedAt: number;
}

/** From the least to the most severe. */
export const PRIORITIES: readonly Severity[] = ["info", "warning", "critical"];
/** Number of alarms that are remembered. */
const KEPT = 1000;
/** Seconds for which an alarm without an episode signals. */
const MOMENT = 60;
/** Seconds by which the reports of page and server of one episode may differ. */
const SAME = 5;
/** Seconds by which times differ that are the same, but were rounded. */
const ROUNDED = 0.001;
const LONGEST_NAME = 80;

/** Returns whether an alarm of a bed does not signal, because of the bed's limits. */
export type IsMuted = (alarm: Alarm, now: number) => boolean;

/**
 * Read an ANOMALY_ALERT, or an entry of the server's list of alarms.
 *
 * @param on name of the stream on which it came; empty if it came directly.
 */
export function readReport(data: unknown, on: string, now: number): Report {
  const fields = isRecord(data) ? data : {};
  const alert = readAlert(data, now);
  const { source, alarm, acknowledged_by: by } = fields;
  const at = secondsOf(fields.acknowledged_at);
  return {
    ...alert,
    stream: typeof source === "string" ? source : alert.stream || on,
    id: typeof alarm === "string" ? alarm : "",
    acknowledged: typeof by === "string" && by !== "" ? { by: by.slice(0, LONGEST_NAME), at: at ?? now } : null,
  };
}

/** A report of this page's own detector or limits. */
export function ownReport(alert: Alert): Report {
  return { ...alert, id: "", acknowledged: null };
}

export class AlarmBook {
  /** All remembered alarms, the newest first. */
  readonly all: Alarm[] = [];
  /** Number of alarms that were forgotten. */
  forgotten = 0;
  #latest = 0;

  constructor(readonly isMuted: IsMuted = () => false) {}

  /** Add a report, or complete the alarm that it is of. Returns the alarm. */
  add(report: Report): Alarm {
    const known = this.#alarmOf(report);
    if (known !== undefined) return this.#replace(known, join(known, report));
    this.#latest += 1;
    const made = { ...report, key: this.#latest, changedAt: report.shownAt };
    this.all.unshift(made);
    this.#forget(report.shownAt);
    return made;
  }

  /** Acknowledge an alarm. Returns it as it is now; undefined if it is acknowledged already, or forgotten. */
  acknowledge(key: number, acknowledged: Acknowledgement): Alarm | undefined {
    const known = this.all.find((alarm) => alarm.key === key);
    if (known === undefined || known.acknowledged !== null) return undefined;
    return this.#replace(known, { ...known, acknowledged });
  }

  /** Returns whether an alarm lasts. */
  isActive(alarm: Alarm, now: number): boolean {
    return !isOver(alarm, now) && !this.isMuted(alarm, now);
  }

  /** Returns whether an alarm is to be seen and heard. */
  isSignalling(alarm: Alarm, now: number): boolean {
    if (alarm.acknowledged !== null || this.isMuted(alarm, now)) return false;
    return alarm.severity === "critical" || !isOver(alarm, now);
  }

  /** The alarms that signal, the most urgent first. */
  signalling(now: number): Alarm[] {
    return byUrgency(
      this.all.filter((alarm) => this.isSignalling(alarm, now)),
      now,
    );
  }

  /** The alarms of each bed that a tile shows: those that signal, then those that last. */
  byBed(now: number): Map<string, Alarm[]> {
    const found = new Map<string, Alarm[]>();
    const signalling = this.signalling(now);
    const others = byUrgency(
      this.all.filter((one) => this.isActive(one, now) && !this.isSignalling(one, now)),
      now,
    );
    for (const alarm of [...signalling, ...others])
      found.set(alarm.stream, [...(found.get(alarm.stream) ?? []), alarm]);
    return found;
  }

  #replace(known: Alarm, alarm: Alarm): Alarm {
    this.all[this.all.indexOf(known)] = alarm;
    return alarm;
  }

  #forget(now: number): void {
    if (this.all.length <= KEPT) return;
    const oldest = this.all.findLastIndex((alarm) => !this.isSignalling(alarm, now));
    this.all.splice(oldest < 0 ? this.all.length - 1 : oldest, 1);
    this.forgotten += 1;
  }

  #alarmOf(report: Report): Alarm | undefined {
    const { id } = report;
    const named = id === "" ? undefined : this.all.find((alarm) => alarm.id === id);
    if (named !== undefined) return named;
    const distance = (alarm: Alarm): number => Math.abs((alarm.start ?? 0) - (report.start ?? 0));
    return this.all.filter((alarm) => isSame(alarm, report)).sort((one, other) => distance(one) - distance(other))[0];
  }
}

/** The most severe first; of those, the ones that last; of those, the newest. */
function byUrgency(alarms: readonly Alarm[], now: number): Alarm[] {
  const urgency = (alarm: Alarm): number => 2 * PRIORITIES.indexOf(alarm.severity) + (isOver(alarm, now) ? 0 : 1);
  return [...alarms].sort((one, other) => urgency(other) - urgency(one));
}

/** Returns whether the episode of an alarm is over. */
export function isOver({ start, end, timestamp, shownAt }: Alarm, now: number): boolean {
  return end !== null || (start === null && now > (timestamp ?? shownAt) + MOMENT);
}

/** Returns whether a report is of an alarm: a repetition, its end, or what the other side found. */
function isSame(alarm: Alarm, report: Report): boolean {
  if (alarm.id !== "" && report.id !== "") return false;
  const { stream, kind, lead, start, end } = report;
  if (alarm.stream !== stream || alarm.kind !== kind || alarm.lead !== lead) return false;
  if (alarm.start === null || start === null) {
    if (alarm.start !== start || alarm.timestamp === null || report.timestamp === null) return false;
    return Math.abs(alarm.timestamp - report.timestamp) <= ROUNDED && alarm.text === report.text;
  }
  if (Math.abs(alarm.start - start) <= ROUNDED) return true;
  if (end !== null) return alarm.start <= end + SAME && (alarm.end ?? Number.POSITIVE_INFINITY) >= start - SAME;
  const isNews = report.origins.some((origin) => !alarm.origins.includes(origin));
  return isNews && Math.abs(alarm.start - start) <= SAME;
}

function join(alarm: Alarm, report: Report): Alarm {
  const { end, ending } = alarm.end === null ? report : alarm;
  return {
    ...alarm,
    changedAt: report.shownAt,
    end,
    ending,
    id: alarm.id || report.id,
    origins: [...new Set([...alarm.origins, ...report.origins])],
    acknowledged: report.acknowledged ?? alarm.acknowledged, // the server may add who is signed in
  };
}
