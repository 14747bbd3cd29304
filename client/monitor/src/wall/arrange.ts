/** The arrangement of the tiles: as many columns as give the tiles the form that shows most of a trace. */

/** A box in CSS pixels. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Arrangement {
  readonly columns: number;
  readonly rows: number;
  /** Width and height of a tile, in CSS pixels. */
  readonly width: number;
  readonly height: number;
}

/** Number of beds that a wall shows at most. */
export const MOST_BEDS = 64;
/** Width of a tile divided by its height, at best. */
const FORM = 2.4;
/** Smallest width and height of a tile, which has room for a trace beside an alarm; a wall of more tiles scrolls. */
export const LEAST = { width: 220, height: 120 };

/** Arrange `count` tiles in a room, with `gap` between them. Lengths are CSS pixels. */
export function arrange(count: number, width: number, height: number, gap: number): Arrangement {
  const most = Math.max(1, Math.min(count, Math.floor((width + gap) / (LEAST.width + gap))));
  const choices = Array.from({ length: most }, (_, place) => within(place + 1, count, width, height, gap));
  return choices.reduce((best, one) => (badness(one) < badness(best) ? one : best));
}

function within(columns: number, count: number, width: number, height: number, gap: number): Arrangement {
  const rows = Math.max(1, Math.ceil(count / columns));
  return {
    columns,
    rows,
    width: Math.max(1, Math.floor((width - (columns - 1) * gap) / columns)),
    height: Math.max(LEAST.height, Math.floor((height - (rows - 1) * gap) / rows)),
  };
}

/** Octaves by which the form differs from the best one; tiles that do not fit are scrolled, which is worse. */
function badness({ width, height, rows }: Arrangement): number {
  const scrolled = height === LEAST.height && rows > 1 ? rows / 100 : 0;
  return Math.abs(Math.log2(width / height / FORM)) + scrolled;
}
