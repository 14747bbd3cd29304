/**
 * Mutated frames through both languages: the same verdict, code and value for each.
 *
 *     ECGFRAME_FUZZ_FRAMES=100000 ECGFRAME_FUZZ_SEED=7 npx vitest run test/differential.test.ts
 */
import { expect, test } from "vitest";
import { checkedControl } from "../src/codec/control-messages.js";
import { type Message, type MessageType, ProtocolHandler } from "../src/index.js";
import { compared, FRAMES } from "./mutated-frames.js";
import { fromHex, fromJson, type Rendered } from "./rendering.js";
import { image } from "./same.js";
import { quieted, refusal } from "./verdicts.js";

interface Said {
  readonly frame: string;
  readonly code?: number;
  readonly check?: number;
  readonly version?: number;
  readonly type?: number;
  readonly flags?: number;
  readonly timestamp?: string | null;
  readonly data?: Rendered;
  /** Of a control message: code and check with which its fields are refused. */
  readonly fields?: [number, number] | null;
}

const handler = new ProtocolHandler();

/** What TypeScript makes of a frame, and what Python did, in one form. */
function both(said: Said): [unknown, unknown] {
  let message: Message | undefined;
  const refused = refusal(() => {
    message = handler.decode(fromHex(said.frame));
  });
  if (!message) return [refused, said.code === undefined ? "accepted" : [said.code, said.check]];
  if (said.code !== undefined) return ["accepted", [said.code, said.check]];
  const { version, type, flags, timestamp, data } = message;
  const fields = said.fields === undefined ? undefined : refusal(() => checkedControl(type as MessageType, data, 3));
  return [
    [version, type, flags, timestamp === null ? null : String(timestamp), image(quieted(data)), fields],
    [said.version, said.type, said.flags, said.timestamp, image(quieted(fromJson(said.data as Rendered))), said.fields],
  ];
}

test(`${FRAMES} mutated frames get Python's verdict, code and value`, { timeout: 60_000 + 20 * FRAMES }, async () => {
  const verdicts = await compared<Said>("differential.py", both);
  // Neither all refused nor all read, or nothing was compared.
  expect(verdicts.get("accepted")).toBeGreaterThan(FRAMES / 20);
  expect(verdicts.get("0x200 at check 11")).toBeGreaterThan(FRAMES / 20);
});
