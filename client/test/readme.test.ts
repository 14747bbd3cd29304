/** The README's examples are read by the compiler, with the package's own types. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";

const CLIENT = fileURLToPath(new URL("..", import.meta.url));
const README = readFileSync(join(CLIENT, "README.md"), "utf8");
const EXAMPLES = [...README.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code);

/** What the examples leave to the reader. */
const READERS = `
declare function draw(samples: ArrayLike<number | bigint>): void;
declare function drawGap(stream: string, from: bigint, to: bigint): void;
declare function showConnection(state: string): void;
declare const alert: Record<string, unknown>;
`;

function compile(code: string): string {
  const folder = mkdtempSync(join(CLIENT, "node_modules", ".examples-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const options = { extends: "../../tsconfig.json", compilerOptions: { noUnusedLocals: false }, include: ["*.ts"] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(options));
  writeFileSync(join(folder, "example.ts"), code.replaceAll('from "ecgframe"', 'from "./src/index.js"') + READERS);
  symlinkSync(join(CLIENT, "src"), join(folder, "src"));
  try {
    execFileSync(join(CLIENT, "node_modules", ".bin", "tsc"), ["--noEmit", "-p", folder], { encoding: "utf8" });
    return "";
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}

test("the examples compile", () => {
  expect(EXAMPLES.length).toBe(2);
  expect(compile(EXAMPLES.join("\n"))).toBe("");
});

test("one that does not is found out", () => {
  expect(compile(`${EXAMPLES[0]}\nservice.subscribe(7);`)).toContain("example.ts");
});
