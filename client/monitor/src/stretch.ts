/** A short stretch of the past from the server's history, apart from what the page keeps. */

import { type HistoryHost, history, MessageType, ProtocolError, type StreamMessage } from "../../src/index.js";
import { ecgFrame } from "./feed.js";
import { type EcgFrame, EcgSignal } from "./signal.js";

export interface Stretch {
  /** Null if the server keeps nothing of that time. */
  readonly signal: EcgSignal | null;
  /** Why there is nothing, or what of it is missing; empty if it is whole. */
  readonly missing: string;
}

/**
 * Load a stretch.
 *
 * @param from server's time of its first message, in Unix seconds.
 * @param to that of its last message.
 * @param note called for each frame that is kept, before it is added.
 * @throws Error the server denies it, or the connection is lost for good
 */
export async function loadStretch(
  host: HistoryHost,
  stream: string,
  from: number,
  to: number,
  note: (signal: EcgSignal, frame: EcgFrame, data: unknown) => void = () => {},
): Promise<Stretch> {
  let signal: EcgSignal | null = null;
  const take = (message: StreamMessage): void => {
    if (message.type !== MessageType.ECG_DATA) return;
    try {
      const frame = ecgFrame(message);
      if (frame.timestamp === null || frame.samples === 0) return;
      // Where the leads change, the later part is shown.
      if (signal?.fits(frame) !== true) signal = new EcgSignal(frame, null, to - from + 2);
      note(signal, frame, message.data);
      signal.take(frame, frame.timestamp);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error; // as of a live message, which is reported
    }
  };
  const stamp = (seconds: number): bigint => BigInt(Math.max(0, Math.round(1e6 * seconds)));
  const asked = history(host, stream, take, { start: stamp(from), stop: stamp(to) });
  await asked.finished;
  if (asked.unopened > 0) return { signal, missing: "this page does not have the keys" };
  if (signal === null) return { signal, missing: "the server keeps nothing of that time" };
  return { signal, missing: asked.lost > 0 ? `${asked.lost} messages are lost` : "" };
}
