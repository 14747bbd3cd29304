/**
 * What the messages of a stream state besides their samples: patient, device, filter, gain and baseline.
 *
 * The page keeps samples as float32 millivolts. `millivolts * gain + baseline`, rounded, is exactly the count of the ADC if
 * that is less than 2^22 from its baseline. So only the gain and its changes are kept.
 */

import { perMillivolt } from "../channels.js";
import { filterInWords, pacingInWords } from "../sender-words.js";
import type { EcgFrame } from "../signal.js";
import { clean } from "./text.js";

/** How samples were converted to millivolts. */
export interface Calibration {
  /** Counts per millivolt, and the count of 0 mV, for each lead. */
  readonly gain: readonly number[];
  readonly baseline: readonly number[];
  /** True if they were integers. */
  readonly isWhole: boolean;
  /** The assumption about the unit; empty if the messages state it. */
  readonly guess: string;
}

/** Texts that the messages stated; empty if they did not. */
export interface Said {
  readonly patient: string;
  readonly device: string;
  readonly filter: string;
  readonly pacing: string;
  /** Leads that are not ok, such as `V1 off`. */
  readonly leads: string;
}

interface Span {
  readonly from: number;
  readonly calibration: Calibration;
  readonly said: Said;
}

/** Number of changes that are kept: more than frames in two minutes. */
const CHANGES_KEPT = 8192;

/** The fields of a frame that are used. */
type Noted = Pick<EcgFrame, "signal" | "leads" | "gain" | "baseline" | "channels">;
type Fields = Readonly<Record<string, unknown>>;

export class Origin {
  #spans: Span[] = [];

  /**
   * Note a frame.
   *
   * @param first number of its first sample.
   * @param fields the payload of the message.
   */
  note(first: number, frame: Noted, fields: unknown): void {
    const all: Fields = typeof fields === "object" && fields !== null ? (fields as Fields) : {};
    const span: Span = {
      from: first,
      calibration: {
        gain: frame.gain,
        baseline: frame.baseline,
        isWhole: isWhole(frame.signal),
        guess: guessed(unitOfEcg(frame, all), all.gain),
      },
      said: {
        patient: identifier(all.patient_id),
        device: identifier(all.device_id),
        filter: filterInWords(all.filter),
        pacing: pacingInWords(all.pacing),
        leads: leadsText(all.lead_status, frame.leads),
      },
    };
    const last = this.#spans.at(-1);
    if (last !== undefined && isSame(last, span)) return;
    this.#spans.push(span);
    if (this.#spans.length > CHANGES_KEPT) this.#spans.shift();
  }

  /** A copy, for a frozen screen. */
  snapshot(): Origin {
    const copy = new Origin();
    copy.#spans = [...this.#spans];
    return copy;
  }

  /** The calibration of the samples `[from, to)`; null if it changes among them, or is not kept any more. */
  calibration(from: number, to: number): Calibration | null {
    const found = this.#within(from, to);
    const first = found[0]?.calibration;
    if (first === undefined || found[0].from > from) return null;
    return found.every(({ calibration }) => isSameCalibration(first, calibration)) ? first : null;
  }

  /** The assumption about the unit of these samples; empty if there is none. */
  guess(from: number, to: number): string {
    return distinct(this.#within(from, to).map(({ calibration }) => calibration.guess));
  }

  /** The texts for these samples; those that changed are joined by "then". */
  said(from: number, to: number): Said {
    const found = this.#within(from, to).map(({ said }) => said);
    return {
      patient: distinct(found.map(({ patient }) => patient)),
      device: distinct(found.map(({ device }) => device)),
      filter: distinct(found.map(({ filter }) => filter)),
      pacing: distinct(found.map(({ pacing }) => pacing)),
      leads: distinct(found.map(({ leads }) => leads)),
    };
  }

  #within(from: number, to: number): Span[] {
    return this.#spans.filter((span, index) => span.from < to && (this.#spans[index + 1]?.from ?? to) > from);
  }
}

function distinct(texts: readonly string[]): string {
  return [...new Set(texts.filter((text) => text !== ""))].join(", then ");
}

function isSame(one: Span, other: Span): boolean {
  const [a, b] = [one.said, other.said];
  return (
    a.patient === b.patient &&
    a.device === b.device &&
    a.filter === b.filter &&
    a.pacing === b.pacing &&
    a.leads === b.leads &&
    isSameCalibration(one.calibration, other.calibration)
  );
}

function isSameCalibration(one: Calibration, other: Calibration): boolean {
  return (
    one.isWhole === other.isWhole &&
    one.guess === other.guess &&
    one.gain.every((value, lead) => value === other.gain[lead]) &&
    one.baseline.every((value, lead) => value === other.baseline[lead])
  );
}

/** Returns whether all samples are integers, except missing ones. */
function isWhole(signal: ArrayLike<number | bigint>): boolean {
  if (!(signal instanceof Float32Array || signal instanceof Float64Array)) return true;
  for (const value of signal) if (!Number.isInteger(value) && !Number.isNaN(value)) return false;
  return true;
}

/** The unit of the ECG as the message states it; "mV" if no lead is an ECG. */
function unitOfEcg({ leads, channels }: Noted, { lead_units: each, units }: Fields): unknown {
  const ecg = channels === undefined ? 0 : channels.findIndex(({ kind }) => kind === "ecg");
  if (ecg < 0) return "mV";
  return Array.isArray(each) && each.length === leads.length ? each[ecg] : units;
}

function guessed(units: unknown, gain: unknown): string {
  if (typeof units !== "string") return "the unit is not stated, taken as mV";
  if (perMillivolt(units) !== null) return "";
  const taken = gain == null ? "200 of it taken as 1 mV" : "taken as mV";
  return `the unit "${clean(units)}" is not a voltage, ${taken}`;
}

function identifier(value: unknown): string {
  return value == null ? "" : clean(String(value));
}

/** The leads whose state is not ok, with the word of the sender. */
function leadsText(states: unknown, names: readonly string[]): string {
  if (!Array.isArray(states) || states.length !== names.length) return "";
  const said = states.map((state, lead) => `${clean(names[lead])} ${clean(String(state))}`);
  return said.filter((_, lead) => !/^\s*(ok|on)\s*$/i.test(String(states[lead]))).join(", ");
}
