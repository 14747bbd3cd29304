/** `ecgframe serve` as a process that is killed and restarted, with the same clock or another one. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { ecgData } from "../src/index.js";
import { PYTHON } from "./peer/peer.js";
import { collected, impatient, next, until } from "./services.js";

const FAKETIME = "/usr/bin/faketime";
const isThere = existsSync(FAKETIME) || process.env.ECGFRAME_REQUIRE_PEERS === "1";

/** @param clock seconds by which its clock is wrong */
async function serve(port: number, clock = 0): Promise<{ process: ChildProcess; port: number }> {
  const command = [PYTHON, "-m", "ecgframe", "serve", "--port", String(port), "--frame-ms", "20"];
  const wrong = [FAKETIME, "--exclude-monotonic", "-f", `${clock > 0 ? "+" : ""}${clock}s`];
  const [program, ...rest] = clock === 0 ? command : [...wrong, ...command];
  const process = spawn(program, rest, {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...globalThis.process.env, COLUMNS: "200" },
    detached: true, // faketime waits for the server as its child: both are to end
  });
  onTestFinished(() => end(process));
  for await (const line of createInterface({ input: process.stdout })) {
    const found = /ws:\/\/127\.0\.0\.1:(\d+)\/ws/.exec(line);
    if (found) return { process, port: Number(found[1]) };
  }
  throw new Error("it did not come up");
}

async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null || server.pid === undefined) return;
  process.kill(-server.pid, "SIGKILL");
  await once(server, "exit");
}

test.each(isThere ? [0, -3600, 3600] : [0])(
  "a server that is killed and started anew, its clock %d s off, is found again, and what it lost is told",
  async (clock) => {
    const first = await serve(0);
    const service = impatient();
    await service.connect(`ws://127.0.0.1:${first.port}/ws`);
    const course: { sequence: number; time: number }[] = [];
    const subscription = service.subscribe("ecg/1", (message) => {
      const { signal, samplingRate, sequence, timestampMs, leads } = ecgData(message);
      expect([signal.shape, signal.dtype, samplingRate, leads?.length]).toEqual([[12, 20], "int16", 1000, 12]);
      course.push({ sequence: sequence ?? -1, time: timestampMs ?? -1 });
    });
    await until(() => course.length > 10);
    const losses = collected(service, "loss");
    await end(first.process);
    await until(() => service.state === "reconnecting");
    const before = course.length;
    const began = performance.now();
    await serve(first.port, clock);
    await next(service, "subscribed");
    await until(() => course.length > before + 10);
    const [old, anew] = [course.slice(0, before), course.slice(before)];
    expect(old.map(({ sequence }) => sequence)).toEqual(old.map((_, i) => old[0].sequence + i));
    expect(anew.map(({ sequence }) => sequence)).toEqual(anew.map((_, i) => i)); // all that it has sent
    for (const part of [old, anew]) {
      const times = part.map(({ time }) => time);
      expect(times).toEqual([...times].sort((a, b) => a - b));
    }
    const away = anew[0].time - old[before - 1].time - 1000 * clock;
    expect(away).toBeGreaterThan(0);
    expect(away).toBeLessThan(performance.now() - began + 1000);
    expect(losses.length).toBe(1);
    expect(losses[0].to < losses[0].from).toBe(clock < 0);
    expect(subscription.duplicates).toBe(0);
  },
);
