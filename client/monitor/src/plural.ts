/** Numbers of things, in words. */

/** Returns a number and a noun in the form that it takes: "1 bed", "2 beds", "0 beds". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
