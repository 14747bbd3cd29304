/** `ecgframe/monitor`: the element `<ecg-monitor>`, which importing defines. */

import { EcgMonitor } from "./ecg-monitor.js";

export type { DetectorFor } from "./ecg-monitor.js";
export type { MonitorDetails, MonitorEvents, MonitorState } from "./events.js";
export { EcgMonitor };

if (globalThis.customElements?.get("ecg-monitor") === undefined)
  globalThis.customElements?.define("ecg-monitor", EcgMonitor);
