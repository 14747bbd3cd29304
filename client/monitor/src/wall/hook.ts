/** `window.ecgframeWall`: read-only access to the state of the wall, for tests. docs/wall.md describes it. */

import type { Alarm } from "./alarm-book.js";
import type { BedReport } from "./bed.js";
import type { Limits } from "./limits.js";
import type { LinkReport, PaceReport } from "./messages.js";
import type { SoundState } from "./sound.js";

export interface WallHook {
  readonly state: {
    readonly link: LinkReport | null;
    readonly beds: readonly BedReport[];
    /** How the alerts of all streams are followed. */
    readonly alerts: string;
    readonly sound: SoundState;
    readonly played: Readonly<Record<string, number>>;
    /** When a sound last began, in Unix seconds; null before the first. */
    readonly soundedAt: number | null;
    /** Seconds until the pause ends. */
    readonly pause: number;
    /** True if the server takes acknowledgements. */
    readonly takesAcknowledgements: boolean | null;
    readonly limits: Readonly<Record<string, Limits>>;
  };
  /** All alarms, the newest first, and whether each signals. */
  readonly alarms: readonly (Alarm & { readonly isSignalling: boolean })[];
  readonly pace: PaceReport;
}

declare global {
  interface Window {
    ecgframeWall: WallHook;
  }
}
