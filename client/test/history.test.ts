/** The history of a stream on request, from `ecgframe serve`, beside a subscription that goes on. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { ecgData, type Gap, history, ProtocolError, VERSIONS } from "../src/index.js";
import { PYTHON } from "./peer/peer.js";
import { collected, impatient, next, until } from "./services.js";

async function serve(...options: string[]): Promise<string> {
  const arguments_ = ["-m", "ecgframe", "serve", "--port", "0", "--frame-ms", "20", ...options];
  const server: ChildProcess = spawn(PYTHON, arguments_, {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, COLUMNS: "200" },
  });
  onTestFinished(async () => {
    server.kill("SIGKILL");
    await once(server, "exit");
  });
  for await (const line of createInterface({ input: server.stdout as NodeJS.ReadableStream })) {
    const found = /ws:\/\/127\.0\.0\.1:\d+\/ws/.exec(line);
    if (found) return found[0];
  }
  throw new Error("it did not come up");
}

test("a range of the past comes whole, while the stream goes on", async () => {
  const url = await serve("--protocol", "4");
  const service = impatient({ versions: VERSIONS });
  const errors = collected(service, "error");
  await service.connect(url);
  const live: { sequence: number | null; timestamp: bigint }[] = [];
  service.subscribe("ecg/1", (message) => {
    live.push({ sequence: ecgData(message).sequence, timestamp: message.timestamp as bigint });
  });
  await until(() => live.length > 60);
  const past: (number | null)[] = [];
  const take = (message: Parameters<typeof ecgData>[0]) => past.push(ecgData(message).sequence);
  const asked = history(service, "ecg/1", take, { start: live[10].timestamp, stop: live[50].timestamp });
  await asked.finished;
  expect(past).toEqual(live.slice(10, 51).map(({ sequence }) => sequence));
  expect([asked.received, asked.lost]).toEqual([41, 0]);
  const before = live.length;
  await until(() => live.length > before + 10);
  const first = live[0].sequence as number;
  expect(live.map(({ sequence }) => sequence)).toEqual(live.map((_, i) => first + i));
  expect(service.statistics.droppedByServer).toBe(0);

  past.length = 0;
  const all = history(service, "ecg/1", take, { start: new Date(0) });
  await until(() => past.length > 0);
  service.reconnect();
  await next(service, "negotiated");
  await all.finished;
  expect(past).toEqual(past.map((_, i) => (past[0] as number) + i)); // over two connections, each once
  expect(errors).toEqual([]);
});

test("a history is refused over version 3, ended by the application, and ends with the service", async () => {
  const url = await serve();
  const old = impatient({ versions: [1, 2, 3] });
  await old.connect(url);
  const none = history(old, "ecg/1", () => {}, { start: 0n });
  await expect(none.finished).rejects.toBeInstanceOf(ProtocolError);
  const service = impatient({ versions: VERSIONS });
  expect(() => history(service, "", () => {}, { start: 0n })).toThrow(RangeError);
  expect(() => history(service, "ecg/1", () => {}, { start: 5n, stop: 4n })).toThrow(RangeError);
  const waiting = history(service, "ecg/1", () => {}, { start: 0n });
  await service.close();
  await expect(waiting.finished).rejects.toThrow("closed");
  const ended = impatient({ versions: VERSIONS });
  await ended.connect(url);
  const one = history(ended, "ecg/1", () => {}, { start: 0n });
  one.end();
  await one.finished;
  expect(await ended.ping()).toBeGreaterThan(0);
});

/** Passes bytes to a server, or drops all connections, as a tunnel does. */
async function tunnel(url: string) {
  const target = Number(new URL(url).port);
  const sockets = new Set<Socket>();
  let isOpen = true;
  const proxy = createServer((near) => {
    if (!isOpen) {
      near.destroy();
      return;
    }
    const far = connect(target, "127.0.0.1");
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => {});
    }
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  return {
    url: `ws://127.0.0.1:${(proxy.address() as AddressInfo).port}/ws`,
    enter: () => {
      isOpen = false;
      for (const socket of sockets) socket.destroy();
    },
    leave: () => {
      isOpen = true;
    },
  };
}

test("out of a tunnel, the present comes first, the gap is exact, and the past follows", async () => {
  const way = await tunnel(await serve("--protocol", "4"));
  const service = impatient({ versions: VERSIONS });
  await service.connect(way.url);
  const live: { sequence: number; at: number; taken: number }[] = [];
  const gaps: Gap[] = [];
  service.subscribe(
    "ecg/1",
    (message) => {
      const { sequence, timestampMs } = ecgData(message);
      live.push({ sequence: sequence as number, at: Date.now(), taken: timestampMs as number });
    },
    { catchUp: 200, onGap: (gap) => gaps.push(gap) },
  );
  await until(() => live.length > 20);
  way.enter();
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const before = live.length;
  way.leave();
  const out = Date.now();
  await until(() => live.length > before + 30);
  expect(live[before].at - live[before].taken).toBeLessThan(1500); // not the three seconds before it
  expect(live[before].at - out).toBeLessThan(1000);
  expect(gaps.length).toBe(1);
  const [{ from, to, frames }] = gaps;
  expect(frames).toBe(live[before].sequence - live[before - 1].sequence - 1);
  expect(frames).toBeGreaterThan(100);
  const past: number[] = [];
  const range = { start: from, stop: to };
  await history(service, "ecg/1", (message) => past.push(ecgData(message).sequence as number), range).finished;
  const seen = new Set([...live.map(({ sequence }) => sequence), ...past]);
  const last = live.at(-1)?.sequence as number;
  for (let sequence = live[0].sequence; sequence <= last; sequence++) expect(seen.has(sequence)).toBe(true);
}, 20_000);
