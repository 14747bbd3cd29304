/**
 * Numbers of FEATURE_DATA, such as oxygen saturation and respiration rate: which are shown, under which name and in which
 * unit. A name that also has another meaning, such as RR, is shown only if the field `units` of the message has its unit.
 */

import { fieldOf } from "../../src/codec/fields.js";
import type { Message } from "../../src/index.js";
import { channelOf, type OtherKind } from "./channels.js";
import { secondsOf } from "./feed.js";

export interface Numeric {
  readonly name: string;
  /** The name in full. */
  readonly title: string;
  readonly unit: string;
  readonly kind: OtherKind;
  /** NaN if the sender has none. */
  readonly value: number;
  /** When its window ended, in Unix seconds of the sender; null if it does not say. */
  readonly at: number | null;
  /** Seconds after that for which it is shown. */
  readonly lasts: number;
}

type Known = Pick<Numeric, "name" | "title" | "unit" | "kind">;

const known = (name: string, title: string, unit: string, kind: OtherKind): Known => ({ name, title, unit, kind });
const SATURATION = known("SpO₂", "Oxygen saturation", "%", "pleth");
const PULSE = known("PR", "Pulse rate", "/min", "pleth");
const RESPIRATION = known("RR", "Respiration rate", "/min", "resp");

/** By the name in lower case; those of IEEE 11073 without `mdc_`. */
const KNOWN: Readonly<Record<string, Known>> = {
  spo2: SATURATION,
  oxygen_saturation: SATURATION,
  puls_oxim_sat_o2: SATURATION,
  pulse_rate: PULSE,
  puls_oxim_puls_rate: PULSE,
  respiration_rate: RESPIRATION,
  respiratory_rate: RESPIRATION,
  resp_rate: RESPIRATION,
  tthor_resp_rate: RESPIRATION,
};
/** Names that are shown with a unit only: an RR interval is no rate. */
const WITH_UNIT: Readonly<Record<string, Known>> = { rr: RESPIRATION, pr: PULSE };
/** Units of a rate. */
const RATES = /^(\/min|1\/min|min-1|bpm|rpm|breaths\/min|beats\/min)$/i;
/** Seconds for which a number is shown: at least, and by the length of its window. */
const LEAST = 10;
const WINDOWS = 3;
/** Numbers that are shown at most, and characters of a name. */
const MOST = 6;
const LONGEST = 24;

/** Returns the numbers of a FEATURE_DATA message that are shown. */
export function numericsOf({ data }: Pick<Message, "data">): Numeric[] {
  const features = fieldOf(data, "features");
  const units = fieldOf(data, "units");
  const begin = secondsOf(fieldOf(data, "timestamp"));
  const told = fieldOf(data, "window");
  const window = typeof told === "number" && told > 0 ? told : 0;
  const found: Numeric[] = [];
  for (const [name, value] of entriesOf(features)) {
    const stated = typeof units === "object" ? fieldOf(units, name) : undefined;
    const unit = typeof stated === "string" ? stated.trim() : "";
    const plain = name.normalize("NFKC").trim().toLowerCase().replace(/^mdc_/, "");
    const usual = KNOWN[plain] ?? (RATES.test(unit) ? WITH_UNIT[plain] : undefined);
    const isNumber = typeof value === "number" || typeof value === "bigint";
    if (!isNumber || plain === "heart_rate" || (usual === undefined && unit === "")) continue;
    const { kind } = channelOf(name, unit);
    const own = { ...known(name.slice(0, LONGEST), name, unit, kind === "ecg" ? "other" : kind), ...usual };
    const times = { at: begin === null ? null : begin + window, lasts: Math.max(LEAST, WINDOWS * window) };
    found.push({ ...own, unit: usual?.unit === "%" || unit === "" ? own.unit : unit, value: Number(value), ...times });
  }
  return found.slice(0, MOST);
}

function entriesOf(features: unknown): Iterable<[string, unknown]> {
  if (typeof features !== "object" || features === null) return [];
  const all: [unknown, unknown][] = features instanceof Map ? [...features] : Object.entries(features);
  return all.filter((entry): entry is [string, unknown] => typeof entry[0] === "string");
}

/** The latest number of each name. */
export class Numerics {
  readonly #latest = new Map<string, Numeric & { readonly until: number }>();

  /** @param now in Unix seconds of the sender's clock, as far as it is known */
  take(message: Message, now: number): void {
    for (const numeric of numericsOf(message)) {
      if (this.#latest.size >= MOST && !this.#latest.has(numeric.name)) continue;
      // The time of a sender whose clock is ahead does not keep a number for longer.
      this.#latest.set(numeric.name, { ...numeric, until: Math.min(numeric.at ?? now, now) + numeric.lasts });
    }
  }

  /** The numbers; those that are too old are NaN. */
  at(now: number): Numeric[] {
    return [...this.#latest.values()].map(({ until, ...one }) => (now > until ? { ...one, value: Number.NaN } : one));
  }

  clear(): void {
    this.#latest.clear();
  }
}

/** A number as text; two dashes if there is none. */
export function numericText(value: number): string {
  if (!Number.isFinite(value)) return "––";
  return String(Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3))).replace("-", "−");
}
