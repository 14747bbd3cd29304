/** The README's examples are read by the compiler, with the package's own types, and run against the real server. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { transform } from "esbuild";
import { expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import * as ecgframe from "../src/index.js";
import * as decompressing from "../src/zstd.js";
import { Peer } from "./peer/peer.js";
import { until } from "./services.js";

const CLIENT = fileURLToPath(new URL("..", import.meta.url));
const README = readFileSync(join(CLIENT, "README.md"), "utf8");
const EXAMPLES = [...README.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code);

/** Declarations of the functions that the examples leave to the reader. */
const READERS = `
declare function draw(samples: ArrayLike<number | bigint>): void;
declare function drawGap(stream: string, from: bigint, to: bigint): void;
declare function showConnection(state: string): void;
declare const alert: Record<string, unknown>;
declare const secret: Uint8Array;
declare function show(message: unknown): void;
`;

/** The code, importing from the sources what the package exports. */
function local(code: string): string {
  return code.replaceAll('from "ecgframe"', 'from "./src/index.js"').replaceAll('"ecgframe/zstd"', '"./src/zstd.js"');
}

function compile(code: string): string {
  const folder = mkdtempSync(join(CLIENT, "node_modules", ".examples-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const options = { extends: "../../tsconfig.json", compilerOptions: { noUnusedLocals: false }, include: ["*.ts"] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(options));
  writeFileSync(join(folder, "example.ts"), local(code) + READERS);
  symlinkSync(join(CLIENT, "src"), join(folder, "src"));
  try {
    execFileSync(join(CLIENT, "node_modules", ".bin", "tsc"), ["--noEmit", "-p", folder], { encoding: "utf8" });
    return "";
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}

test("the examples compile", () => {
  expect(EXAMPLES.length).toBe(5);
  expect(compile(EXAMPLES.join("\n"))).toBe("");
});

test("one that does not is found out", () => {
  expect(compile(`${EXAMPLES[0]}\nservice.subscribe(7);`)).toContain("example.ts");
});

interface Left {
  service: ecgframe.WebSocketBinaryService;
  timestamp: bigint;
}

/** Runs all examples as one program, with functions for what they leave to the reader. Returns what they define. */
async function run(url: string, readers: Record<string, unknown>): Promise<Left> {
  const program = EXAMPLES.join("\n").replaceAll("ws://localhost:8765/ws", url);
  const { code } = await transform(program, { loader: "ts", format: "esm" });
  const body = code
    .replaceAll(/^import (\{[^}]*\}) from "ecgframe";$/gm, "const $1 = ecgframe;")
    .replaceAll(/^import (\{[^}]*\}) from "ecgframe\/zstd";$/gm, "const $1 = decompressing;");
  const AsyncFunction = Object.getPrototypeOf(run).constructor;
  const names = ["ecgframe", "decompressing", ...Object.keys(readers)];
  const left = new AsyncFunction(...names, `${body}return { service, timestamp };`);
  return left(ecgframe, decompressing, ...Object.values(readers));
}

test("the examples run", async () => {
  Object.assign(globalThis, { WebSocket }); // which a browser has
  const peer = new Peer();
  onTestFinished(() => peer.end());
  const { port } = await peer.do("serve");
  const drawn: ArrayLike<number | bigint>[] = [];
  const states: string[] = [];
  const { service, timestamp } = await run(`ws://127.0.0.1:${port}/ws`, {
    draw: (samples: ArrayLike<number | bigint>) => drawn.push(samples),
    drawGap: () => expect.unreachable(),
    showConnection: (state: string) => states.push(state),
    alert: { kind: "asystole", timestamp: 1.5 },
    secret: new Uint8Array(32),
    show: () => expect.unreachable(),
  });
  await peer.do("publish_numbers", { stream: "ecg/1", first: 7, last: 8, leads: 12, samples: 3 });
  await until(() => drawn.length === 1);
  expect(drawn).toEqual([Float32Array.of(7, 7, 7)]);
  const heard = async () => (await peer.do("state")).received as { type: number; timestamp: string }[];
  await until(async () => (await heard()).length === 3);
  const received = await heard();
  const { ECG_DATA, ANOMALY_ALERT } = ecgframe.MessageType;
  expect(received.map(({ type }) => type)).toEqual([ECG_DATA, ANOMALY_ALERT, ECG_DATA]);
  expect(received[1].timestamp).toBe(String(timestamp));
  await service.close();
  expect(states).toEqual(["closed"]);
});
