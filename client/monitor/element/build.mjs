/**
 * Bundles `<ecg-monitor>` for pages without a bundler: `dist/ecg-monitor.js`, with the modules in `dist/ecg-monitor/` that it
 * loads at once or when they are needed. Fails if a live display would load too much. With `--check`, it writes nothing.
 */

import { mkdir, rm, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const CLIENT = new URL("../../", import.meta.url);
const ENTRY = "dist/ecg-monitor.js";
/** Bytes at most, gzipped: what a page loads for a live display with version 4, the client of the protocol included. */
const MOST_LIVE = 60_000;

const { outputFiles, metafile } = await build({
  absWorkingDir: CLIENT.pathname,
  entryPoints: { "ecg-monitor": "monitor/element/index.ts" },
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "inline",
  outdir: "dist",
  chunkNames: "ecg-monitor/[name]-[hash]",
  metafile: true,
  write: false,
});
const contentOf = Object.fromEntries(
  Object.keys(metafile.outputs).map((name) => [
    name,
    outputFiles.find(({ path }) => path.endsWith(`/${name}`)).contents,
  ]),
);
const atOnce = withImports(ENTRY, "import-statement");
const live = report("live display, and all versions without compression", atOnce);
for (const [part, source] of [
  ["payloads that are compressed with zlib, or have arrays", "src/codec/unpacking.ts"],
  ["payloads from 10 KB on, with WebAssembly", "src/codec/crc32-fold.ts"],
  ["the sheet, calipers, a frozen screen", "monitor/element/tools.ts"],
  ["a service with the option `sealing` or `capabilities`", "src/service/all-parts.ts"],
]) {
  const entry = Object.keys(metafile.outputs).find((name) => metafile.outputs[name].entryPoint === source);
  if (entry === undefined) throw new Error(`${source} is not loaded by itself any more`);
  report(
    part,
    [...withImports(entry, "import-statement")].filter((name) => !atOnce.has(name)),
  );
}
if (live > MOST_LIVE) throw new Error(`a live display loads ${live} bytes gzipped; at most ${MOST_LIVE} are allowed`);
if (!process.argv.includes("--check")) await write();

/** Returns a file with those that it imports, and those that they import. */
function withImports(name, kind, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  for (const imported of metafile.outputs[name].imports)
    if (imported.kind === kind) withImports(imported.path, kind, found);
  return found;
}

/** Says how large files are. Returns their bytes, each gzipped for itself. */
function report(part, names) {
  const contents = [...names].map((name) => contentOf[name]);
  const size = contents.reduce((sum, content) => sum + content.length, 0);
  const gzipped = contents.reduce((sum, content) => sum + gzipSync(content, { level: 9 }).length, 0);
  console.log(`${part}: ${contents.length} files, ${size} bytes, ${gzipped} gzipped`);
  return gzipped;
}

async function write() {
  await rm(new URL("dist/ecg-monitor", CLIENT), { recursive: true, force: true });
  for (const [name, content] of Object.entries(contentOf)) {
    const file = new URL(name, CLIENT);
    await mkdir(dirname(file.pathname), { recursive: true });
    await writeFile(file, content);
  }
  console.log(
    `written: ${Object.keys(contentOf)
      .map((name) => basename(name))
      .join(", ")}`,
  );
}
