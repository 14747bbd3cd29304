import type { Key } from "./map-keys.js";

/** Returns a field of a decoded map, an object or a `Map`; undefined if the map does not have it. */
export function fieldOf(data: unknown, name: string): unknown {
  if (data instanceof Map) return data.get(name);
  if (data === null || typeof data !== "object" || !Object.hasOwn(data, name)) return undefined;
  return (data as Record<string, unknown>)[name];
}

/** Returns true for a decoded map: an object or a `Map`. */
export function isMap(value: unknown): value is Record<string, unknown> | Map<Key, unknown> {
  return value instanceof Map || isPlain(value);
}

/** Returns true for a map that was decoded to an object. */
export function isPlain(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype;
}
