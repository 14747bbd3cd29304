/** Detection of the beginning of a beat before the envelope shows it, so that the heart rate does not fall meanwhile. */

/**
 * Returns the number of samples after which the signal first has a slope of at least `least`; null if never.
 *
 * @param millivolts one lead. NaN is a missing sample; the sample before it counts instead.
 * @param mean number of samples in each of the two consecutive means whose difference is the slope.
 * @param least slope in microvolts, multiplied by `mean`.
 */
export function firstSteep(millivolts: Float32Array, mean: number, least: number): number | null {
  const isThere = (value: number): boolean => Math.abs(value) < 1e6;
  let held = millivolts.find(isThere);
  if (held === undefined) return null;
  const totals = new Float64Array(millivolts.length + 1);
  for (const [index, value] of millivolts.entries()) {
    if (isThere(value)) held = value;
    totals[index + 1] = totals[index] + Math.floor(held * 1000 + 0.5);
  }
  for (let end = 2 * mean; end < totals.length; end += 1) {
    const middle = totals[end - mean];
    if (Math.abs(totals[end] - middle - (middle - totals[end - 2 * mean])) >= least) return end;
  }
  return null;
}
