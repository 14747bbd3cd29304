/** The cursor of a viewer: each rule, any sequence of clocks, and the results of the Python client for the same. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ExactDate } from "../src/codec/exact-date.js";
import type { Message } from "../src/codec/protocol-handler.js";
import { DateTime, Flag, MessageType } from "../src/index.js";
import { type Gap, StreamCursor } from "../src/service/cursor.js";
import { Peer } from "./peer/peer.js";
import { StreamModel } from "./stream-model.js";

const SECOND = 1_000_000n;

/** What came of it, as [from, to] and "message". */
function taken(cursor: StreamCursor, timestamp: bigint | null, { now = 0n, type = 1, flags = 0 } = {}): unknown[] {
  const { gaps, isNew } = cursor.take(messageOf({ type, flags, timestamp }), now);
  return [...gaps.map(({ from, to }) => [from, to]), ...(isNew ? ["message"] : [])];
}

function answered(cursor: StreamCursor, from: bigint | null, timestamp = 0n): unknown[] {
  return told(cursor.answered(from, timestamp));
}

function told(gaps: readonly Gap[]): unknown[] {
  return gaps.map(({ from, to }) => [from, to]);
}

function text(cursor: StreamCursor): string | undefined {
  const since = cursor.asksSince();
  return since instanceof ExactDate ? since.text : undefined;
}

describe("a message in line", () => {
  test("is a duplicate only if its own timestamp is remembered", () => {
    const cursor = new StreamCursor("ecg");
    answered(cursor, 1n);
    expect([10n, 20n, 20n, 10n].map((timestamp) => taken(cursor, timestamp))).toEqual([
      ["message"],
      ["message"],
      [],
      [],
    ]);
    expect(taken(cursor, 15n)).toEqual([[20n, 15n], "message"]);
  });

  test("that goes back begins another timeline, of which nothing has come yet", () => {
    const cursor = new StreamCursor("ecg");
    answered(cursor, 1n);
    const alert = { type: MessageType.ANOMALY_ALERT, flags: Flag.PRIORITY };
    for (const timestamp of [100n, 110n, 120n]) taken(cursor, timestamp);
    taken(cursor, 130n, alert);
    expect(taken(cursor, 50n)).toEqual([[120n, 50n], "message"]);
    expect(cursor.since()).toBe(50n);
    expect(taken(cursor, 50n)).toEqual([]);
    expect(taken(cursor, 110n)).toEqual(["message"]);
    expect(taken(cursor, 130n, alert)).toEqual(["message"]);
    expect(taken(cursor, 130n, alert)).toEqual([]);
  });

  test("that goes back comes behind the notices that waited for the line to pass them", () => {
    const cursor = new StreamCursor("ecg");
    answered(cursor, 1n);
    taken(cursor, 100n);
    cursor.noticed(105n, 107n, 2, true);
    expect(taken(cursor, 99n)).toEqual([[105n, 107n], [100n, 99n], "message"]);
    expect(cursor.ended()).toEqual([]);
  });

  test("may go back where the place is known by a clock only", () => {
    const cursor = new StreamCursor("ecg");
    answered(cursor, null, 100n * SECOND);
    expect(taken(cursor, 99n * SECOND)).toEqual(["message"]);
    expect(taken(cursor, 98n * SECOND)).toEqual([[99n * SECOND, 98n * SECOND], "message"]);
  });

  test("goes back behind a place that the server gave", () => {
    const cursor = new StreamCursor("ecg");
    answered(cursor, 101n);
    expect(taken(cursor, 100n)).toEqual([[100n, 100n], "message"]);
  });

  test("may be any behind a place that the application named", () => {
    for (const since of [100n, new Date(1000)]) {
      const cursor = new StreamCursor("ecg", since);
      expect(taken(cursor, 1n)).toEqual(["message"]);
      expect(taken(cursor, 1n)).toEqual([]);
    }
  });

  test("is remembered among the last 1,024", () => {
    const cursor = new StreamCursor("ecg");
    answered(cursor, 1n);
    for (let i = 1n; i <= 1025n; i++) taken(cursor, i);
    expect(taken(cursor, 2n)).toEqual([]);
    expect(taken(cursor, 1n)).toEqual([[1025n, 1n], "message"]);
  });
});

