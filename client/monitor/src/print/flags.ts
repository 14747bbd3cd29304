/** Marks of events on a printed page: where each flag and its text is, in the band above the grid, so that no text is over a trace. */

import { clean, fitText, type Measure } from "./text.js";

/** A mark in the printed part of a stream. */
export interface PrintedMark {
  readonly sample: number;
  /** Unix seconds. */
  readonly at: number;
  readonly text: string;
}

/** Lengths are in millimetres. */
export interface PrintedFlag {
  readonly x: number;
  /** Number on this page, and the text as far as there is room; empty if there is none. */
  readonly text: string;
  readonly size: number;
  /** True if the text is on the left of the flag. */
  readonly isTurned: boolean;
}

/** Millimetres between a flag and its text, and between a text and the next flag. */
const BESIDE = 2.2;
const APART = 1;

/**
 * Place the flags of a page.
 *
 * @param marks those of the page, in the order of time
 * @param placeOf the place of a sample
 * @param edges left and right end of the band
 */
export function placeFlags(
  marks: readonly PrintedMark[],
  placeOf: (sample: number) => number,
  edges: { readonly left: number; readonly right: number },
  size: number,
  measure: Measure,
): PrintedFlag[] {
  let taken = edges.left;
  return marks.map(({ sample, text }, index) => {
    const x = placeOf(sample);
    const next = index + 1 < marks.length ? placeOf(marks[index + 1].sample) : edges.right;
    const words = `${index + 1} ${clean(text)}`.trim();
    const right = next - APART - x - BESIDE;
    const left = x - BESIDE - taken - APART;
    const isTurned = measure(words, size) > right && left > right;
    const width = isTurned ? left : right;
    const hasRoom = width >= measure(`${index + 1}…`, size);
    const fitted = hasRoom ? fitText(words, width, size, measure) : { text: "", size };
    taken = isTurned || fitted.text === "" ? x : x + BESIDE + measure(fitted.text, fitted.size);
    return { x, text: fitted.text, size: fitted.size, isTurned };
  });
}
