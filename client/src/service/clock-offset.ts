import { microsecondsNow, steadyMicroseconds } from "../codec/send-clock.js";

/** Seconds by which two clocks may drift apart in a second; those of computers drift far less. */
const DRIFT = 1e-4;
/** Seconds by which the local clock may differ from the monotonic one before it counts as set. */
const SET = 0.1;

interface RoundTrip {
  readonly seconds: number;
  readonly offset: number | null;
}

interface Measured {
  readonly offset: number;
  /** Seconds by which the offset may have been wrong when it was measured. */
  readonly error: number;
  /** When it was measured, in seconds of the monotonic clock, and the local clock minus the monotonic one then. */
  readonly at: number;
  readonly ahead: number;
}

/**
 * The offset of the server's clock, measured by round trips.
 *
 * The fastest round trip is used, as in NTP: a delay in a queue makes an offset less certain. The drift of the clocks adds
 * to the error of an old measurement, so a slower but newer round trip replaces it once its own error is smaller. A round
 * trip that contradicts the measurement shows that a clock was set, and replaces it at once.
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

  /** The latest round trip time in seconds; null before the first. */
  get roundTrip(): number | null {
    return this.#roundTrip;
  }

  /** The server's clock minus the local one, in seconds; null before V3, or if the local clock was set since. */
  get seconds(): number | null {
    return this.#current()?.offset ?? null;
  }

  /** Seconds by which the offset may be wrong; null without an offset. */
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
