/** The colours of paper and ink; those of everything else stand in `style.css`. */

export interface Palette {
  readonly paper: string;
  readonly fine: string;
  readonly bold: string;
  readonly trace: string;
  readonly name: string;
  /** Ink and ground of a stretch that is missing. */
  readonly gap: string;
  readonly gapGround: string;
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
    name: "#d7e6e2",
    gap: "#8a6a20",
    gapGround: "#1c1608",
    caliper: "#ffd166",
    caliperGround: "#ffd16622",
    caliperText: "#14110a",
  },
  light: {
    paper: "#fffaf8",
    fine: "#fbe3df",
    bold: "#f0b9b2",
    trace: "#10152b",
    name: "#10152b",
    gap: "#c9a24a",
    gapGround: "#fff3d6",
    caliper: "#0b57d0",
    caliperGround: "#0b57d018",
    caliperText: "#ffffff",
  },
};
