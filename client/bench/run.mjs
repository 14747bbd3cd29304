// Decoding against JSON.parse, in Node and in Chromium; with --write, into bench/README.md.
// ECGFRAME_PYTHON names the Python that has ecgframe.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
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

const engines = [[`Node ${process.versions.node}`, await inNode()]];
if (existsSync(CHROMIUM)) engines.push(await inChromium());
const table = tableOf(engines);
console.log(table);
if (process.argv.includes("--write")) {
  const marks = /(<!-- figures -->\n)[\s\S]*(<!-- end of figures -->)/;
  writeFileSync(here("README.md"), readFileSync(here("README.md"), "utf8").replace(marks, `$1${table}\n$2`));
}

function inNode() {
  runInThisContext(script);
  return globalThis.measure(messages);
}

async function inChromium() {
  const { chromium } = await import("playwright-core");
  const args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"];
  const browser = await chromium.launch({ executablePath: CHROMIUM, args });
  const page = await browser.newPage();
  // WebCrypto needs a secure context, such as a page of localhost; with these headers, the clock shows 5 microseconds.
  const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
  await page.route("http://localhost/", (route) =>
    route.fulfill({ contentType: "text/html", headers, body: "<p></p>" }),
  );
  await page.goto("http://localhost/");
  await page.addScriptTag({ content: script });
  const figures = await page.evaluate((given) => globalThis.measure(given), messages);
  const name = `Chromium ${browser.version().split(".")[0]}`;
  await browser.close();
  return [name, figures];
}

/** Microseconds, and how many times as fast as JSON.parse. */
function tableOf(engines) {
  const head = engines.map(([name]) => ` ${name} |`).join("");
  const lines = [`| samples | what |${head}`, `| --- | --- |${" --- |".repeat(engines.length)}`];
  for (const [samples, works] of Object.entries(engines[0][1])) {
    for (const work of Object.keys(works)) {
      const cells = engines.map(([, figures]) => cell(figures[samples], work)).join("");
      lines.push(`| ${samples} | ${work} |${cells}`);
    }
  }
  return lines.join("\n");
}

function cell(works, work) {
  const ratio = work === "JSON.parse" ? "" : `, ${Number((works["JSON.parse"] / works[work]).toPrecision(2))} ×`;
  return ` ${works[work].toFixed(1)} µs${ratio} |`;
}
