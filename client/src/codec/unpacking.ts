/** What a receiver of plain records loads with the first message that needs it. */
export { ArrayReader } from "./array-reader.js";
export { inflate } from "./compression.js";
