/** Drawing on a canvas, for PNG, and the width of texts. */

import { type Drawing, FONT, type Lines, type Writing } from "./drawing.js";
import { withResolution } from "./png.js";
import type { Measure } from "./text.js";

/** Dots per inch. */
export const RESOLUTION = 300;
const INCH = 25.4;
/** Size in CSS pixels at which texts are measured: large, so that hinting has no effect. */
const MEASURED = 100;

export function measureWith(context: CanvasRenderingContext2D): Measure {
  return (text, size, isBold = false) => {
    context.font = `${isBold ? 700 : 400} ${MEASURED}px ${FONT}`;
    return (context.measureText(text).width * size) / MEASURED;
  };
}

/** Convert a drawing to a PNG file of 300 dpi. */
export async function toPng(drawing: Drawing): Promise<Uint8Array> {
  const canvas = document.createElement("canvas");
  canvas.width = Math.round((drawing.width / INCH) * RESOLUTION);
  canvas.height = Math.round((drawing.height / INCH) * RESOLUTION);
  const context = canvas.getContext("2d", { alpha: false });
  if (context === null) throw new Error("this browser does not support drawing on a canvas");
  draw(context, drawing, RESOLUTION / INCH);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
  if (blob === null) throw new Error("this browser cannot create an image of that size");
  return withResolution(new Uint8Array(await blob.arrayBuffer()), RESOLUTION / INCH);
}

function draw(context: CanvasRenderingContext2D, { width, height, marks }: Drawing, scale: number): void {
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, height);
  context.lineJoin = "round";
  for (const mark of marks) {
    if (mark.kind === "area") {
      context.fillStyle = mark.colour;
      context.fillRect(mark.x, mark.y, mark.width, mark.height);
    } else if (mark.kind === "lines") drawLines(context, mark);
    else drawText(context, mark);
  }
}

function drawLines(context: CanvasRenderingContext2D, { lines, width, colour, clip }: Lines): void {
  context.save();
  context.beginPath();
  if (clip !== undefined) {
    context.rect(clip.x, clip.y, clip.width, clip.height);
    context.clip();
    context.beginPath();
  }
  for (const line of lines) {
    context.moveTo(line[0], line[1]);
    for (let index = 2; index < line.length; index += 2) context.lineTo(line[index], line[index + 1]);
  }
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
  context.restore();
}

function drawText(context: CanvasRenderingContext2D, mark: Writing): void {
  context.font = `${mark.isBold ? 700 : 400} ${mark.size}px ${FONT}`;
  context.textAlign = mark.anchor === "middle" ? "center" : mark.anchor;
  context.fillStyle = mark.colour;
  context.fillText(mark.text, mark.x, mark.y);
}
