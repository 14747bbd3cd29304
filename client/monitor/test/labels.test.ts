import { expect, test } from "vitest";
import { Uuid } from "../../src/index.js";
import { areLabelsHidden, toggleLabels } from "../src/label-line.js";
import { chosenLabels, labelsOf, NO_LABELS, timeOfDay } from "../src/labels.js";

test("names are those of the message, in either spelling", () => {
  expect(labelsOf({ device_id: "bed 7", patient_id: 12 })).toEqual({ bed: "bed 7", patient: "12" });
  expect(labelsOf(new Map([["deviceId", " bed 8 "]]))).toEqual({ bed: "bed 8", patient: "" });
  const id = new Uuid("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
  expect(labelsOf({ patientId: id }).patient).toBe(String(id));
});

test.each([null, 7, [], { device_id: {}, patient_id: true }, { device_id: Number.NaN, patient_id: 0.5 }])(
  "what is no name is none: %j",
  (data) => {
    expect(labelsOf(data)).toEqual(NO_LABELS);
  },
);

test("long names are cut between characters", () => {
  expect(labelsOf({ device_id: "𝄞".repeat(70) }).bed).toBe("𝄞".repeat(60));
});

test("the application's name goes before that of the sender", () => {
  expect(chosenLabels({ bed: "7", patient: "" }, { bed: "x", patient: "y" })).toEqual({ bed: "7", patient: "y" });
});

test("the time of day has two digits each", () => {
  const at = new Date(2026, 0, 2, 3, 4, 5).getTime() / 1000;
  expect(timeOfDay(at)).toBe("03:04:05");
  expect(timeOfDay(Number.NaN)).toBe("");
});

test("hiding is kept in the browser", () => {
  const kept = new Map<string, string>();
  const storage = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
  };
  expect(areLabelsHidden(storage)).toBe(false);
  expect(toggleLabels(storage)).toBe(true);
  expect(areLabelsHidden(storage)).toBe(true);
  expect(toggleLabels(storage)).toBe(false);
});
