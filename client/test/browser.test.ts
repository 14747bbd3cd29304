/** The vectors in a browser: each decodes there as in Node. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { expect, test } from "vitest";
import { DEFAULT_MAX_PAYLOAD } from "../src/protocol.js";
import { type Given, type GivenRecord, readings, recordReadings } from "./in-page.js";
import { FRAMES, RECORDS, REFUSED, V4 } from "./rendering.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const isThere = existsSync(CHROMIUM) || process.env.ECGFRAME_REQUIRE_PEERS === "1";

test.runIf(isThere)("every vector reads in Chromium as it does in Node", { timeout: 90_000 }, async () => {
  const vectors: Given[] = [
    ...FRAMES.map(({ frames, max_payload }) => ({ bytes: frames, maxPayload: max_payload ?? DEFAULT_MAX_PAYLOAD })),
    ...REFUSED.map(({ frame, max_payload }) => ({ bytes: frame, maxPayload: max_payload ?? DEFAULT_MAX_PAYLOAD })),
    ...V4.accepted.map(({ frames }) => ({ bytes: frames, maxPayload: DEFAULT_MAX_PAYLOAD })),
    ...V4.refused.map(({ frame, max_payload }) => ({ bytes: frame, maxPayload: max_payload ?? DEFAULT_MAX_PAYLOAD })),
  ];
  const records: GivenRecord[] = [...RECORDS.accepted, ...RECORDS.refused, ...RECORDS.refused_templates].map(
    (vector) => ({
      template: "payload" in vector ? vector.payload : vector.template_payload,
      record: "record" in vector ? vector.record : "",
      maxPayload: ("max_payload" in vector ? vector.max_payload : undefined) ?? DEFAULT_MAX_PAYLOAD,
    }),
  );
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
    expect(there.length).toBe(858 + V4.accepted.length + V4.refused.length);
    const recordsThere = await page.evaluate(
      (given) => (globalThis as unknown as { recordReadings: typeof recordReadings }).recordReadings(given),
      records,
    );
    expect(recordsThere).toEqual(recordReadings(records));
    expect(recordsThere.length).toBeGreaterThan(390);
  } finally {
    await browser.close();
  }
});
