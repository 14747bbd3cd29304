/** The connection in words. */

import { counted } from "../plural.js";
import type { LinkReport } from "./messages.js";

export function badgeOf({ state }: LinkReport): { readonly state: string; readonly words: string } {
  if (state === "open") return { state: "live", words: "Connected" };
  if (state === "reconnecting" || state === "closed") return { state: "lost", words: "Connection lost" };
  return { state: "connecting", words: "Connecting" };
}

export function linkInWords(link: LinkReport, now: number): string {
  const { version, nextAttempt, reconnections, dropped, refused } = link;
  const seconds = nextAttempt === null ? null : Math.max(0, Math.ceil((nextAttempt - now) / 1000));
  return [
    version === null ? "" : `Protocol V${version}`,
    seconds === null || link.state === "open" ? "" : `next attempt in ${seconds} s`,
    reconnections > 0 ? counted(reconnections, "reconnection") : "",
    `${counted(dropped, "frame")} dropped`,
    refused > 0 ? `${counted(refused, "frame")} refused` : "",
  ]
    .filter(Boolean)
    .join(" · ");
}
