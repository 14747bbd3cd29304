/** `ecgframe serve`, killed and started anew, as a process. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { ecgData } from "../src/index.js";
import { PYTHON } from "./peer/peer.js";
import { collected, impatient, next, until } from "./services.js";

async function serve(port: number): Promise<{ process: ChildProcess; port: number }> {
  const command = ["-m", "ecgframe", "serve", "--port", String(port), "--frame-ms", "20"];
  const process = spawn(PYTHON, command, {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...globalThis.process.env, COLUMNS: "200" },
  });
  onTestFinished(() => void process.kill("SIGKILL"));
  for await (const line of createInterface({ input: process.stdout })) {
    const found = /ws:\/\/127\.0\.0\.1:(\d+)\/ws/.exec(line);
    if (found) return { process, port: Number(found[1]) };
  }
  throw new Error("it did not come up");
}

test("a server that is killed and started anew is found again, and what it lost is told", async () => {
  const first = await serve(0);
  const service = impatient();
  await service.connect(`ws://127.0.0.1:${first.port}/ws`);
  const sequences: number[] = [];
  const times: number[] = [];
  service.subscribe("ecg/1", (message) => {
    const { signal, samplingRate, sequence, timestampMs, leads } = ecgData(message);
    expect([signal.shape, signal.dtype, samplingRate, leads?.length]).toEqual([[12, 20], "int16", 1000, 12]);
    sequences.push(sequence ?? -1);
    times.push(timestampMs ?? -1);
  });
  await until(() => sequences.length > 10);
  const losses = collected(service, "loss");
  first.process.kill("SIGKILL");
  await once(first.process, "exit");
  await until(() => service.state === "reconnecting");
  const before = sequences.length;
  await serve(first.port);
  await next(service, "negotiated");
  await until(() => sequences.length > before + 10);
  expect(sequences.slice(0, before)).toEqual(sequences.slice(0, before).map((_, i) => sequences[0] + i));
  expect(losses.length).toBe(1);
  expect(times).toEqual([...times].sort((a, b) => a - b));
});
