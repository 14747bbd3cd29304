import { describe, expect, it } from "vitest";
import { arrange, LEAST, MOST_BEDS } from "../../src/wall/arrange.js";
import { chooseBeds, namesOfBeds } from "../../src/wall/beds.js";
import { chooseLeads } from "../../src/wall/leads.js";

describe("the arrangement of the tiles", () => {
  it("has a place for every bed, without a row or column too many, within the width", () => {
    for (const [width, height] of [
      [1920, 1000],
      [1440, 800],
      [390, 700],
    ])
      for (let count = 1; count <= MOST_BEDS; count += 1) {
        const found = arrange(count, width, height, 4);
        expect(found.columns * found.rows).toBeGreaterThanOrEqual(count);
        expect(found.columns * (found.rows - 1)).toBeLessThan(count);
        expect(found.columns * (found.width + 4) - 4).toBeLessThanOrEqual(width);
        expect(found.height).toBeGreaterThanOrEqual(LEAST.height);
      }
  });

  it("needs no scrolling for 32 beds on a large screen, and one column on a phone", () => {
    const { rows, height } = arrange(32, 1920, 1000, 4);
    expect(rows * (height + 4) - 4).toBeLessThanOrEqual(1000);
    expect(arrange(12, 390, 700, 4).columns).toBe(1);
    expect(arrange(1, 1920, 1000, 4)).toEqual({ columns: 1, rows: 1, width: 1920, height: 1000 });
  });
});

describe("which beds are shown", () => {
  it("are those of the address, in its order, or those that the server lists", () => {
    expect(chooseBeds("?streams=b,a&streams=c,,b", ["a", "x"])).toEqual({ shown: ["b", "a", "c"], more: 0 });
    expect(chooseBeds("", ["a", "x"]).shown).toEqual(["a", "x"]);
    expect(chooseBeds("", null).shown).toEqual([]);
  });

  it("have the names that the address gives them, in the order of the streams", () => {
    const names = namesOfBeds("?streams=ecg/2,ecg/1,ecg/3&beds=Bed 2,%20Bed 1");
    expect([...names]).toEqual([
      ["ecg/2", "Bed 2"],
      ["ecg/1", "Bed 1"],
      ["ecg/3", ""],
    ]);
    expect(namesOfBeds("?beds=Bed 1").size).toBe(0);
    expect(namesOfBeds(`?streams=a&beds=${"x".repeat(200)}`).get("a")).toHaveLength(60);
  });

  it("are at most 64, and how many more there are is told", () => {
    const names = Array.from({ length: 100 }, (_, bed) => `ecg/${bed}`);
    const { shown, more } = chooseBeds("", names);
    expect([shown.length, more]).toEqual([64, 36]);
  });
});

describe("which leads are shown", () => {
  it("are II and V1, or what there is, or those of the address", () => {
    const twelve = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
    expect(chooseLeads(twelve, 2, [])).toEqual([1, 6]);
    expect(chooseLeads(twelve, 1, [])).toEqual([1]);
    expect(chooseLeads(["MLII", "V5"], 2, [])).toEqual([0, 1]);
    expect(chooseLeads(twelve, 2, ["avf", "none"])).toEqual([5, 1]);
    expect(chooseLeads(["X"], 2, [])).toEqual([0]);
    expect(chooseLeads([], 2, ["II"])).toEqual([]);
  });
});
