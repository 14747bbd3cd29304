/** What a screen shows beside the live traces: the sheet and the calipers. A page may load it once it is asked for. */

import { calipersAt, calipersInMiddle, dragTo, drawPlaced, hitAt, moveBy } from "./caliper-placement.js";
import { describe } from "./calipers.js";
import { sheet } from "./sheet.js";

export const SCREEN_TOOLS = { calipersAt, calipersInMiddle, describe, dragTo, drawPlaced, hitAt, moveBy, sheet };
export type ScreenTools = typeof SCREEN_TOOLS;
