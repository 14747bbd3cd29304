/**
 * The sounds of the alarms: a pattern for each priority, that of the highest one at a time. A browser lets a page sound only
 * after somebody has used it, so sounds are off until then, and the page says so.
 */

import type { Severity } from "../alert-history.js";

/** A pulse: when it begins and how long it lasts, in seconds, and its frequency in Hz. */
export interface Pulse {
  readonly at: number;
  readonly length: number;
  readonly frequency: number;
}

export interface Pattern {
  readonly pulses: readonly Pulse[];
  /** Seconds from the beginning of one to that of the next. */
  readonly period: number;
}

const pulses = (frequency: number, length: number, ...begins: number[]): Pulse[] =>
  begins.map((at) => ({ at, length, frequency }));

/** Five quick pulses, three slower ones, one low one: they differ in number, pace and pitch. */
export const PATTERNS: Readonly<Record<Severity, Pattern>> = {
  critical: { pulses: pulses(880, 0.12, 0, 0.2, 0.4, 0.8, 1), period: 3 },
  warning: { pulses: pulses(587, 0.2, 0, 0.35, 0.7), period: 8 },
  info: { pulses: pulses(392, 0.25, 0), period: 20 },
};

/** Seconds for which a pause lasts. */
export const PAUSE = 120;
const LOUDNESS = 0.25;
/** Seconds in which a pulse rises and falls, so that it does not click. */
const EDGE = 0.01;

/** `off`: not wanted. `waiting`: the browser does not permit it yet. */
export type SoundState = "off" | "waiting" | "on" | "paused";

/** When which pattern begins, without a clock or a loudspeaker of its own. */
export class SoundPlan {
  /** When the pause ends, in seconds; -∞ without one. */
  pausedUntil = Number.NEGATIVE_INFINITY;
  #last: { priority: Severity; at: number } | null = null;

  /** Begin a pause, or end it. */
  togglePause(now: number): void {
    this.pausedUntil = this.left(now) > 0 ? Number.NEGATIVE_INFINITY : now + PAUSE;
  }

  /** Seconds until the pause ends; 0 without one. */
  left(now: number): number {
    return Math.max(0, this.pausedUntil - now);
  }

  /** Returns the pattern that begins now; null if none does. @param priority the highest that signals; null if none does */
  next(priority: Severity | null, now: number): Pattern | null {
    if (priority === null || this.left(now) > 0) {
      this.#last = null;
      return null;
    }
    const pattern = PATTERNS[priority];
    if (this.#last?.priority === priority && now - this.#last.at < pattern.period) return null;
    this.#last = { priority, at: now };
    return pattern;
  }
}

export class Sound {
  readonly plan = new SoundPlan();
  /** Number of patterns that were played, by priority. */
  readonly played: Record<Severity, number> = { critical: 0, warning: 0, info: 0 };
  /** When the last pattern began, in Unix seconds; null before the first. */
  soundedAt: number | null = null;
  #context: AudioContext | null = null;
  #isWanted: boolean;

  /** @param isWanted whether sounds were on when the page was last open. */
  constructor(isWanted: boolean) {
    this.#isWanted = isWanted;
    const permit = (): void => {
      if (this.#isWanted) this.#open();
    };
    for (const name of ["pointerdown", "keydown"]) addEventListener(name, permit, { capture: true });
  }

  get isWanted(): boolean {
    return this.#isWanted;
  }

  state(now: number): SoundState {
    if (!this.#isWanted) return "off";
    if (this.#context?.state !== "running") return "waiting";
    return this.plan.left(now) > 0 ? "paused" : "on";
  }

  /** Turn sounds on or off. To be called by somebody's click or key. */
  toggle(): void {
    this.#isWanted = !this.#isWanted;
    if (this.#isWanted) this.#open();
    else void this.#context?.suspend();
  }

  /** Sound as necessary. To be called several times a second. */
  update(priority: Severity | null, now: number): void {
    if (!this.#isWanted || this.#context?.state !== "running") return;
    const pattern = this.plan.next(priority, now);
    if (pattern === null || priority === null) return;
    this.played[priority] += 1;
    this.soundedAt = Date.now() / 1000;
    for (const pulse of pattern.pulses) this.#pulse(this.#context, pulse);
  }

  #open(): void {
    this.#context ??= new AudioContext();
    if (this.#context.state === "suspended") void this.#context.resume();
  }

  #pulse(context: AudioContext, { at, length, frequency }: Pulse): void {
    const begin = context.currentTime + at;
    const tone = new OscillatorNode(context, { frequency, type: "triangle" });
    const volume = new GainNode(context, { gain: 0 });
    volume.gain.setValueAtTime(0, begin);
    volume.gain.linearRampToValueAtTime(LOUDNESS, begin + EDGE);
    volume.gain.setValueAtTime(LOUDNESS, begin + length - EDGE);
    volume.gain.linearRampToValueAtTime(0, begin + length);
    tone.connect(volume).connect(context.destination);
    tone.start(begin);
    tone.stop(begin + length);
  }
}
