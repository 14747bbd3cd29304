/** Runs in a page: what each vector reads as there, as text. */
import { ProtocolError, ProtocolHandler } from "../src/index.js";
import { image } from "./same.js";

export interface Given {
  readonly bytes: string;
  readonly maxPayload: number;
}

export function readings(vectors: readonly Given[]): string[] {
  return vectors.map(({ bytes, maxPayload }) => {
    const frame = Uint8Array.from(bytes.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
    const items = [...new ProtocolHandler({ maxPayload }).decodeEach(frame)];
    return JSON.stringify(items.map((item) => (item instanceof ProtocolError ? verdict(item) : image(item.data))));
  });
}

function verdict({ code, check }: ProtocolError): unknown {
  return { code, check };
}

Object.assign(globalThis, { readings });
