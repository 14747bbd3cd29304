/** The vectors in a browser's engine: each reads there as it does here. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { expect, test } from "vitest";
import { DEFAULT_MAX_PAYLOAD } from "../src/protocol.js";
import { type Given, readings } from "./in-page.js";
import { FRAMES, REFUSED } from "./rendering.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const isThere = existsSync(CHROMIUM) || process.env.ECGFRAME_REQUIRE_PEERS === "1";

test.runIf(isThere)("every vector reads in Chromium as it does in Node", async () => {
  const vectors: Given[] = [
    ...FRAMES.map(({ frames, max_payload }) => ({ bytes: frames, maxPayload: max_payload ?? DEFAULT_MAX_PAYLOAD })),
    ...REFUSED.map(({ frame, max_payload }) => ({ bytes: frame, maxPayload: max_payload ?? DEFAULT_MAX_PAYLOAD })),
  ];
  const entry = fileURLToPath(new URL("in-page.ts", import.meta.url));
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    format: "iife",
    target: "es2022",
    write: false,
  });
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    const page = await browser.newPage();
    await page.addScriptTag({ content: outputFiles[0].text });
    const there = await page.evaluate(
      (given) => (globalThis as unknown as { readings: typeof readings }).readings(given),
      vectors,
    );
    expect(there).toEqual(readings(vectors));
    expect(there.length).toBe(751);
  } finally {
    await browser.close();
  }
});
