/** The whole client of version 4 over any course of losses, faults, reconnections and epochs, in virtual time. */
import fc from "fast-check";
import { test } from "vitest";
import { type Step, StreamModel } from "./v4-model.js";
import { virtualTime } from "./v4-server.js";

function step(what: Step["do"], most = 1): fc.Arbitrary<Step> {
  return fc.record({ do: fc.constant(what), count: fc.integer({ min: 1, max: most }) });
}

const faults = fc.constantFrom("none", "none", "damage", "double", "drop");
const delivery = fc.record({
  do: fc.constant("deliver" as const),
  count: fc.integer({ min: 1, max: 8 }),
  fault: faults,
});
const steps = fc.oneof(
  { weight: 6, arbitrary: step("publish", 6) },
  { weight: 9, arbitrary: delivery },
  { weight: 2, arbitrary: step("mixed") },
  { weight: 3, arbitrary: step("rotten", 6) },
  { weight: 3, arbitrary: step("alert") },
  { weight: 2, arbitrary: step("template") },
  { weight: 2, arbitrary: step("cut") },
  { weight: 4, arbitrary: step("connect") },
  { weight: 1, arbitrary: step("forget", 4) },
  { weight: 1, arbitrary: step("restart") },
  { weight: 1, arbitrary: step("change") },
);

test("each message arrives once and in line, or inside a gap whose count is exact", () => {
  virtualTime();
  const property = fc.property(fc.array(steps, { maxLength: 60 }), (course) => {
    const model = new StreamModel();
    for (const each of course) model.go(each);
    model.check();
    void model.client.service.close();
  });
  fc.assert(property, { numRuns: 300 });
});
