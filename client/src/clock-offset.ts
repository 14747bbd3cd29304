/** Round trips among which the quickest counts, as NTP has it: what a queue delays by, it makes uncertain. */
const KEPT = 8;

interface RoundTrip {
  readonly seconds: number;
  readonly offset: number | null;
}

/** How far the server's clock is ahead of ours, from the last round trips. */
export class ClockOffset {
  #trips: RoundTrip[] = [];

  add(trip: RoundTrip): void {
    this.#trips = [...this.#trips.slice(1 - KEPT), trip];
  }

  /** Seconds that the last one took; null before the first. */
  get roundTrip(): number | null {
    return this.#trips.at(-1)?.seconds ?? null;
  }

  /** The server's clock minus ours, wrong by at most half the quickest round trip; null if it has not said. */
  get seconds(): number | null {
    const told = this.#trips.filter((trip) => trip.offset !== null).sort((a, b) => a.seconds - b.seconds);
    return told[0]?.offset ?? null;
  }
}
