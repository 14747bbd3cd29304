/**
 * Maps whose keys were chosen by a peer that may be hostile.
 *
 * In a `Map`, V8 seeds the hashes of strings but not those of numbers. A peer can therefore choose numbers whose hashes
 * all collide: inserting sixty thousand of them takes a minute. And if the name of a property is a number, an engine
 * may allocate memory for all elements before it: six kilobytes for `{"499": null}`.
 */

/** Key of a map. Integers beyond ±(2^53 - 1) are bigint. */
export type Key = string | number | bigint;

/** Largest number of entries for which collisions cost next to nothing. */
const FEW = 64;
/** Largest index of an array. */
const LAST_INDEX = 2 ** 32 - 2;
/** Makes the strings that are hashed unpredictable, for engines that do not seed the hashes of strings. */
const SALT = Math.random().toString(36).slice(2, 8);

/** Converts an integer to a number if a number can hold it exactly. */
export function exact(integer: bigint): number | bigint {
  const size = integer < 0n ? -integer : integer;
  return size <= Number.MAX_SAFE_INTEGER ? Number(integer) : integer;
}

/**
 * Returns a `Map` that is fast for any keys.
 *
 * @param size number of entries that it will have
 * @param entries the entries to insert first
 */
export function mapFor(size: number, entries: Iterable<[Key, unknown]>): Map<Key, unknown> {
  const map = size <= FEW ? new Map<Key, unknown>() : new SaltedMap();
  for (const [key, value] of entries) map.set(key, value);
  return map;
}

/** Returns true if JavaScript engines interpret this name of a property as the index of an element. */
export function isIndex(name: string): boolean {
  const first = name.charCodeAt(0);
  return first >= 0x30 && first <= 0x39 && /^(?:0|[1-9]\d{0,9})$/.test(name);
}

/** Copies an object to one that stores its elements in a hash table, so that no memory is allocated between indices. */
export function sparseObject(entries: Record<string, unknown>): Record<string, unknown> {
  const sparse: Record<string, unknown> = {};
  sparse[LAST_INDEX] = null;
  delete sparse[LAST_INDEX];
  return Object.defineProperties(sparse, Object.getOwnPropertyDescriptors(entries));
}

/**
 * A `Map` that stores its keys as strings, which are hashed with a secret seed.
 *
 * It behaves like any `Map`, except that `structuredClone` copies the stored strings. Post `new Map(map)` to a worker
 * instead; this is slow if the keys collide.
 */
class SaltedMap extends Map<Key, unknown> {
  override has(key: Key): boolean {
    return super.has(salted(key));
  }

  override get(key: Key): unknown {
    return super.get(salted(key));
  }

  override set(key: Key, value: unknown): this {
    return super.set(salted(key), value);
  }

  override delete(key: Key): boolean {
    return super.delete(salted(key));
  }

  override *keys(): MapIterator<Key> {
    for (const text of super.keys()) yield unsalted(text as string);
  }

  override *entries(): MapIterator<[Key, unknown]> {
    for (const [text, value] of super.entries()) yield [unsalted(text as string), value];
  }

  override [Symbol.iterator](): MapIterator<[Key, unknown]> {
    return this.entries();
  }

  override forEach(call: (value: unknown, key: Key, map: Map<Key, unknown>) => void, self?: unknown): void {
    for (const [key, value] of this) call.call(self, value, key, this);
  }
}

/**
 * Returns the string that is stored for a key. It is not numeric: engines do not seed the hashes of numeric strings.
 */
function salted(key: Key): string {
  return `${typeof key === "string" ? "t" : "i"}${SALT}${key}`;
}

function unsalted(text: string): Key {
  const key = text.slice(1 + SALT.length);
  return text.startsWith("t") ? key : exact(BigInt(key));
}
