/** The cases of `tests/server/findings.json`, to which the server's `findings.py` is held as well. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Findings, type HeartState } from "../src/findings.js";

interface State {
  readonly at: number;
  readonly rhythm: HeartState["rhythm"];
  readonly silent: number;
  readonly lead: number;
  readonly quality: readonly string[];
}

const LEADS = ["II", "V2"];
const CASES = JSON.parse(
  readFileSync(new URL("../../../tests/server/findings.json", import.meta.url), "utf8"),
) as readonly { name: string; states: readonly State[]; told: readonly object[] }[];

function heart({ rhythm, silent, lead, quality }: State): HeartState {
  return {
    rhythm,
    silentSeconds: silent,
    lead: quality[lead] === "ok" ? LEADS[lead] : "",
    off: LEADS.filter((_, index) => quality[index] === "off"),
  };
}

describe("states become episodes", () => {
  for (const { name, states, told } of CASES) {
    it(name, () => {
      const findings = new Findings();
      const found = states.flatMap((state) =>
        findings.update(heart(state), state.at).map(({ kind, start, end, at, leads, message, ending }) => ({
          kind,
          start,
          end,
          at: end ?? at,
          leads,
          message: end === null ? message : ending,
        })),
      );
      expect(found).toEqual(told);
    });
  }
});
