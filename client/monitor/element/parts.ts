/** `ecgframe/monitor/parts`: what the element is made of, for pages of one's own. Importing it defines no element. */

export { Age, type Seen } from "../src/age.js";
export { bedside } from "../src/bedside.js";
export { Calipers, type Corner, describe, drawCalipers, type Measure, samplesOf } from "../src/calipers.js";
export type { Canvas2D } from "../src/canvas.js";
export { ecgFrame } from "../src/feed.js";
export { type Layout, type Panel, rhythmLead, type Trace } from "../src/layout.js";
export { LiveSignal, type LiveSignalOwner } from "../src/live-signal.js";
export { PALETTES, type Palette, type Theme } from "../src/palette.js";
export { drawGround, drawLabels } from "../src/paper.js";
export { Playhead } from "../src/playhead.js";
export { bindPointer } from "../src/pointer.js";
export { GAINS, type Gain, pixelsPerMillivolt, pixelsPerSecond, type Scale, SPEEDS, type Speed } from "../src/scale.js";
export { Screen } from "../src/screen.js";
export { SCREEN_TOOLS, type ScreenTools } from "../src/screen-tools.js";
export type { Settings, View } from "../src/settings.js";
export { SHEET, sheet } from "../src/sheet.js";
export { type EcgFrame, EcgSignal, type LeadQuality, NOTHING_TOLD, type ToldBySender } from "../src/signal.js";
export { SignalPresence, type State } from "../src/signal-presence.js";
export { type Stretch, Sweep } from "../src/sweep.js";
export { type Gap as SampleGap, type LeadGap, type SpikeMark, TraceBuffer } from "../src/trace-buffer.js";
