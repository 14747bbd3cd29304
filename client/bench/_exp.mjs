import { runInThisContext } from "node:vm";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const { outputFiles } = await build({
  entryPoints: [process.argv[2]],
  bundle: true,
  format: "iife",
  target: "es2022",
  write: false,
});
runInThisContext(outputFiles[0].text);
console.log("node", globalThis.run());
const b = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
const p = await b.newPage();
await p.addScriptTag({ content: outputFiles[0].text });
console.log("chromium", await p.evaluate(async () => await globalThis.run()));
await b.close();
