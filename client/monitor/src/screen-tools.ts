/** What a screen shows beside the live traces: the sheet and the calipers. A page may load it once it is asked for. */

import { Calipers, describe, drawCalipers, samplesOf } from "./calipers.js";
import { sheet } from "./sheet.js";

export const SCREEN_TOOLS = { Calipers, describe, drawCalipers, samplesOf, sheet };
export type ScreenTools = typeof SCREEN_TOOLS;
