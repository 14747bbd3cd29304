/** What reads the values that few payloads have. A display loads it with the first message that has one. */
import { DateTime } from "./date-time.js";
import { SampleReader } from "./sample-reader.js";
import { Uuid } from "./uuid.js";

export const RARE_VALUES = {
  /** Reads arrays in list form. Peers with `ndarray-bin` send the binary form. */
  SampleReader,
  DateTime,
  Uuid,
};

/** What reads rare values; null if it is not loaded, and there are none. */
export type RareValues = typeof RARE_VALUES | null;
