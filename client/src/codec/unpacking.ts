/** What a receiver of plain records loads with the first message that needs it. */

export { inflate } from "./compression.js";
export { RARE_VALUES } from "./rare-values.js";
export { sha256 } from "./sha256.js";
