/**
 * Drawing of traces. If many samples fall into a pixel column, only the first, lowest, highest and last of them are drawn:
 * the pixels are the same, and 1,000 Hz costs as much as 250 Hz.
 */

import { placeOf } from "./trace-buffer.js";

/** The methods of a canvas that drawing needs. */
export interface Pen {
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
}

/** The geometry of a trace: the place of its first sample, and the distance to the next. */
export interface Course {
  readonly x: number;
  readonly step: number;
  /** Height of 0 mV, and length of a millivolt, upwards. */
  readonly baseline: number;
  readonly millivolt: number;
}

/** Samples per pixel column from which some are left out. */
const MANY = 4;

/**
 * Draw the samples `[first, last)` of a ring. The line is interrupted where samples are missing.
 *
 * @param column width of a pixel column in the course's unit, with columns from 0; 0 draws all samples.
 */
export function drawLine(
  pen: Pen,
  ring: Float32Array,
  first: number,
  last: number,
  course: Course,
  column: number,
): void {
  if (column >= MANY * course.step) drawColumns(pen, ring, first, last, course, column);
  else drawAll(pen, ring, first, last, course);
}

function drawAll(pen: Pen, ring: Float32Array, first: number, last: number, course: Course): void {
  const { step, baseline, millivolt } = course;
  let { x } = course;
  let place = placeOf(first, ring.length);
  let isDown = false;
  for (let sample = first; sample < last; sample += 1) {
    const value = ring[place];
    if (Number.isNaN(value)) isDown = false;
    else {
      const y = baseline - value * millivolt;
      if (isDown) pen.lineTo(x, y);
      else pen.moveTo(x, y);
      isDown = true;
    }
    x += step;
    place = place + 1 === ring.length ? 0 : place + 1;
  }
}

function drawColumns(pen: Pen, ring: Float32Array, first: number, last: number, course: Course, column: number): void {
  const { step, baseline, millivolt } = course;
  let { x } = course;
  let place = placeOf(first, ring.length);
  let current = Number.NaN;
  let [lowX, lowY, highX, highY, lastX, lastY] = [0, 0, 0, 0, 0, 0];
  // The first sample of a column is drawn at once, the others at its end.
  let firstX = 0;
  const finish = (): void => {
    const isLowFirst = lowX < highX;
    const [earlyX, earlyY] = isLowFirst ? [lowX, lowY] : [highX, highY];
    const [lateX, lateY] = isLowFirst ? [highX, highY] : [lowX, lowY];
    if (earlyX > firstX) pen.lineTo(earlyX, earlyY);
    if (lateX > earlyX) pen.lineTo(lateX, lateY);
    if (lastX > lateX) pen.lineTo(lastX, lastY);
  };
  for (let sample = first; sample < last; sample += 1) {
    const value = ring[place];
    if (Number.isNaN(value)) {
      if (!Number.isNaN(current)) finish();
      current = Number.NaN;
    } else {
      const y = baseline - value * millivolt;
      const at = Math.floor(x / column);
      if (at === current) {
        if (y > lowY) [lowX, lowY] = [x, y];
        if (y < highY) [highX, highY] = [x, y];
      } else {
        if (Number.isNaN(current)) pen.moveTo(x, y);
        else {
          finish();
          pen.lineTo(x, y);
        }
        current = at;
        firstX = x;
        [lowX, lowY, highX, highY] = [x, y, x, y];
      }
      [lastX, lastY] = [x, y];
    }
    x += step;
    place = place + 1 === ring.length ? 0 : place + 1;
  }
  if (!Number.isNaN(current)) finish();
}
