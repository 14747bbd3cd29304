/**
 * Builds the page into the Python package, which serves it: `npm run build:monitor`. With `--check`, it writes nothing, and
 * fails if the built page differs from its source.
 */

import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, extname } from "node:path";
import { build } from "esbuild";

const SOURCE = new URL("./", import.meta.url);
const BUILT = new URL("../../ecgframe/server/monitor/", import.meta.url);
/** Bytes of the files of each page, at most, as they are in every wheel. Histories took 6,000, marks and comparing
 * moments 18,500, other signals than ECG 11,500. The wall uses the icon of the monitor. */
const MOST = { monitor: 374_000, wall: 300_000 };
const NOTE = "Built from client/monitor by `npm run build:monitor`; not to be edited.";

const bundled = await bundle({
  monitor: "monitor/src/main.ts",
  wall: "monitor/src/wall/wall.ts",
  "wall-worker": "monitor/src/wall/worker.ts",
});
const styled = await bundle({ monitor: "monitor/style.css", wall: "monitor/wall.css" });

const pages = {
  monitor: {
    "index.html": await readFile(new URL("index.html", SOURCE), "utf8"),
    "icon.svg": await readFile(new URL("icon.svg", SOURCE), "utf8"),
    "monitor.js": bundled.monitor,
    "monitor.css": styled.monitor,
  },
  wall: {
    "wall.html": await readFile(new URL("wall.html", SOURCE), "utf8"),
    "wall.js": bundled.wall,
    "wall-worker.js": bundled["wall-worker"],
    "wall.css": styled.wall,
  },
};
const files = { ...pages.monitor, ...pages.wall };
const sizes = Object.fromEntries(Object.entries(pages).map(([page, own]) => [page, sizeOf(own)]));
const size = Object.entries(sizes)
  .map(([page, bytes]) => `${page} ${bytes} bytes`)
  .join(", ");

for (const [page, bytes] of Object.entries(sizes))
  if (bytes > MOST[page]) fail(`the page ${page} has ${bytes} bytes; at most ${MOST[page]} are allowed`);
if (process.argv.includes("--check")) await check();
else await write();

/** Bundle each entry; returns the texts by their names. */
async function bundle(entryPoints) {
  const { outputFiles } = await build({
    absWorkingDir: new URL("..", SOURCE).pathname,
    entryPoints,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    legalComments: "inline",
    banner: { js: `// ${NOTE}`, css: `/* ${NOTE} */` },
    write: false,
    outdir: "built",
  });
  return Object.fromEntries(outputFiles.map(({ path, text }) => [basename(path, extname(path)), text]));
}

function sizeOf(own) {
  return Object.values(own).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}

async function write() {
  await rm(BUILT, { recursive: true, force: true });
  await mkdir(BUILT, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(new URL(name, BUILT), text);
  console.log(`${Object.keys(files).length} files, ${size}`);
}

async function check() {
  const there = (await readdir(BUILT)).sort().join(" ");
  const wanted = Object.keys(files).sort().join(" ");
  if (there !== wanted) fail(`the built files are ${there}; the source builds ${wanted}`);
  for (const [name, text] of Object.entries(files)) {
    if ((await readFile(new URL(name, BUILT), "utf8")) !== text) fail(`${name} differs from what the source builds`);
  }
  console.log(`the built page is up to date: ${size}`);
}

function fail(why) {
  console.error(`${why}; npm run build:monitor builds it again`);
  process.exit(1);
}
