/**
 * What a lead measures: an ECG, which is drawn to the scale of the paper, or another signal, such as respiration or a
 * plethysmogram, which has a unit and a scale of its own. `ecgframe/other_signals.py` decides in the same way.
 */

export const OTHER_KINDS = ["resp", "pleth", "pressure", "other"] as const;
export type OtherKind = (typeof OTHER_KINDS)[number];
export type Kind = "ecg" | OtherKind;

export interface Channel {
  readonly kind: Kind;
  /** Unit of the values: "mV" for an ECG; empty if the sender states none. */
  readonly unit: string;
}

export const ECG: Channel = { kind: "ecg", unit: "mV" };

/** Units per millivolt, by the prefix of volts. */
const PER_MILLIVOLT: Readonly<Record<string, number>> = {
  "": 0.001,
  m: 1,
  milli: 1,
  u: 1000,
  micro: 1000,
  n: 1e6,
  nano: 1e6,
};
const VOLTS = /^(nano|n|micro|u|milli|m|)v(?:olts?)?$/;
/** Names of an ECG; with one of these, a unit without a dimension does not tell that it is something else. */
const ECG_NAME = /ecg|ekg|^(lead\s*)?(i|ii|iii|avr|avl|avf|v[1-9]r?|m[lc]l?(i|ii|iii|[1-6]))$/;
/** Parts of the names of other signals, as monitors, PhysioNet and IEEE 11073 (`MDC_...`) spell them. */
const NAMES: readonly (readonly [OtherKind, RegExp])[] = [
  ["resp", /resp|imped|thora|abdo|airflow/],
  ["pleth", /pleth|ppg|spo2|sao2|sat_o2/],
  ["pressure", /^(abp|art|bp|nibp|ibp|pap|cvp|icp|rap|lap|uap|uvp|fem)\b|press/],
  ["other", /co2|temp/],
];
const PRESSURES = new Set(["mmhg", "kpa", "cmh2o"]);
/** Units that say nothing about what is measured. */
const NO_DIMENSION = /^(|counts?|adc.*|adu|unknown|raw.*|lsb|digits?|nu|n\.u\.|a\.?u\.?|arb.*)$/;

/** Units per millivolt; null if a unit is not a voltage. */
export function perMillivolt(unit: string): number | null {
  const prefix = VOLTS.exec(plain(unit).replace("μ", "u"))?.[1]; // plain() makes one of the two micro signs
  return prefix === undefined ? null : PER_MILLIVOLT[prefix];
}

/** What a lead with that name and unit measures. @param unit null if the sender states none */
export function channelOf(name: string, unit: string | null): Channel {
  const called = plain(name);
  const stated = plain(unit ?? "");
  const isCalledEcg = ECG_NAME.test(called);
  const isVoltage = unit === null || perMillivolt(unit) !== null;
  const named = isCalledEcg ? undefined : NAMES.find(([, names]) => names.test(called))?.[0];
  if (named !== undefined) return { kind: named, unit: (unit ?? "").trim() };
  if (isVoltage || NO_DIMENSION.test(stated)) return ECG;
  return { kind: PRESSURES.has(stated) ? "pressure" : "other", unit: (unit ?? "").trim() };
}

/** Indices of the leads that are an ECG, or of those that are not. */
export function leadsOf(channels: readonly Channel[], isEcg: boolean): number[] {
  return [...channels.keys()].filter((lead) => (channels[lead].kind === "ecg") === isEcg);
}

/** Lower case, with plain digits: `SpO₂` is `spo2`. */
function plain(text: string): string {
  return text.normalize("NFKC").trim().toLowerCase();
}
