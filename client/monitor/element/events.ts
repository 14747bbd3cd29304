/** The events of `<ecg-monitor>`, with the types of their details. */

import type { Gap, Message } from "../../src/index.js";
import type { Measure } from "../src/calipers.js";
import type { EcgFrame } from "../src/signal.js";
import type { State } from "../src/signal-presence.js";

/**
 * What the element shows: `idle` without an address or a stream; `connecting` until the first samples; `live`; `delayed` and
 * `old` from 2 and 10 seconds of age on; `clock` if timestamps are impossible, `unknown` if the age is not known; `lost` if
 * nothing arrives; `denied` if the connection or the stream was refused.
 */
export type MonitorState = State | "idle" | "denied";

/** The details of the events. All bubble, and leave shadow roots. */
export interface MonitorDetails {
  /** The state changed. `text` is what the element says about it. */
  "ecg-state": { readonly state: MonitorState; readonly previous: MonitorState; readonly text: string };
  /** Messages of the stream are lost: between these times, in microseconds since 1970; `frames` is how many, or null. */
  "ecg-loss": Gap;
  /** Samples arrived. `first` is the number of the first one in the element's signal. */
  "ecg-frame": { readonly frame: EcgFrame; readonly message: Message; readonly first: number };
  /** Another message of the stream: an alert, a prediction or features. */
  "ecg-message": Message;
  /** An invalid attribute, an invalid message, or an error that the server or the connection reports. */
  "ecg-error": { readonly error: Error };
  /** The screen was frozen, or is live again. */
  "ecg-freeze": { readonly frozen: boolean };
  /** The calipers were moved, or removed: null. */
  "ecg-measure": (Measure & { readonly text: string }) | null;
  /** The heart rate changed, in beats a minute; NaN if there is none. Only with a `detector`. */
  "ecg-rate": { readonly rate: number };
}

/** The events by name, as for `addEventListener`. */
export type MonitorEvents = { [Name in keyof MonitorDetails]: CustomEvent<MonitorDetails[Name]> };
