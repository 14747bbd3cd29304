/** A viewer's place in a stream comes out as the Python client's does, whatever happens. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Flag, type MessageType } from "../src/index.js";
import { type Gap, Place } from "../src/place.js";
import type { Message } from "../src/protocol-handler.js";
import { Peer } from "./peer/peer.js";

let peer: Peer;
beforeAll(() => {
  peer = new Peer();
});
afterAll(() => peer.end());

const moment = fc.integer({ min: 0, max: 40 }).map((n) => n * 100_000);
const steps = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("take"),
      type: fc.constant(1),
      flags: fc.constant(0),
      timestamp: moment,
      now: moment,
    }),
  },
  fc.record({
    do: fc.constant("take"),
    type: fc.constantFrom(1, 2),
    flags: fc.constantFrom(0, Flag.PRIORITY, Flag.BROADCAST),
    timestamp: fc.option(moment, { freq: 6 }),
    now: moment,
  }),
  fc.record({ do: fc.constant("answered"), start: fc.option(moment), timestamp: moment }),
  fc.record({ do: fc.constant("started_anew"), now: moment }),
  fc
    .record({ do: fc.constant("noticed"), start: moment, length: moment, frames: fc.nat(9), timed: fc.boolean() })
    .map(({ length, ...notice }) => ({ ...notice, stop: notice.start + length })),
);
type Step = { do: string } & Record<string, never>;

test("any course of events", async () => {
  const property = fc.asyncProperty(fc.option(moment), fc.array(steps, { maxLength: 30 }), async (since, course) => {
    const place = new Place("ecg", since === null ? null : BigInt(since));
    const told = course.map((step) => [done(place, step as unknown as Step), numberOf(place.since())]);
    expect(told).toEqual((await peer.do("place", { since, steps: course })).told);
  });
  await fc.assert(property, { numRuns: 1000 });
});

test("more ahead of the line than are remembered, and more notices than may wait", async () => {
  const alerts = Array.from({ length: 1100 }, (_, i) => ({ do: "take", type: 2, flags: 4, timestamp: 7 * i, now: 0 }));
  const notices = Array.from({ length: 70 }, (_, i) => ({
    do: "noticed",
    start: 9 * i,
    stop: 9 * i + 3,
    frames: 2,
    timed: true,
  }));
  const course = [...alerts, ...notices, { do: "take", type: 1, flags: 0, timestamp: 9000, now: 0 }];
  const place = new Place("ecg");
  const told = course.map((step) => [done(place, step as unknown as Step), numberOf(place.since())]);
  expect(told).toEqual((await peer.do("place", { since: null, steps: course })).told);
});

function done(place: Place, step: Step): unknown {
  switch (step.do) {
    case "take": {
      const { gaps, isNew } = place.take(messageOf(step), BigInt(step.now));
      return [...gaps.map(gapTold), ...(isNew ? ["message"] : [])];
    }
    case "answered":
      return place.answered(step.start === null ? null : BigInt(step.start), BigInt(step.timestamp)).map(gapTold);
    case "started_anew":
      return place.startedAnew(BigInt(step.now)).map(gapTold);
    default: {
      const gap = place.noticed(BigInt(step.start), BigInt(step.stop), step.frames, step.timed);
      return gap ? [gapTold(gap)] : [];
    }
  }
}

function messageOf({ type, flags, timestamp }: Step): Message {
  return {
    type: type as MessageType,
    version: 3,
    flags,
    timestamp: timestamp === null ? null : BigInt(timestamp),
    data: null,
    frameBytes: 20,
    payloadBytes: 1,
  };
}

function gapTold({ from, to, frames }: Gap): unknown {
  return [Number(from), Number(to), frames];
}

function numberOf(timestamp: bigint | null): number | null {
  return timestamp === null ? null : Number(timestamp);
}
