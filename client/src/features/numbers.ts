/** Short lists of numbers. */

/** Append to a list that keeps so many. */
export function remember<T>(values: T[], value: T, count: number): void {
  values.push(value);
  if (values.length > count) values.shift();
}

/** The middle one, or the upper of two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[sorted.length >> 1];
}

export function sum(values: readonly number[]): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
