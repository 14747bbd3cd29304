/** The messages between the page and its worker. */

import type { Alert } from "../alert-history.js";
import type { Box } from "./arrange.js";
import type { BedReport } from "./bed.js";
import type { Colours } from "./strip.js";

export type ToWorker =
  | {
      readonly kind: "start";
      readonly canvas: OffscreenCanvas;
      readonly socket: string;
      readonly token: string | null;
    }
  /** The beds to show, in their order, and all streams that the server lists. */
  | { readonly kind: "beds"; readonly names: readonly string[]; readonly listed: readonly string[] }
  | {
      readonly kind: "layout";
      /** Size of the canvas in CSS pixels, and device pixels of one. */
      readonly width: number;
      readonly height: number;
      readonly ratio: number;
      /** The room of the traces of each bed. */
      readonly boxes: readonly Box[];
      readonly leads: number;
      readonly asked: readonly string[];
      readonly colours: Colours;
    }
  /** The room of the traces of each bed, after that of some has changed. */
  | { readonly kind: "boxes"; readonly boxes: readonly Box[] }
  /** Connect at once. */
  | { readonly kind: "reconnect" }
  /** Connect at once, with another token. */
  | { readonly kind: "token"; readonly token: string | null }
  /** Send a message to the server. */
  | { readonly kind: "send"; readonly type: number; readonly data: Readonly<Record<string, unknown>> };

/** The state of the connection. */
export interface LinkReport {
  readonly state: string;
  readonly version: number | null;
  /** When it connects again, in milliseconds since 1970. */
  readonly nextAttempt: number | null;
  readonly reconnections: number;
  /** Frames that the server dropped, and that this page refused. */
  readonly dropped: number;
  readonly refused: number;
  /** The server's clock minus this computer's, in seconds; null if it is unknown. */
  readonly clockOffset: number | null;
  readonly bytes: number;
  readonly frames: number;
}

/** Milliseconds of drawing, and between two frames, of the last frames of the display. */
export interface PaceReport {
  readonly drawing: readonly number[];
  readonly between: readonly number[];
}

export type FromWorker =
  | { readonly kind: "state"; readonly link: LinkReport; readonly beds: readonly BedReport[] }
  | { readonly kind: "pace"; readonly pace: PaceReport }
  /** A message about alarms, with the stream on which it came; empty if it came directly. */
  | { readonly kind: "alert"; readonly on: string; readonly data: unknown }
  | { readonly kind: "limits"; readonly on: string; readonly data: unknown }
  /** An alert of this page's own detector. */
  | { readonly kind: "found"; readonly alert: Alert }
  /** How the alerts of all streams are followed: by one subscription, by one each, or not, and why. */
  | { readonly kind: "alerts"; readonly state: "all" | "each" | "denied"; readonly why: string }
  /** The server refused what this page sent. */
  | { readonly kind: "refused"; readonly code: number; readonly why: string }
  /** The connection failed; whether a token is needed, or another one. */
  | { readonly kind: "failed"; readonly why: string; readonly needsToken?: boolean };
