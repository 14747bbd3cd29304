/** The phases of a session: every row of the table that it shares with Python, and random walks through it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SendClock } from "../src/codec/send-clock.js";
import { ProtocolHandler } from "../src/index.js";
import { Capability, CloseCode, ERROR_WINDOW, Flag, MessageType, type Version } from "../src/protocol.js";
import { ClientSession, type SessionEvent } from "../src/session/client-session.js";
import { DEFAULT_SETTINGS } from "../src/session/settings.js";
import { type Phase, TRANSITIONS, type Transition, type Trigger } from "../src/session/state.js";

const SETTINGS = { ...DEFAULT_SETTINGS, queueFrames: 6 };
const PHASES = Object.keys(TRANSITIONS) as Phase[];
const ROWS = PHASES.flatMap((phase) => rowsOf(phase).map(([trigger, after]) => ({ phase, trigger, after })));

function rowsOf(phase: Phase): [Trigger, Transition][] {
  return Object.entries(TRANSITIONS[phase]) as [Trigger, Transition][];
}

/** A session, with a way to cause each trigger. */
class Driver {
  readonly session = new ClientSession(SETTINGS, new SendClock());
  #now = 0;
  #timestamp = 0n;

  constructor() {
    this.session.start(0);
  }

  readonly cause: Record<Trigger, () => SessionEvent[]> = {
    message: () => this.#receive(MessageType.ERROR, { code: 0x200, message: "no" }, 1),
    frame: () => this.#receive(MessageType.ECG_DATA, { n: 1 }, 2),
    negotiation: () => {
      // It is refused then, and too many errors in a row close the connection.
      if (this.session.phase === "negotiated") this.#now += ERROR_WINDOW + 1;
      return this.#receive(MessageType.PROTOCOL_NEGOTIATION, { versions: [1, 2, 3], capabilities: ["ack"] }, 1);
    },
    timeout: () => {
      this.#now += SETTINGS.negotiationTimeout;
      return this.session.tick(this.#now);
    },
    send: () => this.#send(Flag.ACK_REQUIRED),
    end: () => {
      this.session.end();
      return [];
    },
    abandon: () => {
      for (let n = 0; n <= SETTINGS.queueFrames; n++) this.#send(0);
      return [];
    },
    lost: () => this.session.lost(),
  };

  /** Takes all messages that the session has to send, and returns their number. */
  drain(): number {
    let count = 0;
    while (this.session.nextMessage(this.#now)) count++;
    return count;
  }

  #receive(type: MessageType, data: unknown, version: Version): SessionEvent[] {
    return this.session.receive(new ProtocolHandler({ version }).encode(type, data), this.#now);
  }

  #send(flags: number): SessionEvent[] {
    this.#timestamp++;
    const content = { payload: null, data: { n: 1 }, attempts: 1 };
    this.session.sending?.send({ type: MessageType.ANOMALY_ALERT, flags, timestamp: this.#timestamp, ...content });
    return [];
  }
}

/** Causes a trigger, and checks the effects of its row from outside. */
function check(driver: Driver, trigger: Trigger): void {
  const { session } = driver;
  const before = session.phase;
  const { phase, action } = TRANSITIONS[before][trigger] as Transition;
  driver.drain();
  const events = driver.cause[trigger]();
  const kinds = events.map(({ kind }) => kind);
  expect(session.phase).toBe(phase);
  expect(session.closing !== null).toBe(phase === "closing" || phase === "closed");
  expect(Number.isFinite(session.deadline())).toBe(session.closing === null);
  if (action === "assume") {
    expect(kinds[0]).toBe("negotiated");
    expect([session.version, session.established, session.negotiated]).toEqual([
      trigger === "frame" ? 2 : 1,
      true,
      false,
    ]);
  } else if (action === "agree") {
    expect(events).toMatchObject([{ kind: "negotiated", version: 3, negotiated: true }]);
    expect([...session.capabilities]).toEqual([Capability.ACK]);
  } else if (action === "refuse") {
    expect(events).toMatchObject([{ kind: "refused", error: { code: 0x200 } }]);
  } else if (action === "proceed") {
    expect(kinds).toEqual({ message: ["error"], frame: ["received"], send: [] }[trigger as string]);
    expect(driver.drain() > 0).toBe(trigger === "send");
  } else if (action === "ignore") {
    expect(kinds).toEqual([]);
  } else if (action === "flush") {
    expect(session.closing?.code).toBe(CloseCode.NORMAL);
  } else {
    if (action === "discard") expect(session.closing?.code).toBe(CloseCode.TRY_LATER);
    expect(kinds.every((kind) => kind === "undelivered")).toBe(true);
    expect(driver.drain()).toBe(0);
  }
}

/** Returns the triggers of the shortest path through the table from the beginning to a phase. */
function pathTo(phase: Phase): Trigger[] {
  const paths: { end: Phase; path: Trigger[] }[] = [{ end: "opening", path: [] }];
  for (const { end, path } of paths) {
    if (end === phase) return path;
    for (const [trigger, after] of rowsOf(end)) {
      if (after.phase !== end) paths.push({ end: after.phase, path: [...path, trigger] });
    }
  }
  throw new Error(`no path leads to ${phase}`);
}

describe("phases", () => {
  test.each(ROWS)("$phase, $trigger", ({ phase, trigger }) => {
    const driver = new Driver();
    for (const step of pathTo(phase)) driver.cause[step]();
    expect(driver.session.phase).toBe(phase);
    check(driver, trigger);
  });

  test("any walk keeps to the table", () => {
    const property = fc.property(fc.constantFrom(...PHASES), fc.array(fc.nat(), { maxLength: 8 }), (start, choices) => {
      const driver = new Driver();
      for (const step of pathTo(start)) driver.cause[step]();
      for (const choice of choices) {
        const possible = rowsOf(driver.session.phase).map(([trigger]) => trigger);
        check(driver, possible[choice % possible.length]);
      }
    });
    fc.assert(property, { numRuns: 100 });
  });

  test("what was agreed is known after the end", () => {
    const driver = new Driver();
    for (const trigger of ["negotiation", "end", "lost"] as const) driver.cause[trigger]();
    expect([driver.session.phase, driver.session.established, driver.session.negotiated]).toEqual([
      "closed",
      true,
      true,
    ]);
  });
});
