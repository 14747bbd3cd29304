/** A drawing in millimetres, which is written as SVG for the printer and drawn on a canvas for PNG. */

/** Lines from point to point: `[x, y, x, y, ...]` each. */
export interface Lines {
  readonly kind: "lines";
  readonly lines: readonly (readonly number[])[];
  readonly width: number;
  readonly colour: string;
  /** What lies outside is not drawn. */
  readonly clip?: Box;
  /** For tests: what it is. */
  readonly role: string;
}

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Area extends Box {
  readonly kind: "area";
  readonly colour: string;
  readonly role: string;
}

export interface Writing {
  readonly kind: "text";
  readonly text: string;
  readonly x: number;
  /** Of the line on which the letters stand. */
  readonly y: number;
  readonly size: number;
  readonly isBold: boolean;
  readonly colour: string;
  readonly anchor: "start" | "middle" | "end";
  readonly role: string;
}

export type Mark = Lines | Area | Writing;

export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly marks: readonly Mark[];
  /** What it shows, in words. */
  readonly title: string;
}

export const FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif";
