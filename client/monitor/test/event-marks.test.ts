import { describe, expect, it } from "vitest";
import { readAlert } from "../src/alert-history.js";
import { toCsv } from "../src/alerts-csv.js";
import { EventMarks, LONGEST_TEXT, MOST_MARKS, STORED_AS } from "../src/event-marks.js";
import { momentsOf, whenInWords } from "../src/moments.js";

class Shelf {
  readonly kept = new Map<string, string>();
  isFull = false;
  getItem(name: string): string | null {
    return this.kept.get(name) ?? null;
  }
  setItem(name: string, value: string): void {
    if (this.isFull) throw new DOMException("full", "QuotaExceededError");
    this.kept.set(name, value);
  }
}

const mark = (at: number, text = "") => ({ at, text, made: at + 1 });

describe("marks of events", () => {
  it("are kept for each stream of each server, in the order of time", () => {
    const shelf = new Shelf();
    const marks = new EventMarks(shelf, "one:80");
    marks.put("ecg/1", mark(20, " pain "));
    marks.put("ecg/1", mark(10));
    marks.put("ecg/2", mark(30));
    const again = new EventMarks(shelf, "one:80");
    expect(again.of("ecg/1")).toEqual([mark(10), mark(20, "pain")]);
    expect(again.of("ecg/2")).toEqual([mark(30)]);
    expect(new EventMarks(shelf, "two:80").of("ecg/1")).toEqual([]);
  });

  it("are changed and removed by their moment, also by two pages at once", () => {
    const shelf = new Shelf();
    const [one, other] = [new EventMarks(shelf, ""), new EventMarks(shelf, "")];
    one.put("ecg/1", mark(10));
    other.put("ecg/1", mark(20));
    one.put("ecg/1", mark(10, "drug given"));
    expect(one.of("ecg/1")).toEqual([mark(10, "drug given"), mark(20)]);
    other.remove("ecg/1", 10);
    one.reload();
    expect(one.of("ecg/1")).toEqual([mark(20)]);
    one.remove("ecg/1", 20);
    expect(new EventMarks(shelf, "").of("ecg/1")).toEqual([]);
  });

  it("are bounded, and say what was forgotten", () => {
    const shelf = new Shelf();
    const marks = new EventMarks(shelf, "s");
    for (let at = 0; at < MOST_MARKS; at += 1) marks.put("ecg/1", mark(at));
    expect(marks.fault).toBe("");
    marks.put("ecg/1", mark(MOST_MARKS, "x".repeat(LONGEST_TEXT + 50)));
    expect(marks.of("ecg/1")).toHaveLength(MOST_MARKS);
    expect(marks.of("ecg/1")[0].at).toBe(1);
    expect(marks.of("ecg/1").at(-1)?.text).toHaveLength(LONGEST_TEXT);
    expect(marks.fault).toBe("Forgotten: the oldest mark, as 200 are kept of a stream");
    for (let stream = 0; stream < 63; stream += 1) marks.put(`bed/${stream}`, mark(1));
    expect(marks.fault).toBe("");
    marks.put("bed/63", mark(1));
    expect(marks.fault).toBe("Forgotten: the marks of ecg/1, as those of 64 streams are kept");
    expect(marks.of("ecg/1")).toEqual([]);
    expect(new EventMarks(shelf, "s").of("bed/63")).toEqual([mark(1)]);
  });

  it("say if the storage is full or damaged", () => {
    const shelf = new Shelf();
    const marks = new EventMarks(shelf, "");
    shelf.isFull = true;
    marks.put("ecg/1", mark(10));
    expect(marks.fault).toContain("lost when this page is closed");
    expect(marks.of("ecg/1")).toEqual([mark(10)]);
    for (const damaged of ["{", "3", '[["a"]]', "[3]"]) {
      shelf.kept.set(STORED_AS, damaged);
      expect(new EventMarks(shelf, "").fault).toContain("cannot be read");
    }
    shelf.kept.set(STORED_AS, '[[" ecg/1", [{"at": "x"}, 3, {"at": 1, "made": 1, "text": "good"}]]]');
    expect(new EventMarks(shelf, "").of("ecg/1")).toEqual([{ at: 1, made: 1, text: "good" }]);
  });
});

describe("moments", () => {
  const alert = readAlert({ kind: "lead_off", severity: "warning", message: "leads off: II", start: 50 }, 55);

  it("are marks and alerts, the newest first; an alert that is known twice is one", () => {
    const past = [
      { at: 50.4, kind: "lead_off", severity: "warning" as const },
      { at: 5, kind: "asystole", severity: "critical" as const },
    ];
    const elsewhere = { ...alert, stream: "ecg/2" };
    const found = momentsOf("ecg/1", [mark(60, "pain"), mark(20)], [alert, elsewhere], past);
    expect(found.map(({ at, kind, text }) => [at, kind, text])).toEqual([
      [60, "mark", "pain"],
      [50, "warning", "lead off: leads off: II"],
      [20, "mark", "mark"],
      [5, "critical", "asystole"],
    ]);
    expect(toCsv(found.map(({ row }) => row)).split("\r\n")).toEqual([
      "bed,kind,priority,lead,start,end,reported,text,ending,acknowledged by,acknowledged at,origin",
      "ecg/1,mark,,,1970-01-01T00:01:00.000Z,,1970-01-01T00:01:01.000Z,pain,,,,user",
      "ecg/1,lead_off,warning,,1970-01-01T00:00:50.000Z,,1970-01-01T00:00:55.000Z,leads off: II,,,,server",
      "ecg/1,mark,,,1970-01-01T00:00:20.000Z,,1970-01-01T00:00:21.000Z,,,,,user",
      "ecg/1,asystole,critical,,1970-01-01T00:00:05.000Z,,,,,,,server",
      "",
    ]);
  });

  it("have a date unless they are of today", () => {
    const noon = new Date(2026, 10, 30, 12, 0, 5).getTime() / 1000;
    expect(whenInWords(noon, noon + 60)).toBe("12:00:05");
    expect(whenInWords(noon, noon + 86_400)).toBe("2026-11-30 12:00:05");
  });
});
