/** The colours of the paper and the traces, from the CSS variables of an element. */

import { PALETTES, type Palette, type Theme } from "../src/palette.js";

/** The CSS variable of each colour. Those that are not set have the colour of the theme. */
export const VARIABLES: Readonly<Record<keyof Palette, string>> = {
  paper: "--ecg-paper",
  fine: "--ecg-grid-fine",
  bold: "--ecg-grid-bold",
  trace: "--ecg-trace",
  resp: "--ecg-resp",
  pleth: "--ecg-pleth",
  pressure: "--ecg-pressure",
  other: "--ecg-other",
  name: "--ecg-name",
  gap: "--ecg-gap",
  gapGround: "--ecg-gap-ground",
  spike: "--ecg-spike",
  caliper: "--ecg-caliper",
  caliperGround: "--ecg-caliper-ground",
  caliperText: "--ecg-caliper-text",
};

/** Returns the colours, and the variables whose values are no colours. */
export function coloursOf(element: Element, theme: Theme): { palette: Palette; invalid: readonly string[] } {
  const style = getComputedStyle(element);
  const invalid: string[] = [];
  const palette = { ...PALETTES[theme] } as Record<keyof Palette, string>;
  for (const [name, variable] of Object.entries(VARIABLES) as [keyof Palette, string][]) {
    const value = style.getPropertyValue(variable).trim();
    if (value === "") continue;
    if (CSS.supports("color", value)) palette[name] = value;
    else invalid.push(`${variable}: ${value}`);
  }
  return { palette, invalid };
}
