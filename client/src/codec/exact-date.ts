/** A date that is sent with the text that it has, which may be more exact than a `Date`. */
export class ExactDate extends Date {
  /** The text, ISO 8601. It is sent unchanged. */
  readonly text: string;
  /** Microseconds beyond the `Date`'s milliseconds, 0 to 999. */
  readonly microseconds: number;

  constructor(milliseconds: number, microseconds: number, text: string) {
    super(milliseconds);
    this.text = text;
    this.microseconds = microseconds;
  }
}

/** Formats a date as it is sent, like `isoformat()` of Python. */
export function isoText(date: Date): string {
  if (date instanceof ExactDate) return date.text;
  const [whole, rest] = date.toISOString().split(".");
  const milliseconds = rest.slice(0, 3);
  return milliseconds === "000" ? `${whole}+00:00` : `${whole}.${milliseconds}000+00:00`;
}
