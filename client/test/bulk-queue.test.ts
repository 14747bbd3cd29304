/** Data in bulk leaves between other data, and neither waits for the other's fragments. */
import { expect, test } from "vitest";
import { Flag, Form, MessageType, ProtocolHandler } from "../src/index.js";
import { fragmentAt, isCut } from "../src/session/fragmenting.js";
import { BULK, DATA, type Outgoing, type Tier } from "../src/session/frame-queue.js";
import { SendQueue } from "../src/session/outgoing.js";

const handler = new ProtocolHandler({ version: 4, compression: null });
let latest = 0n;

function message(tier: Tier, bytes: number): Outgoing {
  latest++;
  const form = tier === BULK ? Form.BULK : 0;
  const data = { features: {}, pad: new Uint8Array(bytes) };
  const options = { streamId: tier, sequence: Number(latest), timestamp: latest, form };
  const frame = handler.encode(MessageType.FEATURE_DATA, data, options);
  return { frame, type: MessageType.FEATURE_DATA, timestamp: latest, tier, acknowledged: false, deflated: false };
}

function queue(): SendQueue {
  const made = new SendQueue();
  made.cutter = { isCut, fragmentAt, size: 16 * 1024 };
  return made;
}

test("a long message in bulk does not hold up others", () => {
  const waiting = queue();
  waiting.put(message(BULK, 200_000));
  const first = waiting.pop();
  expect((first?.bytes[2] ?? 0) & Flag.FRAGMENT).toBe(Flag.FRAGMENT);
  waiting.put(message(DATA, 100));
  expect(waiting.pop()?.outgoing.tier).toBe(DATA);
  expect(waiting.pop()?.outgoing.tier).toBe(BULK);
});

test("while both wait, data in bulk has one part of eight of the bytes, and all of it leaves in order", () => {
  const waiting = queue();
  for (let i = 0; i < 40; i++) waiting.put(message(BULK, 5_000));
  for (let i = 0; i < 200; i++) waiting.put(message(DATA, 5_000));
  const left = { live: 0, bulk: 0 };
  const seen: Record<number, bigint[]> = { [DATA]: [], [BULK]: [] };
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { tier, timestamp } = next.outgoing;
    seen[tier].push(timestamp);
    if (seen[DATA].length < 200) left[tier === BULK ? "bulk" : "live"] += next.bytes.length;
  }
  expect(left.live / left.bulk).toBeGreaterThan(6);
  expect(left.live / left.bulk).toBeLessThan(8.5);
  for (const times of Object.values(seen)) expect(times).toEqual([...times].sort((a, b) => Number(a - b)));
  expect([seen[BULK].length, seen[DATA].length]).toEqual([40, 200]);
  expect([waiting.frames, waiting.bytes]).toEqual([0, 0]);
});

test("both are discarded, cut or not", () => {
  const waiting = queue();
  for (const tier of [BULK, DATA] as const) {
    waiting.put(message(tier, 200_000));
    waiting.put(message(tier, 10));
  }
  for (let i = 0; i < 12; i++) waiting.pop();
  expect(waiting.frames).toBe(4);
  waiting.discardData();
  expect([waiting.frames, waiting.bytes, waiting.pop()]).toEqual([0, 0, undefined]);
});
