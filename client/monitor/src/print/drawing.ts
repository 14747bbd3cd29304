/** A drawing in millimetres. `svg.ts` renders it for the printer, `canvas.ts` for PNG. */

/** Polylines, each `[x, y, x, y, ...]`. */
export interface Lines {
  readonly kind: "lines";
  readonly lines: readonly (readonly number[])[];
  readonly width: number;
  readonly colour: string;
  /** The lines are drawn only inside this box. */
  readonly clip?: Box;
  /** Names what the mark shows, so that tests find it. */
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
  /** The baseline of the text, from the top of the drawing. */
  readonly y: number;
  /** Size of the font. */
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
  /** A description for screen readers. */
  readonly title: string;
}

export const FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif";