describe("a first answer", () => {
  test("with a place is no loss, and exact", () => {
    const cursor = new StreamCursor("ecg");
    expect(answered(cursor, 100n, 900n)).toEqual([]);
    expect(cursor.since()).toBe(99n);
  });

  test("without one is a moment by the server's clock, and a second before it", () => {
    const cursor = new StreamCursor("ecg");
    expect(answered(cursor, null, 1_700_000_001_000_002n)).toEqual([]);
    expect(text(cursor)).toBe("2023-11-14T22:13:20.000002+00:00");
  });
});

describe("an answer to a viewer that comes back", () => {
  const back = (exact = true): StreamCursor => {
    const cursor = new StreamCursor("ecg");
    answered(cursor, exact ? 1n : null, 5n * SECOND);
    if (exact) for (const timestamp of [100n, 200n]) taken(cursor, timestamp);
    return cursor;
  };

  test("without a time says that nothing is missing", () => {
    const cursor = back();
    expect(answered(cursor, null, 999n)).toEqual([]);
    expect(cursor.since()).toBe(200n);
    expect(taken(cursor, 200n)).toEqual([]);
  });

  test("with the very next place does, too", () => {
    const cursor = back();
    expect(answered(cursor, 201n)).toEqual([]);
    expect(cursor.asksSince()).toBe(200n);
  });

  test("with a place within the margin does as well, where the one before was known by a clock", () => {
    for (const [from, gaps] of [
      [5n * SECOND + 2n, [[5n * SECOND, 5n * SECOND + 2n]]],
      [5n * SECOND + 1n, []],
      [4n * SECOND + 1n, []],
      [4n * SECOND, [[5n * SECOND, 4n * SECOND]]],
    ] as const) {
      const cursor = back(false);
      taken(cursor, 9n * SECOND, { type: MessageType.ANOMALY_ALERT });
      expect(answered(cursor, from)).toEqual(gaps);
      expect(cursor.asksSince()).toBe(from - 1n);
      const isForgotten = from === 4n * SECOND;
      expect(taken(cursor, 9n * SECOND, { type: MessageType.ANOMALY_ALERT })).toEqual(isForgotten ? ["message"] : []);
    }
  });

  test("with a later one tells what is between, and remembers what came ahead of that", () => {
    const cursor = back();
    const alert = { type: MessageType.ANOMALY_ALERT };
    for (const timestamp of [250n, 350n]) taken(cursor, timestamp, alert);
    expect(answered(cursor, 300n)).toEqual([[200n, 300n]]);
    expect(cursor.since()).toBe(299n);
    expect(taken(cursor, 350n, alert)).toEqual([]);
    expect(taken(cursor, 250n, alert)).toEqual(["message"]);
  });

  test("with an earlier one tells that the clock went back, and forgets all", () => {
    for (const from of [200n, 150n, 100n]) {
      const cursor = back();
      taken(cursor, 350n, { type: MessageType.ANOMALY_ALERT });
      expect(answered(cursor, from)).toEqual([[200n, from]]);
      expect(cursor.since()).toBe(from - 1n);
      expect(taken(cursor, 200n)).toEqual(["message"]);
      expect(taken(cursor, 350n, { type: MessageType.ANOMALY_ALERT })).toEqual(["message"]);
    }
  });

  test("comes behind what is left of the notices that the line was in the middle of", () => {
    const cursor = back();
    cursor.noticed(150n, 250n, 3, true);
    cursor.noticed(260n, 270n, 3, true);
    expect(answered(cursor, 60n)).toEqual([
      [150n, 200n],
      [200n, 60n],
    ]);
    expect(cursor.ended()).toEqual([]);
  });

  test("at the beginning of time", () => {
    const cursor = back();
    expect(answered(cursor, 0n)).toEqual([[200n, 0n]]);
    expect(cursor.since()).toBe(0n);
  });
});

