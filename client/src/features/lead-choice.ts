/** Selection of the lead in which beats are detected. */

import { median } from "./numbers.js";
import type { Wave } from "./qrs.js";
import { SignalQuality } from "./status.js";

/** Seconds without a beat after which another lead with beats is chosen. */
const SILENT = 2;
/** Seconds in which a lead must have beats to be chosen. */
const RECENT = 4;
/** Number of beats that a lead must have in that time. */
const ENOUGH = 3;
/** Seconds for which the preferred lead must be usable before it is chosen again. */
const BACK = 10;
/** Number of beats whose median amplitude counts. */
const LATEST = 5;

/** Chooses lead II while it is usable, otherwise the usable lead with the largest beats. */
export class LeadChoice {
  /** Index of the chosen lead. */
  lead: number;
  readonly #preferred: number;
  #well = 0;
  #before = 0;

  constructor(
    names: readonly string[],
    readonly rate: number,
  ) {
    const second = names.findIndex((name) => /^(ii|lii)$/.test(name.trim().toLowerCase().replace(/^m/, "")));
    this.#preferred = Math.max(0, second);
    this.lead = this.#preferred;
  }

  /**
   * Chooses the lead.
   *
   * @param now number of working samples so far.
   * @param qualities the quality of each lead.
   * @param waves the latest beats of each lead.
   */
  choose(now: number, qualities: readonly SignalQuality[], waves: readonly (readonly Wave[])[]): void {
    const usable = [...qualities.keys()].filter((lead) => qualities[lead] === SignalQuality.OK);
    const since = now - this.#before;
    this.#before = now;
    this.#well = usable.includes(this.#preferred) ? this.#well + since : 0;
    const beating = usable.filter((lead) => this.#recent(now, waves[lead]) >= ENOUGH);
    if (!usable.includes(this.lead)) {
      this.#take(beating.length > 0 ? beating : usable, waves);
    } else if (this.#isSilent(now, waves[this.lead]) && !beating.includes(this.lead)) {
      this.#take(beating, waves);
    } else if (this.lead !== this.#preferred && this.#well >= BACK * this.rate) {
      const ours = this.#recent(now, waves[this.lead]);
      const theirs = this.#recent(now, waves[this.#preferred]);
      const isAsGood = beating.includes(this.#preferred) || !beating.includes(this.lead);
      if (theirs >= ours - 1 && isAsGood) this.lead = this.#preferred;
    }
  }

  #take(leads: readonly number[], waves: readonly (readonly Wave[])[]): void {
    if (leads.includes(this.#preferred)) {
      this.lead = this.#preferred;
      return;
    }
    let best = -1;
    for (const lead of leads) {
      const size = amplitude(waves[lead]);
      if (size > best) {
        best = size;
        this.lead = lead;
      }
    }
  }

  #recent(now: number, waves: readonly Wave[]): number {
    const earliest = now - RECENT * this.rate;
    let first = waves.length;
    while (first > 0 && waves[first - 1].sample > earliest) first -= 1;
    return waves.length - first;
  }

  #isSilent(now: number, waves: readonly Wave[]): boolean {
    return waves.length === 0 || now - waves[waves.length - 1].sample > SILENT * this.rate;
  }
}

/** Returns the median amplitude of the latest beats. */
function amplitude(waves: readonly Wave[]): number {
  return waves.length > 0 ? median(waves.slice(-LATEST).map((wave) => wave.amplitude)) : 0;
}
