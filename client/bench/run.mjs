// Decoding against JSON.parse, in Node and in Chromium. ECGFRAME_PYTHON names the Python that has ecgframe.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runInThisContext } from "node:vm";
import { build } from "esbuild";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

const frames = execFileSync(process.env.ECGFRAME_PYTHON ?? "python3", [here("frames.py")], { maxBuffer: 1 << 26 });
const messages = JSON.parse(frames.toString());
const { outputFiles } = await build({
  entryPoints: [here("decode.ts")],
  bundle: true,
  format: "iife",
  target: "es2022",
  write: false,
});
const script = outputFiles[0].text;

print(`Node ${process.versions.node} (V8 ${process.versions.v8})`, inNode());
if (existsSync(CHROMIUM)) print(...(await inChromium()));
else console.log(`\nThere is no ${CHROMIUM}.`);

function inNode() {
  runInThisContext(script);
  return globalThis.measure(messages);
}

async function inChromium() {
  const { chromium } = await import("playwright-core");
  const args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"];
  const browser = await chromium.launch({ executablePath: CHROMIUM, args });
  const page = await browser.newPage();
  await page.addScriptTag({ content: script });
  const figures = await page.evaluate((given) => globalThis.measure(given), messages);
  const name = `Chromium ${browser.version()}`;
  await browser.close();
  return [name, figures];
}

/** A table: microseconds, and how many times as fast as JSON.parse. */
function print(engine, figures) {
  console.log(`\n${engine}: one second of 12 leads at 500 Hz\n`);
  console.log("| samples | what | µs | × as fast as JSON.parse |\n| --- | --- | --- | --- |");
  for (const [name, works] of Object.entries(figures)) {
    for (const [work, us] of Object.entries(works)) {
      console.log(`| ${name} | ${work} | ${us.toFixed(1)} | ${(works["JSON.parse"] / us).toFixed(1)} |`);
    }
  }
}
