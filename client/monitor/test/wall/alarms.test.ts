import { describe, expect, it } from "vitest";
import { foundAlert } from "../../src/alert-history.js";
import { toCsv } from "../../src/alerts-csv.js";
import { type Alarm, AlarmBook, ownReport, readReport } from "../../src/wall/alarm-book.js";
import { alarmInWords, shownOf } from "../../src/wall/alarm-words.js";
import { select } from "../../src/wall/history.js";
import { DEFAULT_LIMITS, isMutedBy, LimitWatch, limitsFromFeatures, limitsToFeatures } from "../../src/wall/limits.js";
import { faultOf } from "../../src/wall/limits-dialog.js";
import { acknowledgementOf, limitsMessage, readLimits, readList } from "../../src/wall/server-alarms.js";
import { PATTERNS, PAUSE, SoundPlan } from "../../src/wall/sound.js";

const asystole = { kind: "asystole", severity: "critical", timestamp: 104, start: 100, lead: "II", message: "no beat" };
const ended = { ...asystole, severity: "info", timestamp: 120, end: 120, message: "beats again after 20 s" };
const ANY = { bed: "", priority: "", state: "", words: "" } as const;

describe("the book of alarms", () => {
  it("has one alarm for what comes on the stream of the bed, and again on that of all alerts", () => {
    const book = new AlarmBook();
    book.add(readReport({ ...asystole, stream: "ecg/1" }, "ecg/1", 104));
    book.add(readReport({ ...asystole, stream: "alerts/*", source: "ecg/1", alarm: "7" }, "alerts/*", 104.1));
    book.add(readReport({ ...ended, stream: "ecg/1" }, "ecg/1", 120));
    expect(book.all).toHaveLength(1);
    expect(book.all[0]).toMatchObject({ stream: "ecg/1", id: "7", end: 120, severity: "critical" });
  });

  it("joins what page and server find, within five seconds", () => {
    const book = new AlarmBook();
    const finding = { kind: "asystole", severity: "critical", start: 2, end: null, at: 6, leads: ["II"] } as const;
    const mine = foundAlert({ ...finding, message: "no beat", ending: "" }, "ecg/1", (second) => 100 + second, 106);
    book.add(ownReport(mine));
    book.add(readReport({ ...asystole, source: "ecg/1", alarm: "7" }, "alerts/*", 105));
    book.add(readReport({ ...asystole, start: 300, timestamp: 304, source: "ecg/1", alarm: "8" }, "alerts/*", 304));
    expect(book.all.map(({ origins, id }) => [origins, id])).toEqual([
      [["server"], "8"],
      [["page", "server"], "7"],
    ]);
  });

  it("lets a critical alarm signal until it is acknowledged, and others until they are over", () => {
    const book = new AlarmBook();
    const latched = book.add(readReport({ ...asystole }, "ecg/1", 104));
    book.add(readReport(ended, "ecg/1", 120));
    book.add(readReport({ kind: "lead_off", severity: "warning", timestamp: 121, start: 120 }, "ecg/2", 121));
    expect(book.signalling(122).map(({ kind }) => kind)).toEqual(["asystole", "lead_off"]);
    book.add(readReport({ kind: "lead_off", severity: "info", timestamp: 130, start: 120, end: 130 }, "ecg/2", 130));
    expect(book.signalling(131).map(({ kind }) => kind)).toEqual(["asystole"]);
    expect(book.acknowledge(latched.key, { by: "Ada", at: 131 })?.acknowledged).toEqual({ by: "Ada", at: 131 });
    expect(book.acknowledge(latched.key, { by: "Bob", at: 132 })).toBeUndefined();
    expect(book.signalling(132)).toEqual([]);
  });

  it("lets an alert without an episode signal for a minute, a critical one until it is acknowledged", () => {
    const book = new AlarmBook();
    book.add(readReport({ kind: "demonstration", severity: "warning", timestamp: 100 }, "ecg/1", 100));
    book.add(readReport({ kind: "demonstration", severity: "critical", timestamp: 101 }, "ecg/1", 101));
    expect(book.signalling(150)).toHaveLength(2);
    expect(book.signalling(170).map(({ severity }) => severity)).toEqual(["critical"]);
  });

  it("has the most severe first, and of those the ones that last", () => {
    const book = new AlarmBook();
    book.add(readReport(asystole, "ecg/1", 104));
    book.add(readReport({ kind: "lead_off", severity: "warning", timestamp: 121, start: 120 }, "ecg/2", 121));
    book.add(readReport({ ...asystole, timestamp: 110, start: 106 }, "ecg/3", 110));
    book.add(readReport({ ...ended, start: 106 }, "ecg/3", 120));
    expect(book.signalling(122).map(({ stream }) => stream)).toEqual(["ecg/1", "ecg/3", "ecg/2"]);
  });

  it("takes the acknowledgement of another page, whichever message comes first", () => {
    for (const order of [
      [0, 1],
      [1, 0],
    ]) {
      const book = new AlarmBook();
      const acknowledged = { ...asystole, source: "ecg/1", alarm: "7", acknowledged_by: "Ada", acknowledged_at: 110 };
      const messages = [{ ...asystole, stream: "ecg/1" }, acknowledged];
      for (const index of order) book.add(readReport(messages[index], "ecg/1", 111));
      expect(book.all).toHaveLength(1);
      expect(book.all[0].acknowledged).toEqual({ by: "Ada", at: 110 });
      expect(book.signalling(112)).toEqual([]);
    }
  });

  it("forgets the oldest that do not signal, and counts them", () => {
    const book = new AlarmBook();
    book.add(readReport(asystole, "ecg/1", 104));
    for (let count = 0; count < 1100; count += 1)
      book.add(
        readReport({ kind: "event", severity: "info", timestamp: 1000 + 100 * count }, "ecg/2", 1000 + 100 * count),
      );
    expect(book.all).toHaveLength(1000);
    expect(book.forgotten).toBe(101);
    expect(book.all.some(({ kind }) => kind === "asystole")).toBe(true);
  });

  it("reads any message without failing", () => {
    for (const data of [null, 5, [], {}, { kind: 3, acknowledged_by: 7, alarm: {} }, { kind: "x", start: Number.NaN }])
      expect(readReport(data, "ecg/1", 1).acknowledged).toBeNull();
  });
});

