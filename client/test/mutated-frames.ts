/** Mutated frames from Python, with its verdicts, for a comparison with those of TypeScript. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { expect } from "vitest";
import { PYTHON } from "./peer/peer.js";

export const FRAMES = Number(process.env.ECGFRAME_FUZZ_FRAMES ?? 5000);
const SEED = Number(process.env.ECGFRAME_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 32));
const SHOWN = 5;

interface Verdict {
  readonly frame: string;
  readonly code?: number;
  readonly check?: number;
}

/**
 * Compares both languages on each frame that a program in `peer/` prints; no frame may differ.
 *
 * @param both what TypeScript makes of a frame, and what Python did, in one form
 * @param note called for each frame
 * @returns how often Python gave each verdict
 */
export async function compared<Said extends Verdict>(
  program: string,
  both: (said: Said) => [unknown, unknown],
  note: (said: Said) => void = () => {},
): Promise<ReadonlyMap<string, number>> {
  const script = fileURLToPath(new URL(`peer/${program}`, import.meta.url));
  const python = spawn(PYTHON, ["-W", "error", script, String(FRAMES), String(SEED)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const verdicts = new Map<string, number>();
  const differ: unknown[] = [];
  for await (const line of createInterface({ input: python.stdout })) {
    const said: Said = JSON.parse(line);
    const [here, there] = both(said);
    const verdict = said.code === undefined ? "accepted" : `0x${said.code.toString(16)} at check ${said.check}`;
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    note(said);
    if (!isDeepStrictEqual(here, there)) differ.push({ frame: said.frame, here, there });
  }
  const total = [...verdicts.values()].reduce((sum, count) => sum + count, 0);
  console.log(`seed ${SEED}: ${total} frames, ${differ.length} differ`, Object.fromEntries(verdicts));
  expect({ seed: SEED, differ: differ.slice(0, SHOWN), count: differ.length }).toEqual({
    seed: SEED,
    differ: [],
    count: 0,
  });
  expect(total).toBe(FRAMES);
  return verdicts;
}
