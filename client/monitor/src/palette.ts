/** The colours of the paper and the traces. `style.css` has all others. */

import type { OtherKind } from "./channels.js";

/** Of the traces that are no ECG, with their names and scales; and all else. */
export interface Palette extends Readonly<Record<OtherKind, string>> {
  readonly paper: string;
  /** Grid lines of 1 mm and of 5 mm. */
  readonly fine: string;
  readonly bold: string;
  readonly trace: string;
  /** Names of leads, and the scale. */
  readonly name: string;
  /** Lines and background of the hatching of missing samples. */
  readonly gap: string;
  readonly gapGround: string;
  /** The mark of a pacing spike. */
  readonly spike: string;
  readonly caliper: string;
  readonly caliperGround: string;
  readonly caliperText: string;
}

export type Theme = "dark" | "light";

export const PALETTES: Readonly<Record<Theme, Palette>> = {
  dark: {
    paper: "#05090b",
    fine: "#0b171b",
    bold: "#15303a",
    trace: "#3ff08f",
    resp: "#fff27a",
    pleth: "#58d3ff",
    pressure: "#ff8b80",
    other: "#d9b8ff",
    name: "#d7e6e2",
    gap: "#8a6a20",
    gapGround: "#1c1608",
    spike: "#8ab4ff",
    caliper: "#ffd166",
    caliperGround: "#ffd16622",
    caliperText: "#14110a",
  },
  light: {
    paper: "#fffaf8",
    fine: "#fbe3df",
    bold: "#f0b9b2",
    trace: "#10152b",
    resp: "#6b5300",
    pleth: "#00607f",
    pressure: "#a8201a",
    other: "#6a36b0",
    name: "#1d3f8f",
    gap: "#c9a24a",
    gapGround: "#fff3d6",
    spike: "#8a2be2",
    caliper: "#0b57d0",
    caliperGround: "#0b57d018",
    caliperText: "#ffffff",
  },
};
