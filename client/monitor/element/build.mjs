/**
 * Bundles `<ecg-monitor>` for pages without a bundler: `dist/ecg-monitor.js`, with the modules in `dist/ecg-monitor/` that it
 * loads when they are needed. Fails if a live display would load too much. With `--check`, it writes nothing.
 *
 * Bundled by Rolldown, which puts what is loaded at once into one file: esbuild makes a file of each part that several of the
 * others use, and 4 kB gzipped more. Terser then makes the files smaller by another 0.5 kB.
 */

import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { rolldown } from "rolldown";
import { minify } from "terser";
import { inlineTables } from "./inline-tables.mjs";

const CLIENT = new URL("../../", import.meta.url);
const ENTRY = "ecg-monitor.js";
/** Bytes at most, gzipped: what a page loads for a live display with version 4, the client of the protocol included. */
const MOST_LIVE = 53_400;
/** What a live display must not load, however small it is. */
const LATER = [
  "src/codec/date-time.ts",
  "src/codec/inflate.ts",
  "src/codec/sample-reader.ts",
  "src/codec/sha256.ts",
  "src/service/sending.ts",
  "src/session/data-sending.ts",
  "src/session/protected-frames.ts",
  "src/session/fragments.ts",
  "monitor/src/caliper-placement.ts",
  "monitor/src/calipers.ts",
  "monitor/src/sheet.ts",
];

const bundle = await rolldown({
  cwd: fileURLToPath(CLIENT),
  input: { "ecg-monitor": "monitor/element/index.ts" },
  platform: "browser",
  preserveEntrySignatures: "allow-extension",
  resolve: { extensionAlias: { ".js": [".ts", ".js"] } },
  transform: { target: "es2022" },
  plugins: [inlineTables()],
});
const { output } = await bundle.generate({
  format: "esm",
  minify: true,
  entryFileNames: "[name].js",
  chunkFileNames: "ecg-monitor/[name]-[hash].js",
  codeSplitting: { groups: [{ name: "core", tags: ["$initial"] }] },
});
const minified = await Promise.all(
  output.map(({ code }) => minify(code, { module: true, ecma: 2020, compress: { passes: 3 } })),
);
const files = Object.fromEntries(
  output.map(({ fileName, imports }, i) => [fileName, { imports, code: minified[i].code }]),
);
const atOnce = withImports(ENTRY);
const live = report("live display, and all versions without compression", atOnce);
for (const [part, source] of [
  ["payloads that are compressed with zlib, or have lists, dates or bound records", "src/codec/unpacking.ts"],
  ["payloads from 10 KB on, with WebAssembly", "src/codec/crc32-fold.ts"],
  ["the sheet, calipers, a frozen screen", "monitor/element/tools.ts"],
  ["a service with the option `sealing` or `capabilities`", "src/service/all-parts.ts"],
]) {
  const entry = output.find(({ facadeModuleId }) => facadeModuleId === fileURLToPath(new URL(source, CLIENT)));
  if (entry === undefined || atOnce.has(entry.fileName)) throw new Error(`${source} is not loaded by itself any more`);
  report(
    part,
    [...withImports(entry.fileName)].filter((name) => !atOnce.has(name)),
  );
}
const modules = new Set(output.filter(({ fileName }) => atOnce.has(fileName)).flatMap(({ moduleIds }) => moduleIds));
for (const source of LATER) {
  if (modules.has(fileURLToPath(new URL(source, CLIENT)))) throw new Error(`a live display loads ${source}`);
}
if (live > MOST_LIVE) throw new Error(`a live display loads ${live} bytes gzipped; at most ${MOST_LIVE} are allowed`);
if (!process.argv.includes("--check")) await write();

/** Returns a file with those that it imports, and those that they import. */
function withImports(name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  for (const imported of files[name].imports) withImports(imported, found);
  return found;
}

/** Says how large files are. Returns their bytes, each gzipped for itself. */
function report(part, names) {
  const contents = [...names].map((name) => Buffer.from(files[name].code));
  const size = contents.reduce((sum, content) => sum + content.length, 0);
  const gzipped = contents.reduce((sum, content) => sum + gzipSync(content, { level: 9 }).length, 0);
  console.log(`${part}: ${contents.length} files, ${size} bytes, ${gzipped} gzipped`);
  return gzipped;
}

async function write() {
  await rm(new URL("dist/ecg-monitor", CLIENT), { recursive: true, force: true });
  for (const [fileName, { code }] of Object.entries(files)) {
    const file = new URL(`dist/${fileName}`, CLIENT);
    await mkdir(dirname(fileURLToPath(file)), { recursive: true });
    await writeFile(file, code);
  }
  console.log(`written: ${Object.keys(files).join(", ")}`);
}
