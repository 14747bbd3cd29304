/** Alerts and marks as CSV, a row for each. */

/** What the file says of an alert, an alarm, or a mark; times are Unix seconds. */
export interface AlertRow {
  readonly stream: string;
  readonly kind: string;
  readonly severity: string;
  readonly lead: string;
  readonly start: number | null;
  readonly end: number | null;
  readonly timestamp: number | null;
  /** When it was shown; NaN if that is not known. */
  readonly shownAt: number;
  readonly text: string;
  readonly ending: string;
  readonly acknowledged: { readonly by: string; readonly at: number } | null;
  readonly origins: readonly string[];
}

const COLUMNS = [
  "bed",
  "kind",
  "priority",
  "lead",
  "start",
  "end",
  "reported",
  "text",
  "ending",
  "acknowledged by",
  "acknowledged at",
  "origin",
];
/** A spreadsheet takes such a cell for a formula. */
const FORMULA = /^\s*[=+\-@＝＋－＠]/;
/** Characters that end lines, control the terminal, or change the direction of writing. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
const UNFIT = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** Return rows as CSV; times are in UTC. Text that a spreadsheet takes for a formula gets an apostrophe. */
export function toCsv(alerts: readonly AlertRow[]): string {
  const rows = alerts.map((alert) => [
    alert.stream,
    alert.kind,
    alert.severity,
    alert.lead,
    time(alert.start),
    time(alert.end),
    time(alert.timestamp ?? alert.shownAt),
    alert.text,
    alert.ending,
    alert.acknowledged?.by ?? "",
    time(alert.acknowledged?.at ?? null),
    alert.origins.join(" "),
  ]);
  return [COLUMNS, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function time(seconds: number | null): string {
  if (seconds === null || !(Math.abs(seconds) < 253_402_300_800)) return "";
  return new Date(1000 * seconds).toISOString();
}

function cell(text: string): string {
  const fit = text.replace(UNFIT, "�");
  const safe = FORMULA.test(fit) ? `'${fit}` : fit;
  return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
