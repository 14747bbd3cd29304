/** What the element loads once its view is a sheet, or something is measured, frozen or scrolled. */

export { bindPointer } from "../src/pointer.js";
export { SCREEN_TOOLS } from "../src/screen-tools.js";
