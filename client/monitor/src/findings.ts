/**
 * Episodes of asystole, fibrillation and lead-off, with beginning and end. `ecgframe/server/findings.py` does the same for
 * servers, so that both report an episode with the same text.
 */

export type FindingKind = "asystole" | "ventricular_fibrillation" | "lead_off";

/** The state of the heart after the newest sample. */
export interface HeartState {
  readonly rhythm: "unknown" | "beating" | "asystole" | "fibrillation";
  /** Seconds of usable signal without a beat. */
  readonly silentSeconds: number;
  /** Name of the lead in which beats are detected; empty if no lead is usable. */
  readonly lead: string;
  /** Names of the leads that are off. */
  readonly off: readonly string[];
}

export interface Finding {
  readonly kind: FindingKind;
  readonly severity: "critical" | "warning";
  /** Beginning and end, in seconds from the first sample; `end` is null while it lasts. */
  readonly start: number;
  end: number | null;
  /** When it was detected, in seconds from the first sample. */
  readonly at: number;
  readonly leads: readonly string[];
  /** Texts of its beginning and of its end. */
  readonly message: string;
  ending: string;
}

/** Seconds that a lead must be off before an episode begins, and on before it ends, as loose contacts flicker. */
const OFF_SECONDS = 1;
const ON_SECONDS = 2;

/** Seconds without a beat after fibrillation before asystole is reported; normal beats may resume first. */
const STILL_SECONDS = 4;

const RHYTHMS = { asystole: "asystole", fibrillation: "ventricular_fibrillation" } as const;

export class Findings {
  /** The episodes that have not ended. */
  readonly open: Finding[] = [];
  /** When each lead went off, or on again. */
  readonly #offSince = new Map<string, number>();
  readonly #onSince = new Map<string, number>();
  #stillSince: number | null = null;

  /** The current asystole or fibrillation. */
  get rhythm(): Finding | undefined {
    return this.open.find(({ kind }) => kind !== "lead_off");
  }

  /** Take the state at `now`, in seconds from the first sample. Returns the episodes that begin or end. */
  update(state: HeartState, now: number): Finding[] {
    return [...this.#rhythm(state, now), ...this.#leadsOn(state, now), ...this.#leadsOff(state, now)];
  }

  /** End all open episodes, with `why` as the ending text. */
  end(why: string, now: number): Finding[] {
    return [...this.open].map((finding) => this.#close(finding, now, why));
  }

  #rhythm({ rhythm, silentSeconds, lead }: HeartState, now: number): Finding[] {
    const kind = rhythm === "asystole" || rhythm === "fibrillation" ? RHYTHMS[rhythm] : null;
    const last = this.rhythm;
    if (kind !== "asystole") this.#stillSince = null;
    if (last?.kind === kind) return [];
    if (last?.kind === "ventricular_fibrillation" && kind === "asystole") {
      this.#stillSince ??= now;
      if (now - this.#stillSince < STILL_SECONDS) return [];
    }
    const changed: Finding[] = [];
    if (last !== undefined) {
      const seconds = now - last.start;
      changed.push(this.#close(last, now, endingOf(rhythm, seconds)));
    } else if (kind === null) return [];
    if (kind !== null) {
      const start = kind === "asystole" ? Math.max(0, now - silentSeconds) : now;
      const message = kind === "asystole" ? "no beat" : "waves without beats";
      changed.push(
        this.#begin({ kind, severity: "critical", start, at: now, leads: lead === "" ? [] : [lead], message }),
      );
    }
    return changed;
  }

  /** Leads that go off together are one episode, which lasts until all are on again. */
  #leadsOff({ off }: HeartState, now: number): Finding[] {
    const known = new Set(this.#leadEpisodes.flatMap(({ leads }) => leads));
    for (const lead of this.#offSince.keys()) if (!off.includes(lead)) this.#offSince.delete(lead);
    for (const lead of off) if (!this.#offSince.has(lead)) this.#offSince.set(lead, now);
    const fresh = off.filter((lead) => !known.has(lead));
    const since = fresh.map((lead) => this.#offSince.get(lead) ?? now);
    if (fresh.length === 0 || now - Math.min(...since) < OFF_SECONDS) return [];
    const message = `${fresh.length > 1 ? "leads" : "lead"} off: ${fresh.join(", ")}`;
    return [
      this.#begin({ kind: "lead_off", severity: "warning", start: Math.min(...since), at: now, leads: fresh, message }),
    ];
  }

  #leadsOn({ off }: HeartState, now: number): Finding[] {
    for (const lead of off) this.#onSince.delete(lead);
    const over = this.#leadEpisodes.filter(({ leads }) => {
      if (leads.some((lead) => off.includes(lead))) return false;
      for (const lead of leads) if (!this.#onSince.has(lead)) this.#onSince.set(lead, now);
      return leads.every((lead) => now - (this.#onSince.get(lead) ?? now) >= ON_SECONDS);
    });
    return over.map((finding) => this.#close(finding, now, "on again"));
  }

  get #leadEpisodes(): Finding[] {
    return this.open.filter(({ kind }) => kind === "lead_off");
  }

  #begin(finding: Omit<Finding, "end" | "ending">): Finding {
    const made = { ...finding, end: null, ending: "" };
    this.open.push(made);
    return made;
  }

  #close(finding: Finding, now: number, ending: string): Finding {
    this.open.splice(this.open.indexOf(finding), 1);
    for (const lead of finding.leads) this.#onSince.delete(lead);
    finding.end = now;
    finding.ending = ending;
    return finding;
  }
}

function endingOf(rhythm: HeartState["rhythm"], seconds: number): string {
  const after = `after ${Math.round(seconds)} s`;
  if (rhythm === "beating") return `beats again ${after}`;
  if (rhythm === "unknown") return `rhythm unknown ${after}: no usable lead`;
  return `${rhythm === "asystole" ? "asystole" : "ventricular fibrillation?"} ${after}`;
}
