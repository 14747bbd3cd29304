/** The fields of a SUBSCRIPTION_ACK by which a server hands out the keys of a sealed stream. No error quotes a key. */
import { LARGEST_KEY_ID, MAX_HANDED_KEYS, STREAM_KEY_SIZE } from "../protocol.js";
import type { AnsweredKey, AnswerFields } from "./control-messages.js";
import { fieldOf } from "./fields.js";
import { isFiniteNumber } from "./rules.js";

/** The fields that are defined where `encryption` was agreed on. */
export const HANDED_KEYS: AnswerFields = {
  rules: {
    keys: [`a list of at most ${MAX_HANDED_KEYS} stream keys`, (value) => keysOf(value) !== undefined],
    rotation: ["true or false", (value) => typeof value === "boolean"],
  },
  keysOf: (value) => keysOf(value) as AnsweredKey[],
};

/** Returns the keys of an answer as plain objects; undefined if they are not valid. */
function keysOf(value: unknown): AnsweredKey[] | undefined {
  if (!Array.isArray(value) || value.length > MAX_HANDED_KEYS) return undefined;
  const keys = value.map(keyOf);
  return keys.every((key) => key !== null) ? keys : undefined;
}

function keyOf(entry: unknown): AnsweredKey | null {
  if (typeof entry !== "object" || entry === null) return null;
  const names = entry instanceof Map ? [...entry.keys()] : Object.keys(entry);
  if (!names.every((name) => ["id", "key", "begins", "ends"].includes(name as string))) return null;
  const [id, key, begins, ends] = ["id", "key", "begins", "ends"].map((name) => fieldOf(entry, name) ?? null);
  if (!Number.isInteger(id) || (id as number) < 0 || (id as number) > LARGEST_KEY_ID) return null;
  if (!(key instanceof Uint8Array) || key.length !== STREAM_KEY_SIZE) return null;
  for (const time of [begins, ends]) if (time !== null && !isFiniteNumber(time)) return null;
  const times = { begins: begins === null ? null : Number(begins), ends: ends === null ? null : Number(ends) };
  if (times.begins !== null && times.ends !== null && times.ends <= times.begins) return null;
  return { id: id as number, key, ...times };
}
