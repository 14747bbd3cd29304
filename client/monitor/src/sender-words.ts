/** Filter and pacing of a message as text, for the line above the paper and for the print. */

import { clean } from "./print/text.js";

/** Format the `filter` field (text, list, or map such as `{ highpass: 0.05 }`) for display; empty if absent. */
export function filterInWords(value: unknown): string {
  if (typeof value === "string") return clean(value.trim());
  if (Array.isArray(value)) return value.map(filterInWords).filter(Boolean).join(", ");
  if (typeof value !== "object" || value === null) return "";
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return entries.map(([name, each]) => clean(`${name} ${each}`)).join(", ");
}

/** Format the `pacing` field (text, boolean, or list of samples with spikes) for display; empty if absent. */
export function pacingInWords(value: unknown): string {
  if (typeof value === "boolean") return value ? "on" : "off";
  if (Array.isArray(value)) return "spikes are marked";
  return typeof value === "string" ? clean(value.trim()) : "";
}
