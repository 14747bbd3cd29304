/** Functions for short lists of numbers. */

/** Appends a value, and removes the first one if the list has more than `count`. */
export function remember<T>(values: T[], value: T, count: number): void {
  values.push(value);
  if (values.length > count) values.shift();
}

/** Returns the median; of an even number of values, the upper one of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[sorted.length >> 1];
}

export function sum(values: readonly number[]): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