describe("limits", () => {
  it("make an alarm of a rate that is beyond them for three seconds, until it is within them for three", () => {
    const watch = new LimitWatch("ecg/1");
    const told = [];
    for (let second = 0; second < 30; second += 1) {
      const rate = second >= 5 && second < 15 ? 150 : 70;
      for (const alert of watch.update(rate, DEFAULT_LIMITS, 1000 + second))
        told.push([second, alert.kind, alert.end, alert.severity]);
    }
    expect(told).toEqual([
      [8, "rate_high", null, "warning"],
      [18, "rate_high", 1018, "info"],
    ]);
  });

  it("ignore a rate that is beyond them for a moment, and one that is unknown", () => {
    const watch = new LimitWatch("ecg/1");
    const rates = [30, 30, 70, 30, null, 30, 30, 30];
    expect(rates.flatMap((rate, second) => watch.update(rate, DEFAULT_LIMITS, second))).toEqual([]);
    const [begin] = watch.update(30, DEFAULT_LIMITS, 8);
    expect(begin).toMatchObject({ kind: "rate_low", start: 5, end: null, severity: "warning" });
    expect(watch.update(null, DEFAULT_LIMITS, 20)).toEqual([]);
    expect(watch.update(30, { ...DEFAULT_LIMITS, rateLow: null }, 21)[0]).toMatchObject({ end: 21 });
  });

  it("keep alarms from signalling that nobody wants", () => {
    const none = { rateHigh: null, rateLow: null, asystole: null, leadOff: false };
    const of = (kind: string): Alarm => ({
      ...readReport({ ...asystole, kind }, "ecg/1", 104),
      key: 1,
      changedAt: 104,
    });
    for (const kind of ["asystole", "lead_off", "rate_high", "rate_low"]) {
      expect(isMutedBy(none, of(kind), 200)).toBe(true);
      expect(isMutedBy(DEFAULT_LIMITS, of(kind), 200)).toBe(false);
    }
    expect(isMutedBy(none, of("ventricular_fibrillation"), 200)).toBe(false);
    expect(isMutedBy({ ...none, asystole: 10 }, of("asystole"), 105)).toBe(true);
    expect(isMutedBy({ ...none, asystole: 10 }, of("asystole"), 110)).toBe(false);
  });

  it("travel as features and back", () => {
    const limits = { rateHigh: 120, rateLow: null, asystole: 6, leadOff: true };
    const message = limitsMessage("ecg/1", limits, "Ada");
    expect(message).toMatchObject({ source: "ecg/1", set_by: "Ada" });
    expect(message).not.toHaveProperty("stream");
    expect(readLimits(message)).toEqual({ bed: "ecg/1", limits });
    expect(limitsFromFeatures({ ...limitsToFeatures(limits), rate_high: 1e9 })?.rateHigh).toBeNull();
    expect(readLimits({ features: { heart_rate: 60 }, source: "ecg/1" })).toBeNull();
  });

  it("are checked before they are kept", () => {
    expect(faultOf(DEFAULT_LIMITS)).toBe("");
    expect(faultOf({ ...DEFAULT_LIMITS, rateHigh: 10 })).toContain("between 20 and 350");
    expect(faultOf({ ...DEFAULT_LIMITS, rateLow: Number.NaN })).toContain("rate");
    expect(faultOf({ ...DEFAULT_LIMITS, asystole: 2 })).toContain("between 4 and 30");
    expect(faultOf({ ...DEFAULT_LIMITS, rateLow: 140 })).toContain("below");
  });
});

