// Opening sealed frames in Chromium: from the arrival of a frame to the callback, for 16 streams of 20 frames a second.
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const [streams, seconds] = [Number(process.argv[2] ?? 16), Number(process.argv[3] ?? 15)];

const { outputFiles } = await build({
  entryPoints: [fileURLToPath(new URL("opening.ts", import.meta.url))],
  bundle: true,
  format: "iife",
  target: "es2022",
  write: false,
});
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage();
// WebCrypto needs a secure context, such as a page of localhost; with these headers, the clock shows 5 microseconds.
const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
await page.route("http://localhost/", (route) => route.fulfill({ contentType: "text/html", headers, body: "<p></p>" }));
await page.goto("http://localhost/");
await page.addScriptTag({ content: outputFiles[0].text });
const { took, first, bare, received, expected } = await page.evaluate(
  ([streams, seconds]) => globalThis.measureOpening(streams, seconds),
  [streams, seconds],
);
await browser.close();
const at = (times, share) => times[Math.min(times.length - 1, Math.floor(share * times.length))].toFixed(2);
const figures = (times) => `p50 ${at(times, 0.5)}, p90 ${at(times, 0.9)}, p99 ${at(times, 0.99)}, max ${at(times, 1)}`;
console.log(`${streams} streams, 20 frames a second each, ${received} of ${expected} frames`);
console.log(`ms from arrival to callback: ${figures(took)}`);
console.log(`ms in the first second: ${figures(first)}`);
console.log(`ms of a bare decryption in the same page: ${figures(bare)}`);
