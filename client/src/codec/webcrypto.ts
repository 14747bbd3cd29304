/** WebCrypto, where there is one. */

/**
 * Returns WebCrypto.
 *
 * @throws Error in pages that were loaded without TLS, in which browsers do not offer it
 */
export function subtle(): SubtleCrypto {
  const found = globalThis.crypto?.subtle;
  if (found === undefined) throw new Error("sealing and signing need WebCrypto: load the page over https");
  return found;
}

/** Copies bytes to a buffer of their own, as WebCrypto takes them, whatever they are a view of. */
export function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function areEqual(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.reduce((sum, byte, i) => sum | (byte ^ other[i]), 0) === 0;
}
