/**
 * Bundles `<ecg-monitor>` into one file for pages without a bundler, `dist/ecg-monitor.js`, and fails if it is too large.
 * With `--check`, it writes nothing.
 */

import { writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const CLIENT = new URL("../../", import.meta.url);
/** Bytes at most, gzipped: what a page loads for a live display, the client of the protocol included. */
const MOST = 72_000;

const { outputFiles } = await build({
  absWorkingDir: CLIENT.pathname,
  entryPoints: ["monitor/element/index.ts"],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "inline",
  write: false,
});
const { contents } = outputFiles[0];
const size = gzipSync(contents, { level: 9 }).length;
console.log(`ecg-monitor.js: ${contents.length} bytes, ${size} gzipped`);
if (size > MOST) throw new Error(`ecg-monitor.js has ${size} bytes gzipped; at most ${MOST} are allowed`);
if (!process.argv.includes("--check")) await writeFile(new URL("dist/ecg-monitor.js", CLIENT), contents);
