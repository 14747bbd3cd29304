/**
 * What the messages of a stream said beside their samples: who is measured by what, the filter, and what a count is.
 *
 * The page keeps samples as float32 millivolts. A count of a converter comes back from them exactly, as the nearest
 * whole number to `millivolts * gain + baseline`, where it is less than 2^22 away from its baseline: nothing more has
 * to be kept than the gain, and when it changed.
 */

import type { EcgFrame } from "../signal.js";
import { clean } from "./text.js";

/** What the samples of a stretch were before they were millivolts. */
export interface Calibration {
  /** Counts per millivolt, and the count of 0 mV, one a lead. */
  readonly gain: readonly number[];
  readonly baseline: readonly number[];
  /** Whether they were whole numbers. */
  readonly isWhole: boolean;
  /** What had to be guessed of the unit; empty where the messages say it. */
  readonly guess: string;
}

/** What the messages of a stretch said; empty where they did not. */
export interface Said {
  readonly patient: string;
  readonly device: string;
  readonly filter: string;
  readonly pacing: string;
  /** Leads that are not well, as `V1 off`. */
  readonly leads: string;
}

interface Span {
  readonly from: number;
  readonly calibration: Calibration;
  readonly said: Said;
}

/** More than frames in the two minutes that are kept, should each of them differ. */
const CHANGES_KEPT = 8192;
const VOLTAGES = new Set(["v", "mv", "uv", "µv", "μv", "nv"]);

/** What is looked at of a frame. */
type Noted = Pick<EcgFrame, "signal" | "leads" | "gain" | "baseline">;
type Fields = Readonly<Record<string, unknown>>;

export class Origin {
  #spans: Span[] = [];

  /**
   * A frame came.
   *
   * @param first number of its first sample.
   * @param fields of the message.
   */
  note(first: number, frame: Noted, fields: unknown): void {
    const all: Fields = typeof fields === "object" && fields !== null ? (fields as Fields) : {};
    const span: Span = {
      from: first,
      calibration: {
        gain: frame.gain,
        baseline: frame.baseline,
        isWhole: isWhole(frame.signal),
        guess: guessed(all.units, all.gain),
      },
      said: {
        patient: identifier(all.patient_id),
        device: identifier(all.device_id),
        filter: filterText(all.filter),
        pacing: pacingText(all.pacing),
        leads: leadsText(all.lead_status, frame.leads),
      },
    };
    const last = this.#spans.at(-1);
    if (last !== undefined && isSame(last, span)) return;
    this.#spans.push(span);
    if (this.#spans.length > CHANGES_KEPT) this.#spans.shift();
  }

  /** The same as it is now, unmoved by what comes later. */
  snapshot(): Origin {
    const copy = new Origin();
    copy.#spans = [...this.#spans];
    return copy;
  }

  /** The one calibration of the samples `[from, to)`; null where it changes among them, or is not known any more. */
  calibration(from: number, to: number): Calibration | null {
    const found = this.#within(from, to);
    const first = found[0]?.calibration;
    if (first === undefined || found[0].from > from) return null;
    return found.every(({ calibration }) => isSameCalibration(first, calibration)) ? first : null;
  }

  /** What was guessed of the unit of these samples; empty where nothing was. */
  guess(from: number, to: number): string {
    return distinct(this.#within(from, to).map(({ calibration }) => calibration.guess));
  }

  /** All that was said of these samples, one after the other where it changed. */
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

/** Whether all samples are whole numbers, those aside that are missing. */
function isWhole(signal: ArrayLike<number | bigint>): boolean {
  if (!(signal instanceof Float32Array || signal instanceof Float64Array)) return true;
  for (const value of signal) if (!Number.isInteger(value) && !Number.isNaN(value)) return false;
  return true;
}

function guessed(units: unknown, gain: unknown): string {
  if (typeof units !== "string") return "unit not stated, taken as mV";
  if (VOLTAGES.has(units.trim().toLowerCase())) return "";
  const taken = gain == null ? "200 of it taken as 1 mV" : "taken as mV";
  return `unit "${clean(units)}" is not a voltage, ${taken}`;
}

function identifier(value: unknown): string {
  return value == null ? "" : clean(String(value));
}

/** As text, whether the message has text, a list of it, or names with values, as `{ highpass: 0.05 }`. */
function filterText(value: unknown): string {
  if (value == null || value === "") return "";
  if (Array.isArray(value)) return value.map(filterText).filter(Boolean).join(", ");
  if (typeof value !== "object") return clean(String(value));
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return entries.map(([name, each]) => clean(`${name} ${each}`)).join(", ");
}

/** Text, whether the device looks for spikes, or the places of those that it saw. */
function pacingText(value: unknown): string {
  if (typeof value === "boolean") return value ? "on" : "off";
  if (Array.isArray(value)) return "spikes are marked";
  return typeof value === "string" ? clean(value) : "";
}

/** The leads that a message calls anything but well, by a word for each. */
function leadsText(states: unknown, names: readonly string[]): string {
  if (!Array.isArray(states) || states.length !== names.length) return "";
  const said = states.map((state, lead) => `${clean(names[lead])} ${clean(String(state))}`);
  return said.filter((_, lead) => !/^\s*(ok|on)\s*$/i.test(String(states[lead]))).join(", ");
}
