/** The cursor by numbers: each rule, and any course of events beside a plain list of what became of each number. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NdArray } from "../src/index.js";
import { MessageType } from "../src/protocol.js";
import type { Gap } from "../src/service/cursor.js";
import { NumberedCursor } from "../src/service/numbered-cursor.js";

const EPOCH = 47;

/** Times are of no matter: each call has the next one. */
class Driver {
  readonly cursor = new NumberedCursor("ecg");
  #time = 0n;

  answered(next: number, epoch = EPOCH, ended: number | null = null): unknown[] {
    return told(this.cursor.answered({ epoch, next, ended }, ++this.#time));
  }

  changed(next: number, epoch: number, ended: number | null = null): void {
    this.cursor.changed({ epoch, next, ended }, ++this.#time);
  }

  take(number: number, overtakes = false, epoch = EPOCH): unknown[] {
    const { gaps, isNew } = this.cursor.take({ stream: "ecg", epoch, number, overtakes }, ++this.#time);
    return [...told(gaps), ...(isNew ? ["message"] : [])];
  }

  refused(number: number, overtakes = false, epoch = EPOCH): unknown[] {
    return told(this.cursor.refused({ stream: "ecg", epoch, number, overtakes }, ++this.#time));
  }
}

/** How many messages each gap has; "unknown" for null. */
function told(gaps: readonly Gap[]): unknown[] {
  return gaps.map(({ frames }) => frames ?? "unknown");
}

test.each([
  [20n, 20n],
  [10n, 10n],
  [5n, 10n], // the time from which the server keeps messages, before the last one that is had
])("a gap that is answered at %i ends at %i, and not before it begins", (answered, to) => {
  const cursor = new NumberedCursor("ecg");
  cursor.answered({ epoch: EPOCH, next: 1 }, 9n);
  cursor.take({ stream: "ecg", epoch: EPOCH, number: 1, overtakes: false }, 10n);
  expect(cursor.answered({ epoch: EPOCH, next: 5 }, answered)).toEqual([{ stream: "ecg", from: 10n, to, frames: 3 }]);
});

function begun(next = 58): Driver {
  const driver = new Driver();
  driver.answered(next);
  return driver;
}

describe("a message in line", () => {
  test("tells exactly what is lost before it, without what overtook", () => {
    const driver = begun();
    expect(driver.take(58)).toEqual(["message"]);
    expect(driver.take(60, true)).toEqual(["message"]);
    expect(driver.take(63, true)).toEqual(["message"]);
    expect(driver.take(62)).toEqual([2, "message"]); // 59 and 61
    expect(driver.cursor.position).toEqual({ epoch: EPOCH, after: 63 });
    expect(driver.take(64)).toEqual(["message"]);
  });

  test("is a duplicate if its number was received, reported as lost, or is before the first", () => {
    const driver = begun();
    driver.take(58);
    driver.take(61);
    for (const number of [1, 57, 58, 59, 60, 61]) expect(driver.take(number)).toEqual([]);
    expect(driver.take(61, true)).toEqual([]);
  });

  test("tells when the messages before and behind the gap were sent", () => {
    const cursor = new NumberedCursor("ecg");
    cursor.answered({ epoch: EPOCH, next: 1 }, 10n);
    cursor.take({ stream: "ecg", epoch: EPOCH, number: 1, overtakes: false }, 20n);
    cursor.take({ stream: "ecg", epoch: EPOCH, number: 3, overtakes: true }, 25n);
    const { gaps } = cursor.take({ stream: "ecg", epoch: EPOCH, number: 5, overtakes: false }, 15n);
    expect(gaps).toEqual([{ stream: "ecg", from: 20n, to: 15n, frames: 2 }]);
  });
});

test("a gap before the first message does not begin after it, though the answer is later than what the server kept", () => {
  const cursor = new NumberedCursor("ecg");
  cursor.answered({ epoch: EPOCH, next: 1 }, 90n);
  const { gaps } = cursor.take({ stream: "ecg", epoch: EPOCH, number: 3, overtakes: false }, 20n);
  expect(gaps).toEqual([{ stream: "ecg", from: 20n, to: 20n, frames: 2 }]);
});

describe("messages that overtake", () => {
  test("leave the position, unless they are next in line", () => {
    const driver = begun();
    driver.take(60, true);
    expect(driver.cursor.position?.after).toBe(57);
    driver.take(58, true);
    expect(driver.cursor.position?.after).toBe(58);
    driver.take(59);
    expect(driver.cursor.position?.after).toBe(60);
    expect(driver.take(60, true)).toEqual([]);
  });

  test("are remembered up to 1,024; one more moves the line, and tells what it passes as lost", () => {
    const driver = begun(1);
    for (let i = 0; i < 1024; i++) expect(driver.take(10 + 2 * i, true)).toEqual(["message"]);
    expect(driver.cursor.position?.after).toBe(0);
    expect(driver.take(10_000, true)).toEqual([9, "message"]);
    expect(driver.cursor.position?.after).toBe(10);
    expect(driver.take(5)).toEqual([]);
    expect(driver.take(11)).toEqual(["message"]);
    expect(driver.cursor.position?.after).toBe(12);
  });
});

describe("an answer to a viewer that comes back", () => {
  test("in the same epoch tells exactly what the server no longer keeps", () => {
    for (const [next, lost, after] of [
      [61, [], 60],
      [62, [1], 61],
      [64, [2], 64], // 63 and 64 had overtaken
      [65, [2], 64],
      [70, [7], 69],
    ] as const) {
      const driver = begun();
      for (const number of [58, 59, 60]) driver.take(number);
      driver.take(63, true);
      driver.take(64, true);
      driver.cursor.disconnected();
      expect(driver.answered(next)).toEqual(lost);
      expect(driver.cursor.position?.after).toBe(after);
    }
  });

  test("in another epoch is a gap whose length nobody knows, and the old numbers mean nothing any more", () => {
    const driver = begun();
    driver.take(60, true);
    driver.cursor.disconnected();
    expect(driver.answered(3, 48)).toEqual(["unknown"]);
    expect(driver.take(60, true, 48)).toEqual(["message"]);
    expect(driver.take(4, false, 48)).toEqual([1, "message"]);
    expect(driver.cursor.position).toEqual({ epoch: 48, after: 4 });
  });

  test("with numbers set back in the same epoch is the same", () => {
    const driver = begun();
    driver.take(58);
    driver.cursor.disconnected();
    expect(driver.answered(58)).toEqual(["unknown"]);
    expect(driver.take(58)).toEqual(["message"]);
  });
});

describe("another epoch on the same connection", () => {
  test("is told before its first message in line; messages of the one before still count in their own line", () => {
    const driver = begun();
    driver.take(58);
    driver.changed(1, 48);
    expect(driver.take(2, true, 48)).toEqual(["message"]);
    expect(driver.take(59)).toEqual(["message"]);
    expect(driver.take(61)).toEqual([1, "message"]);
    expect(driver.take(3, false, 48)).toEqual(["unknown", 1, "message"]);
    expect(driver.take(4, false, 48)).toEqual(["message"]);
    expect(driver.take(62)).toEqual(["message"]);
    expect(driver.cursor.position).toEqual({ epoch: 48, after: 4 });
  });

  test("is told at the next answer, or at the end, if no message follows", () => {
    const driver = begun();
    driver.changed(1, 48);
    driver.cursor.disconnected();
    expect(driver.answered(1, 48)).toEqual(["unknown"]);
    driver.changed(1, 49);
    expect(told(driver.cursor.ended())).toEqual(["unknown"]);
    expect(told(driver.cursor.ended())).toEqual([]);
  });

  test("is none if the answer is about the present one", () => {
    const driver = begun();
    driver.take(58);
    driver.changed(70, EPOCH);
    expect(driver.take(59)).toEqual(["message"]);
    expect(driver.take(70)).toEqual([10, "message"]);
  });
});

describe("a refused message", () => {
  test("is not had: the next in line tells it as lost", () => {
    const driver = begun();
    expect(driver.refused(58)).toEqual([]);
    expect(driver.cursor.position?.after).toBe(57);
    expect(driver.take(59)).toEqual([1, "message"]);
  });

  test("is passed over as a gap if it is refused over the next connection, too", () => {
    const driver = begun();
    for (const number of [58, 59, 61]) driver.refused(number);
    expect(driver.refused(58)).toEqual([]);
    const position = { stream: "ecg", epoch: EPOCH, number: 58, overtakes: false };
    expect(driver.cursor.wasRefused(position)).toBe(false);
    driver.cursor.disconnected();
    expect(driver.cursor.wasRefused(position)).toBe(true);
    driver.answered(58);
    expect([58, 59, 61].map((number) => driver.refused(number))).toEqual([[1], [1], [1]]);
    expect(driver.cursor.position?.after).toBe(59);
    expect(driver.take(62)).toEqual([1, "message"]); // 60
    expect(driver.cursor.wasRefused(position)).toBe(false);
  });

  test("may be had over the next connection", () => {
    const driver = begun();
    driver.refused(58);
    driver.cursor.disconnected();
    driver.answered(58);
    expect(driver.take(58)).toEqual(["message"]);
    expect(driver.take(59)).toEqual(["message"]);
  });
});

/** The same by a list of what became of every number, without bounds. */
class Oracle {
  epoch = 0;
  #fate = new Map<number, "had" | "lost">();
  #refused = new Set<number>();
  #refusedBefore = new Set<number>();

  get after(): number {
    let after = 0;
    while (this.#fate.has(after + 1)) after++;
    return after;
  }

  begin(epoch: number, next: number): void {
    this.epoch = epoch;
    this.#fate = new Map();
    this.#refused = new Set();
    this.#refusedBefore = new Set();
    for (let number = 1; number < next; number++) this.#fate.set(number, "had");
  }

  /** Everything before a number is lost that has no fate yet; returns how much. */
  loseBefore(number: number): unknown[] {
    let lost = 0;
    for (let n = 1; n < number; n++) {
      if (this.#fate.has(n)) continue;
      this.#fate.set(n, "lost");
      lost++;
    }
    return lost ? [lost] : [];
  }

  take(number: number, overtakes: boolean): unknown[] {
    if (this.#fate.has(number)) return [];
    const gaps = overtakes ? [] : this.loseBefore(number);
    this.#fate.set(number, "had");
    return [...gaps, "message"];
  }

  refuse(number: number): unknown[] {
    if (this.#fate.has(number)) return [];
    if (!this.#refusedBefore.has(number)) {
      this.#refused.add(number);
      return [];
    }
    this.#fate.set(number, "lost");
    return [1];
  }

  disconnected(): void {
    for (const number of this.#refused) this.#refusedBefore.add(number);
    this.#refused.clear();
  }
}

const numbers = fc.integer({ min: 1, max: 40 });
const events = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant("take" as const), number: numbers, overtakes: fc.constant(false) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant("take" as const), number: numbers, overtakes: fc.constant(true) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("refuse" as const), number: numbers, overtakes: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("reconnect" as const), further: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const), next: numbers }) },
);

test("whatever is lost, doubled, refused, or overtakes, over any connections and epochs: as a plain list says", () => {
  const property = fc.property(numbers, fc.array(events, { maxLength: 80 }), (first, course) => {
    const driver = new Driver();
    const oracle = new Oracle();
    driver.answered(first, 1);
    oracle.begin(1, first);
    for (const event of course) {
      if (event.do === "take") {
        const { number, overtakes } = event;
        const wasReceived = driver.cursor.wasReceived({ stream: "ecg", epoch: oracle.epoch, number, overtakes });
        const expected = oracle.take(number, overtakes);
        expect(driver.take(number, overtakes, oracle.epoch)).toEqual(expected);
        expect(wasReceived).toBe(expected.length === 0);
      } else if (event.do === "refuse") {
        expect(driver.refused(event.number, event.overtakes, oracle.epoch)).toEqual(oracle.refuse(event.number));
      } else {
        driver.cursor.disconnected();
        oracle.disconnected();
        const next = oracle.after + 1 + ("further" in event ? event.further : 0);
        if (event.do === "reconnect") {
          expect(driver.answered(next, oracle.epoch)).toEqual(oracle.loseBefore(next));
        } else {
          oracle.begin(oracle.epoch + 1, event.next);
          expect(driver.answered(event.next, oracle.epoch)).toEqual(["unknown"]);
        }
      }
      expect(driver.cursor.position).toEqual({ epoch: oracle.epoch, after: oracle.after });
    }
  });
  fc.assert(property, { numRuns: 1000 });
});

describe("an epoch whose end is known", () => {
  test("tells exactly what was lost of it", () => {
    const driver = begun(1);
    driver.take(1);
    driver.take(4, true);
    driver.changed(1, 48, 7);
    expect(driver.take(2)).toEqual(["message"]); // it was on its way
    expect(driver.take(1, false, 48)).toEqual([3, "message"]); // 3, 5 and 6
    expect(driver.take(5)).toEqual([]);
    expect(driver.cursor.position).toEqual({ epoch: 48, after: 1 });
  });

  test("ends without a gap if nothing was lost", () => {
    const driver = begun(1);
    driver.changed(1, 48, 1);
    expect(driver.take(1, false, 48)).toEqual(["message"]);
    expect(driver.cursor.ended()).toEqual([]);
  });

  test("knows what it had if it goes on", () => {
    const driver = begun(1);
    driver.take(1);
    expect(driver.answered(1, 48)).toEqual(["unknown"]); // another server, which has forgotten the publisher
    driver.changed(1, EPOCH, 1);
    expect(driver.take(1)).toEqual([]);
    expect(driver.take(3)).toEqual([1, "message"]);
    expect(driver.cursor.position).toEqual({ epoch: EPOCH, after: 3 });
  });

  test("counts with the one behind it", () => {
    const driver = begun(1);
    driver.take(1);
    driver.take(3, true);
    expect(driver.answered(4, 48, 6)).toEqual([3 + 3]); // 2, 4 and 5; then 1 to 3
    expect(driver.cursor.position).toEqual({ epoch: 48, after: 3 });
  });

  test("is one of a few; many are a gap of unknown size", () => {
    const driver = begun(1);
    for (const epoch of [48, 49, 50, 51]) driver.changed(1, epoch, 2);
    expect(told(driver.cursor.ended())).toEqual(["unknown", 1, 1]);
  });
});

describe("a timestamp", () => {
  const at = (number: number, epoch = EPOCH) => ({ stream: "ecg", epoch, number, overtakes: false });
  const ecg = { type: MessageType.ECG_DATA, data: {} };

  test("of another epoch tells a message that the viewer has", () => {
    const cursor = new NumberedCursor("ecg");
    cursor.answered({ epoch: EPOCH, next: 1 }, 1n);
    expect(cursor.isFirst(at(1), 5n, ecg)).toBe(true);
    expect(cursor.isFirst(at(2), 5n, ecg)).toBe(true);
    cursor.changed({ epoch: EPOCH + 1, next: 1 }, 9n);
    expect(cursor.isFirst(at(1, EPOCH + 1), 5n, ecg)).toBe(false);
    expect(cursor.isFirst(at(1, EPOCH + 1), 5n, ecg)).toBe(false);
    expect(cursor.isFirst(at(2, EPOCH + 1), 6n, ecg)).toBe(true);
  });

  test("of two messages that say different things is of both", () => {
    const one = { type: MessageType.ECG_DATA, data: { timestamp: 5.000001, sequence: 7 } };
    const others = [
      { type: MessageType.FEATURE_DATA, data: { timestamp: 5.000001 } },
      { type: MessageType.ECG_DATA, data: { timestamp: 5.000001, sequence: 8n } },
      { type: MessageType.ECG_DATA, data: { timestamp: 5.1 } },
    ];
    for (const other of others) {
      const cursor = new NumberedCursor("ecg");
      cursor.answered({ epoch: EPOCH, next: 1 }, 1n);
      expect(cursor.isFirst(at(1), 5n, one)).toBe(true);
      cursor.changed({ epoch: EPOCH + 1, next: 1 }, 9n);
      expect(cursor.isFirst(at(1, EPOCH + 1), 5n, other)).toBe(true);
      expect(cursor.isFirst(at(2, EPOCH + 1), 5n, { ...one, data: { timestamp: 5.0000014 } })).toBe(false);
      cursor.changed({ epoch: EPOCH + 2, next: 1 }, 9n);
      expect(cursor.isFirst(at(1, EPOCH + 2), 5n, other)).toBe(false);
    }
  });

  test("may be another one where a server has stamped a message anew that says the same", () => {
    const fields = { sampling_rate: 500, gain: [200, 201], leads: ["I", "II"], who: "p", units: "mV" };
    const counts = new NdArray(new Int16Array([1, 0, 3, 4]), [2, 2]);
    const floats = new NdArray(new Float64Array([1, -0, 3, 4]), [2, 2]);
    const lists = [
      [1, 0],
      [3, 4],
    ];
    const time = { timestamp: 1705314645.25, sequence: 7 };
    const reversed = Object.fromEntries(Object.entries(fields).reverse());
    const first = { ...fields, ...time, signal: counts };
    const same = [
      { ...first },
      { ...reversed, ...time, signal: floats },
      { ...reversed, timestamp: 1705314645.250001, signal: lists },
      new Map(Object.entries(first)),
    ];
    const others = [
      { ...first, timestamp: 1705314645.3 },
      { ...first, sequence: 8 },
      { ...first, who: "q" },
      { ...first, signal: new NdArray(new Int16Array([1, 0, 3, 5]), [2, 2]) },
      { ...first, gain: [200, 202] },
    ];
    for (const [all, isFirst] of [
      [same, false],
      [others, true],
    ] as const)
      for (const data of all) {
        const cursor = new NumberedCursor("ecg");
        cursor.answered({ epoch: EPOCH, next: 1 }, 1n);
        expect(cursor.isFirst(at(1), 5n, { type: MessageType.ECG_DATA, data: first })).toBe(true);
        cursor.changed({ epoch: EPOCH + 1, next: 1 }, 9n);
        expect(cursor.isFirst(at(1, EPOCH + 1), 70_000_000n, { type: MessageType.ECG_DATA, data })).toBe(true);
        cursor.changed({ epoch: EPOCH + 2, next: 1 }, 9n);
        expect(cursor.isFirst(at(1, EPOCH + 2), 5_000_005n, { type: MessageType.ECG_DATA, data })).toBe(isFirst);
      }
  });

  test("is no longer looked at where a message has no time of its own", () => {
    const cursor = new NumberedCursor("ecg");
    const data = { sequence: 1, signal: [1] };
    cursor.answered({ epoch: EPOCH, next: 1 }, 1n);
    expect(cursor.isFirst(at(1), 5n, { type: MessageType.ECG_DATA, data })).toBe(true);
    cursor.changed({ epoch: EPOCH + 1, next: 1 }, 9n);
    expect(cursor.isFirst(at(1, EPOCH + 1), 6n, { type: MessageType.ECG_DATA, data })).toBe(true);
  });

  test("is none of a line that is gone back to: what may have come in the other epoch is not counted", () => {
    const cursor = new NumberedCursor("ecg");
    cursor.answered({ epoch: EPOCH, next: 2 }, 1n);
    cursor.answered({ epoch: EPOCH + 1, next: 1 }, 10n);
    cursor.changed({ epoch: EPOCH, next: 8 }, 12n);
    expect(cursor.take(at(8), 13n).gaps.map(({ frames }) => frames)).toEqual([null]);
    expect(cursor.take(at(10), 14n).gaps.map(({ frames }) => frames)).toEqual([1]);
  });

  test("is forgotten after 1,024 others", () => {
    const cursor = new NumberedCursor("ecg");
    cursor.answered({ epoch: EPOCH, next: 1 }, 1n);
    for (let number = 1; number <= 1025; number++) cursor.isFirst(at(number), BigInt(number), ecg);
    cursor.changed({ epoch: EPOCH + 1, next: 1 }, 9999n);
    expect(cursor.isFirst(at(1, EPOCH + 1), 1n, ecg)).toBe(true);
    expect(cursor.isFirst(at(3, EPOCH + 1), 3n, ecg)).toBe(false);
  });
});
