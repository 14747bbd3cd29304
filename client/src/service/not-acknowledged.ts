/**
 * A message was sent as often as allowed, and the application of the server did not acknowledge it. It may have arrived
 * nevertheless.
 */
export class NotAcknowledged extends Error {
  override readonly name = "NotAcknowledged";
  /** Timestamp of the message, in microseconds since 1970. */
  readonly timestamp: bigint;
  /** How often it was sent. */
  readonly attempts: number;

  constructor(timestamp: bigint, attempts: number) {
    super(`the message was sent ${times(attempts)}, and the server acknowledged none`);
    this.timestamp = timestamp;
    this.attempts = attempts;
  }
}

function times(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}
