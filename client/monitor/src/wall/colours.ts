/** The colours of the canvas. `wall.css` has all others. */

import { PALETTES, type Theme } from "../palette.js";
import type { Colours } from "./strip.js";

export const COLOURS: Readonly<Record<Theme, Colours>> = {
  dark: { ground: "#05090b", trace: "#3ff08f", gap: "#5a4414", others: PALETTES.dark },
  light: { ground: "#fffaf8", trace: "#10152b", gap: "#e8d09a", others: PALETTES.light },
};
