/** `ecgframe/monitor/heart`: heartbeats, for the property `detector` of `<ecg-monitor>`. */

export { heartDetectorFor } from "../src/heart-detection.js";
