import { describe, expect, it } from "vitest";
import { AlertHistory, foundAlert, readAlert } from "../src/alert-history.js";
import type { Finding } from "../src/findings.js";

const BEGUN = 1.7e9;
const sent = (fields: object, now = BEGUN + 4.1) =>
  readAlert({ kind: "asystole", severity: "critical", message: "no beat", stream: "a", lead: "II", ...fields }, now);
const sentBegin = sent({ timestamp: BEGUN + 4, start: BEGUN });
const sentEnd = sent({
  timestamp: BEGUN + 21,
  start: BEGUN,
  end: BEGUN + 21,
  severity: "info",
  message: "beats again",
});

function found(fields: Partial<Finding>) {
  const finding: Finding = {
    kind: "asystole",
    severity: "critical",
    start: 100.1,
    end: null,
    at: 104,
    leads: ["II"],
    message: "no beat",
    ending: "",
    ...fields,
  };
  return foundAlert(finding, "a", (second) => BEGUN + second - 100, BEGUN + 4.2);
}

const foundEnd = found({ end: 121, ending: "beats again after 21 s" });

function historyOf(...alerts: ReturnType<typeof sent>[]): AlertHistory {
  const history = new AlertHistory();
  for (const alert of alerts) history.add(alert);
  return history;
}

describe("one episode is one alert", () => {
  it.each([
    ["the server and then the page", [sentBegin, found({}), foundEnd, sentEnd]],
    ["the page and then the server", [found({}), sentBegin, sentEnd, foundEnd]],
    ["the page until its end, and then the server", [found({}), foundEnd, sentBegin, sentEnd]],
  ])("told by %s", (_, alerts) => {
    const history = historyOf(...alerts);
    expect(history.all).toHaveLength(1);
    expect(history.unseen).toEqual(history.all);
    expect(history.all[0]).toMatchObject({ severity: "critical", text: "no beat", end: BEGUN + 21 });
    expect([...history.all[0].origins].sort()).toEqual(["page", "server"]);
    expect(history.all[0].ending).toMatch(/^beats again/);
  });

  it("and tells who told of it", () => {
    expect(historyOf(found({}), foundEnd).all[0].origins).toEqual(["page"]);
    expect(historyOf(sentBegin, sentEnd).all[0].origins).toEqual(["server"]);
  });

  it("of which only the end is known stands alone", () => {
    expect(historyOf(sentEnd).all).toMatchObject([{ severity: "info", end: BEGUN + 21, ending: "beats again" }]);
  });

  it("that a server sends again to a page that comes back is no second one", () => {
    expect(historyOf(sentBegin, sentEnd, sentBegin, sentEnd).all).toHaveLength(1);
  });

  it("of another kind, stream, lead or time is another one", () => {
    for (const other of [
      { kind: "lead_off" },
      { stream: "b" },
      { lead: "V1" },
      { start: BEGUN + 60, timestamp: BEGUN + 64 },
    ])
      expect(historyOf(sentBegin, sent({ timestamp: BEGUN + 4, start: BEGUN, ...other })).all).toHaveLength(2);
    expect(historyOf(found({}), foundEnd, found({ start: 123, at: 127 })).all).toHaveLength(2);
  });

  it("and an alert that tells no beginning is one by itself", () => {
    expect(historyOf(sent({ timestamp: BEGUN }), sent({ timestamp: BEGUN + 1 })).all).toHaveLength(2);
  });
});

it("the gravest comes first, and the newest of these", () => {
  const history = historyOf(
    sent({ kind: "x", severity: "warning" }),
    sent({ kind: "y" }),
    sent({ kind: "z", severity: "info" }),
  );
  const order = history.all.map(() => {
    const kind = history.mostSevere?.kind;
    history.markSeen();
    return kind;
  });
  expect(order).toEqual(["y", "x", "z"]);
  expect(history.all).toHaveLength(3);
});
