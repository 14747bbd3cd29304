// Writes into README.md how large the package is in a page; with --check, says whether what stands there is so.
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const README = new URL("README.md", import.meta.url);
const MARKS = /(<!-- size -->\n)[\s\S]*(<!-- end of size -->)/;

const IMPORTS = {
  everything: 'export * from "./src/index.js";',
  "the service: `WebSocketBinaryService`": 'export { WebSocketBinaryService } from "./src/index.js";',
  "the codec: `ProtocolHandler`": 'export { ProtocolHandler } from "./src/index.js";',
  "payloads alone: `pack`, `unpack`": 'export { pack, unpack } from "./src/index.js";',
};

const lines = ["| what is imported | minified | gzipped | of that, fflate |", "| --- | --- | --- | --- |"];
for (const [name, code] of Object.entries(IMPORTS)) {
  const [minified, gzipped] = await sizes(code, []);
  const [, without] = await sizes(code, ["fflate"]);
  lines.push(`| ${name} | ${kilobytes(minified)} | ${kilobytes(gzipped)} | ${kilobytes(gzipped - without)} |`);
}

const text = readFileSync(README, "utf8");
const measured = text.replace(MARKS, `$1${lines.join("\n")}\n$2`);
if (!process.argv.includes("--check")) writeFileSync(README, measured);
else if (measured !== text)
  throw new Error(`README.md says another size; npm run size writes it:\n${lines.join("\n")}`);
console.log(lines.join("\n"));

async function sizes(contents, external) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: new URL(".", import.meta.url).pathname },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    external,
    write: false,
  });
  const bytes = outputFiles[0].contents;
  return [bytes.length, gzipSync(bytes, { level: 9 }).length];
}

/** Whole kilobytes: what a change of a line moves is not worth a line of the README. */
function kilobytes(bytes) {
  return `${Math.round(bytes / 1000)} KB`;
}