describe("messages with the server", () => {
  it("acknowledge an alarm with all that identifies it", () => {
    const alarm = {
      ...readReport({ ...asystole, source: "ecg/1", alarm: "7" }, "alerts/*", 104),
      key: 1,
      changedAt: 104,
    };
    const sent = acknowledgementOf(alarm, { by: "Ada", at: 110 });
    expect(sent).toEqual({ ...asystole, source: "ecg/1", alarm: "7", acknowledged_by: "Ada", acknowledged_at: 110 });
  });

  it("list alarms and limits", () => {
    const limits = { "ecg/1": limitsToFeatures(DEFAULT_LIMITS), "ecg/2": 5 };
    const list = readList({ kind: "alarms", alarms: [asystole], acknowledges: true, kept: true, limits });
    expect(list).toMatchObject({ takesAcknowledgements: true, isKept: true, alarms: [asystole] });
    expect([...(list?.limits ?? [])]).toEqual([["ecg/1", DEFAULT_LIMITS]]);
    expect(readList(asystole)).toBeNull();
  });
});

describe("the plan of the sounds", () => {
  it("repeats the pattern of the highest priority after its period, and changes at once", () => {
    const plan = new SoundPlan();
    expect(plan.next("warning", 0)).toBe(PATTERNS.warning);
    expect(plan.next("warning", 7.9)).toBeNull();
    expect(plan.next("warning", 8)).toBe(PATTERNS.warning);
    expect(plan.next("critical", 8.2)).toBe(PATTERNS.critical);
    expect(plan.next(null, 9)).toBeNull();
    expect(plan.next("critical", 9.2)).toBe(PATTERNS.critical);
  });

  it("is silent during a pause, which counts down and can be ended", () => {
    const plan = new SoundPlan();
    plan.togglePause(10);
    expect([plan.left(10), plan.left(70), plan.left(10 + PAUSE)]).toEqual([PAUSE, PAUSE - 60, 0]);
    expect(plan.next("critical", 11)).toBeNull();
    plan.togglePause(20);
    expect(plan.next("critical", 20)).toBe(PATTERNS.critical);
  });

  it("has patterns that differ in number and pitch of their pulses, and end before they repeat", () => {
    const all = Object.values(PATTERNS);
    expect(new Set(all.map(({ pulses }) => pulses.length)).size).toBe(3);
    expect(new Set(all.map(({ pulses }) => pulses[0].frequency)).size).toBe(3);
    for (const { pulses, period } of all) for (const { at, length } of pulses) expect(at + length).toBeLessThan(period);
  });
});

describe("the history", () => {
  const book = new AlarmBook();
  book.add(readReport({ ...asystole }, "ecg/1", 104));
  const one = book.add(
    readReport(
      { kind: "lead_off", severity: "warning", start: 110, timestamp: 111, message: '=1+1,"x"\n' },
      "ecg/2",
      111,
    ),
  );
  book.acknowledge(one.key, { by: "Ada", at: 112 });
  const isSignalling = (alarm: Alarm): boolean => book.isSignalling(alarm, 113);

  it("is filtered by bed, priority, state and words", () => {
    const kinds = (filter: object): string[] =>
      select(book.all, { ...ANY, ...filter }, isSignalling).map(({ kind }) => kind);
    expect(kinds({})).toEqual(["lead_off", "asystole"]);
    expect(kinds({ bed: "ecg/1" })).toEqual(["asystole"]);
    expect(kinds({ priority: "warning" })).toEqual(["lead_off"]);
    expect(kinds({ state: "signalling" })).toEqual(["asystole"]);
    expect(kinds({ state: "acknowledged" })).toEqual(["lead_off"]);
    expect(kinds({ state: "not acknowledged" })).toEqual(["asystole"]);
    expect(kinds({ words: "ADA lead off" })).toEqual(["lead_off"]);
    expect(kinds({ words: "nothing" })).toEqual([]);
  });

  it("is saved as CSV that no spreadsheet runs", () => {
    const [head, first, second] = toCsv(book.all).split("\r\n");
    expect(head.split(",")).toContain("acknowledged by");
    expect(first).toContain(`"'=1+1,""x""�"`);
    expect(first).toContain("Ada,1970-01-01T00:01:52.000Z");
    expect(second).toContain("ecg/1,asystole,critical,II,1970-01-01T00:01:40.000Z,,");
  });

  it("is in words in the tile of its bed", () => {
    const ofBed = (bed: string) => book.byBed(113).get(bed) ?? [];
    expect(shownOf(ofBed("ecg/1"), isSignalling, 113)).toEqual({
      priority: "critical",
      text: "Asystole: no beat",
      isSignalling: true,
    });
    expect(shownOf(ofBed("ecg/2"), isSignalling, 113)?.text).toContain("acknowledged by Ada");
    expect(shownOf([], isSignalling, 113)).toBeNull();
    const off = book.add(
      readReport({ kind: "lead_off", severity: "warning", start: 1, message: "lead off: V1" }, "ecg/3", 113),
    );
    expect(alarmInWords(off, 113)).toBe("Lead off: V1");
  });
});
