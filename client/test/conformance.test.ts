/** Tests this client with the conformance suite for clients, `ecgframe conformance --listen`. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { PYTHON } from "./peer/peer.js";
import { impatient, next } from "./services.js";

interface Result {
  readonly case: string;
  readonly title: string;
  readonly verdict: "passed" | "failed" | "skipped";
  readonly reason: string;
}

test("every case for clients passes", { timeout: 60_000 }, async () => {
  const suite = spawn(PYTHON, ["-m", "ecgframe", "conformance", "--listen", "0", "--json"]);
  onTestFinished(() => void suite.kill());
  const results: Result[] = [];
  const output = createInterface(suite.stdout).on("line", (line) => results.push(JSON.parse(line)));
  const errors = createInterface(suite.stderr);
  const url = /ws:\S+/.exec(((await once(errors, "line")) as [string])[0])?.[0] as string;

  let hasEnded = false;
  const ended = once(output, "close").then(() => {
    hasEnded = true;
  });
  while (!hasEnded) await runClient(url, ended);

  expect(results.filter(({ verdict }) => verdict !== "passed")).toEqual([]);
  expect(results.length).toBeGreaterThan(45);
});

/** Runs a client as in a page: it connects, receives and reconnects until it is closed, or the suite has ended. */
async function runClient(url: string, ended: Promise<void>): Promise<void> {
  const service = impatient({ versions: [1, 2, 3, 4] });
  service.on("message", () => {});
  service.subscribe("ecg/1", () => {}, { catchUp: 10_000 }).granted.catch(() => {});
  const finished = Promise.race([next(service, "state", ({ state }) => state === "closed"), ended]);
  await service.connect(url).catch(() => {});
  await finished;
  service.close();
}
