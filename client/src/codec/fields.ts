/** Returns a field of a decoded map, an object or a `Map`; undefined if the map does not have it. */
export function fieldOf(data: unknown, name: string): unknown {
  if (data instanceof Map) return data.get(name);
  if (data === null || typeof data !== "object" || !Object.hasOwn(data, name)) return undefined;
  return (data as Record<string, unknown>)[name];
}
