/** What a receiver of plain records loads with the first message that needs it. */

export { inflate } from "./compression.js";
export { SampleReader } from "./sample-reader.js";
