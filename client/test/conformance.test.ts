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
  const said = createInterface(suite.stderr);
  const url = /ws:\S+/.exec(((await once(said, "line")) as [string])[0])?.[0] as string;

  let over = false;
  const ended = once(output, "close").then(() => {
    over = true;
  });
  while (!over) await oneLife(url, ended);

  expect(results.filter(({ verdict }) => verdict !== "passed")).toEqual([]);
  expect(results.length).toBeGreaterThan(45);
});

/** Runs a client as in a page: it connects, receives and reconnects until the case has ended. */
async function oneLife(url: string, ended: Promise<void>): Promise<void> {
  const service = impatient({ versions: [1, 2, 3, 4] });
  service.on("message", () => {});
  service.subscribe("ecg/1", () => {}, { catchUp: 10_000 }).granted.catch(() => {});
  const over = Promise.race([next(service, "state", ({ state }) => state === "closed"), ended]);
  await service.connect(url).catch(() => {});
  await over;
  service.close();
}
