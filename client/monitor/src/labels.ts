/** Which bed and which patient a stream is of, as the application or the sender of the stream names them. */

import { fieldOf } from "../../src/codec/fields.js";
import { Uuid } from "../../src/codec/uuid.js";

export interface Labels {
  /** Empty if nobody names it. */
  readonly bed: string;
  readonly patient: string;
}

export const NO_LABELS: Labels = { bed: "", patient: "" };
/** Characters of a name that are shown. */
const LONGEST = 60;

/** Returns the names in a message: its fields `device_id` and `patient_id`, as text, an integer or a UUID. */
export function labelsOf(data: unknown): Labels {
  const named = (snake: string, camel: string): string => nameOf(fieldOf(data, snake) ?? fieldOf(data, camel));
  return { bed: named("device_id", "deviceId"), patient: named("patient_id", "patientId") };
}

/** Returns the names that the application gives or, of those that it does not give, what the sender says. */
export function chosenLabels(given: Labels, told: Labels): Labels {
  return { bed: given.bed || told.bed, patient: given.patient || told.patient };
}

function nameOf(value: unknown): string {
  const isName =
    typeof value === "string" || typeof value === "bigint" || Number.isInteger(value) || value instanceof Uuid;
  return isName ? [...String(value).trim()].slice(0, LONGEST).join("") : "";
}

/** Format Unix seconds as local time of day, to the second. */
export function timeOfDay(seconds: number): string {
  if (!Number.isFinite(seconds)) return "";
  const date = new Date(seconds * 1000);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

/** By which clock the time of day is. */
export function clockInWords(offset: number | null): string {
  return offset === null ? "Time of this computer's clock" : "Time of the server's clock";
}
