import { microsecondsNow, steadyMicroseconds } from "../codec/send-clock.js";

/** Seconds a second by which two clocks may drift apart: those of computers stay well within it. */
const DRIFT = 1e-4;
/** Seconds by which this machine's clock may move against its steady one before it counts as set. */
const SET = 0.1;

interface RoundTrip {
  readonly seconds: number;
  readonly offset: number | null;
}

interface Measured {
  readonly offset: number;
  /** By how much it may be wrong when it was measured. */
  readonly error: number;
  /** When that was, in seconds of the steady clock, and by how much our clock was ahead of the steady one. */
  readonly at: number;
  readonly ahead: number;
}

/**
 * How far the server's clock is ahead of ours, from round trips.
 *
 * The quickest counts, as NTP has it: what a queue delays by, it makes uncertain. It counts for as long as the drift of
 * the clocks since then is less than what a slower trip leaves open, so that a link that has become slow does not hide
 * how slow it is. A trip that contradicts it tells that a clock was set, and takes its place.
 */
export class ClockOffset {
  #best: Measured | null = null;
  #roundTrip: number | null = null;

  add(trip: RoundTrip): void {
    this.#roundTrip = trip.seconds;
    if (trip.offset === null) return;
    const { steady: at, ahead } = clocks();
    const measured = { offset: trip.offset, error: trip.seconds / 2, at, ahead };
    const best = this.#current();
    if (best !== null) {
      const error = errorAt(best, at);
      const agrees = Math.abs(best.offset - measured.offset) <= error + measured.error;
      if (agrees && error < measured.error) return;
    }
    this.#best = measured;
  }

  /** Seconds that the last one took; null before the first. */
  get roundTrip(): number | null {
    return this.#roundTrip;
  }

  /** The server's clock minus ours, wrong by `error` at most; null if it has not said, or our clock was set since. */
  get seconds(): number | null {
    return this.#current()?.offset ?? null;
  }

  /** By how many seconds the offset may be wrong; null where there is none. */
  get error(): number | null {
    const best = this.#current();
    return best === null ? null : errorAt(best, clocks().steady);
  }

  #current(): Measured | null {
    const best = this.#best;
    return best !== null && Math.abs(clocks().ahead - best.ahead) > SET ? null : best;
  }
}

function errorAt(measured: Measured, steady: number): number {
  return measured.error + DRIFT * (steady - measured.at);
}

function clocks(): { steady: number; ahead: number } {
  const steady = Number(steadyMicroseconds()) / 1e6;
  return { steady, ahead: Number(microsecondsNow()) / 1e6 - steady };
}