describe("where messages have no timestamps", () => {
  test("the place is a moment by the server's clock, and a second before it", () => {
    const cursor = new StreamCursor("ecg");
    expect(told(cursor.answeredUntimed(1_700_000_000_000_001n, 1_700_000_000_000_001n))).toEqual([]);
    expect(text(cursor)).toBe("2023-11-14T22:13:19.000001+00:00");
    expect(taken(cursor, null, { now: 1_700_000_060_000_000n })).toEqual(["message"]);
    expect(text(cursor)).toBe("2023-11-14T22:14:19+00:00");
    expect(told(cursor.answeredUntimed(null, 1_700_000_090_000_000n))).toEqual([]);
    expect(text(cursor)).toBe("2023-11-14T22:14:19+00:00");
  });

  test("a server that is back with another clock is a gap", () => {
    const cursor = new StreamCursor("ecg");
    cursor.answeredUntimed(1000n * SECOND, 1000n * SECOND);
    taken(cursor, null, { now: 1005n * SECOND });
    expect(told(cursor.answeredUntimed(500n * SECOND, 500n * SECOND))).toEqual([[1005n * SECOND, 500n * SECOND]]);
    taken(cursor, null, { now: 510n * SECOND });
    expect(told(cursor.answeredUntimed(900n * SECOND, 900n * SECOND))).toEqual([[510n * SECOND, 900n * SECOND]]);
    expect(told(cursor.answeredUntimed(900n * SECOND, 901n * SECOND))).toEqual([]);
  });

  test("a server that does not resume begins anew now", () => {
    const cursor = new StreamCursor("ecg");
    expect(told(cursor.startedAnew(1000n * SECOND))).toEqual([]);
    expect(told(cursor.startedAnew(1010n * SECOND))).toEqual([[1000n * SECOND, 1010n * SECOND]]);
    expect(told(cursor.startedAnew(900n * SECOND))).toEqual([[1010n * SECOND, 1010n * SECOND]]);
    expect(text(cursor)).toBe("1970-01-01T00:14:59+00:00");
  });
});

describe("what the application names", () => {
  test("is a message where it is a number, a moment where it is a date", () => {
    expect(new StreamCursor("ecg", 123n).asksSince()).toBe(123n);
    expect(text(new StreamCursor("ecg", new Date(1_700_000_000_250)))).toBe("2023-11-14T22:13:20.250000+00:00");
    expect(text(new StreamCursor("ecg", new DateTime("2023-11-14T23:13:20.000007+01:00")))).toBe(
      "2023-11-14T22:13:20.000007+00:00",
    );
  });

  test("may be a moment that no date can say", () => {
    const cursor = new StreamCursor("ecg");
    answered(cursor, null, 2n ** 64n - 1n);
    expect(text(cursor)).toBe("9999-12-31T23:59:59.999999+00:00");
  });
});

describe("two notices told as one, where more wait than may", () => {
  const joined = (...last: [bigint, bigint][]): Gap | undefined => {
    const cursor = new StreamCursor("ecg");
    for (let i = 0n; i < 63n; i++) cursor.noticed(i, i, 1, true);
    for (const [from, to] of last) cursor.noticed(from, to, 2, true);
    return cursor.ended().at(-1);
  };

  test("reach from the earlier to the later", () => {
    expect(joined([500n, 510n], [490n, 505n])).toMatchObject({ from: 490n, to: 510n, frames: 4 });
  });

  test("keep their order where the clock went back in one of them", () => {
    expect(joined([500n, 100n], [120n, 130n])).toMatchObject({ from: 500n, to: 130n });
    expect(joined([490n, 500n], [510n, 100n])).toMatchObject({ from: 490n, to: 100n });
  });
});

