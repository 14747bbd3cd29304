/**
 * Builds the page into the Python package, which serves it: `npm run build:monitor`. With `--check`, it writes nothing, and
 * fails if the built page differs from its source.
 */

import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const SOURCE = new URL("./", import.meta.url);
const BUILT = new URL("../../ecgframe/server/monitor/", import.meta.url);
/** Bytes of all files together, at most, as the page is in every wheel. Histories took 6,000 of them. */
const MOST = 345_000;
const NOTE = "Built from client/monitor by `npm run build:monitor`; not to be edited.";

const bundled = await build({
  absWorkingDir: new URL("..", SOURCE).pathname,
  entryPoints: { monitor: "monitor/src/main.ts" },
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "inline",
  banner: { js: `// ${NOTE}` },
  write: false,
  outdir: "built",
});
const styled = await build({
  absWorkingDir: new URL("..", SOURCE).pathname,
  entryPoints: { monitor: "monitor/style.css" },
  bundle: true,
  minify: true,
  charset: "utf8",
  banner: { css: `/* ${NOTE} */` },
  write: false,
  outdir: "built",
});

const files = {
  "index.html": await readFile(new URL("index.html", SOURCE), "utf8"),
  "icon.svg": await readFile(new URL("icon.svg", SOURCE), "utf8"),
  "monitor.js": bundled.outputFiles[0].text,
  "monitor.css": styled.outputFiles[0].text,
};

const size = Object.values(files).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
if (size > MOST) fail(`the page has ${size} bytes; at most ${MOST} are allowed`);
if (process.argv.includes("--check")) await check();
else await write();

async function write() {
  await rm(BUILT, { recursive: true, force: true });
  await mkdir(BUILT, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(new URL(name, BUILT), text);
  console.log(`${Object.keys(files).length} files, ${size} bytes`);
}

async function check() {
  const there = (await readdir(BUILT)).sort().join(" ");
  const wanted = Object.keys(files).sort().join(" ");
  if (there !== wanted) fail(`the built files are ${there}; the source builds ${wanted}`);
  for (const [name, text] of Object.entries(files)) {
    if ((await readFile(new URL(name, BUILT), "utf8")) !== text) fail(`${name} differs from what the source builds`);
  }
  console.log(`the built page is up to date: ${size} bytes`);
}

function fail(why) {
  console.error(`${why}; npm run build:monitor builds it again`);
  process.exit(1);
}