const CLOCKS = [0.5, 3, 30, 3600, 2 * 86_400].flatMap((seconds) => [seconds, -seconds]).concat(0);
const events = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("publish"), count: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("deliver"), count: fc.integer({ min: 1, max: 12 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("alert") }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cut") }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("connect") }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("forget"), count: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("set-clock"), seconds: fc.constantFrom(...CLOCKS) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("restart"),
      seconds: fc.constantFrom(...CLOCKS),
      away: fc.integer({ min: 0, max: 5_000_000 }),
    }),
  },
);

test("whatever the server's clock does: each message once, or inside a gap that was told, whose bounds are right", () => {
  const property = fc.property(fc.array(events, { maxLength: 60 }), (course) => {
    const model = new StreamModel();
    for (const event of course) model.go(event);
    model.check();
  });
  fc.assert(property, { numRuns: 2000 });
});

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
  fc.record({ do: fc.constant("answered_untimed"), start: fc.option(moment), now: moment }),
  fc.record({ do: fc.constant("started_anew"), now: moment }),
  fc
    .record({ do: fc.constant("noticed"), start: moment, length: moment, frames: fc.nat(9), timed: fc.boolean() })
    .map(({ length, ...notice }) => ({ ...notice, stop: notice.start + length })),
);
type Step = { do: string; type: number; flags: number; timestamp: number | null } & Record<string, never>;

describe("as in Python", () => {
  test("any course of events", async () => {
    const date = moment.map((microseconds) => new Date(microseconds / 1000).toISOString());
    const begin = fc.oneof(fc.constant(null), moment, date);
    const property = fc.asyncProperty(begin, fc.array(steps, { maxLength: 30 }), async (since, course) => {
      const cursor = new StreamCursor(
        "ecg",
        typeof since === "number" ? BigInt(since) : since === null ? null : new Date(since),
      );
      const told = course.map((step) => [done(cursor, step as unknown as Step), cursorTold(cursor)]);
      expect(told).toEqual((await peer.do("place", { since, steps: course })).told);
    });
    await fc.assert(property, { numRuns: 1000 });
  });

  test("more ahead of the line than are remembered, and more notices than may wait", async () => {
    const alerts = Array.from({ length: 1100 }, (_, i) => ({
      do: "take",
      type: 2,
      flags: 4,
      timestamp: 7 * i,
      now: 0,
    }));
    const notices = Array.from({ length: 70 }, (_, i) => ({
      do: "noticed",
      start: 9 * i,
      stop: 9 * i + 3,
      frames: 2,
      timed: true,
    }));
    const course = [...alerts, ...notices, { do: "take", type: 1, flags: 0, timestamp: 9000, now: 0 }];
    const cursor = new StreamCursor("ecg");
    const told = course.map((step) => [done(cursor, step as unknown as Step), cursorTold(cursor)]);
    expect(told).toEqual((await peer.do("place", { since: null, steps: course })).told);
  });
});

function done(cursor: StreamCursor, step: Step): unknown {
  switch (step.do) {
    case "take": {
      const { gaps, isNew } = cursor.take(messageOf(step), BigInt(step.now));
      return [...gaps.map(gapTold), ...(isNew ? ["message"] : [])];
    }
    case "answered":
      return cursor.answered(microsecondsOf(step.start), BigInt(step.timestamp as number)).map(gapTold);
    case "answered_untimed":
      return cursor.answeredUntimed(microsecondsOf(step.start), BigInt(step.now)).map(gapTold);
    case "started_anew":
      return cursor.startedAnew(BigInt(step.now)).map(gapTold);
    default: {
      const gap = cursor.noticed(BigInt(step.start), BigInt(step.stop), step.frames, step.timed);
      return gap ? [gapTold(gap)] : [];
    }
  }
}

function microsecondsOf(value: number | null): bigint | null {
  return value === null ? null : BigInt(value);
}

function messageOf({
  type,
  flags,
  timestamp,
}: {
  type: number;
  flags: number;
  timestamp: bigint | number | null;
}): Message {
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

function cursorTold(cursor: StreamCursor): unknown {
  const asked = cursor.asksSince();
  const since = cursor.since();
  return [since === null ? null : Number(since), asked instanceof ExactDate ? asked.text : null];
}
