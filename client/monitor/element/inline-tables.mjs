/**
 * A plugin of Rolldown that writes the numbers and names of the protocol's tables where they are used: `MessageType.PING`
 * becomes 17. Minifiers keep the tables and the names of their entries, because they cannot know that nothing changes them.
 */

import { readFileSync } from "node:fs";
import { parseAst } from "rolldown/parseAst";

const TABLES = new URL("../../src/protocol.ts", import.meta.url).pathname;

/** Returns the plugin. */
export function inlineTables() {
  const tables = tablesIn(parse(readFileSync(TABLES, "utf8")));
  return {
    name: "inline-tables",
    transform(code, id) {
      if (!id.endsWith(".ts")) return null;
      const program = parse(code);
      const names = id === TABLES ? new Map([...tables.keys()].map((name) => [name, name])) : importedFrom(program);
      const places = [];
      walk(program, (node) => {
        if (node.type !== "MemberExpression" || node.computed || node.object.type !== "Identifier") return;
        const value = tables.get(names.get(node.object.name))?.get(node.property.name);
        if (value !== undefined) places.push({ start: node.start, end: node.end, text: JSON.stringify(value) });
      });
      return places.length === 0 ? null : { code: replaced(code, places), map: null };
    },
  };
}

function parse(code) {
  return parseAst(code, { lang: "ts" });
}

/** Returns the tables whose entries are all numbers or texts, as maps, by name. */
function tablesIn({ body }) {
  const tables = new Map();
  for (const { declaration } of body) {
    for (const { id, init } of declaration?.declarations ?? []) {
      const entries = init?.type === "TSAsExpression" ? init.expression.properties : undefined;
      const isPlain = entries?.every(({ key, value }) => key?.type === "Identifier" && value.type === "Literal");
      if (isPlain) tables.set(id.name, new Map(entries.map(({ key, value }) => [key.name, value.value])));
    }
  }
  return tables;
}

/** Returns what a module imports of the tables: the tables' names, by the names there. */
function importedFrom({ body }) {
  const imports = body.filter(
    ({ type, source }) => type === "ImportDeclaration" && source.value.endsWith("/protocol.js"),
  );
  return new Map(
    imports
      .flatMap(({ specifiers }) => specifiers)
      .filter(({ type }) => type === "ImportSpecifier")
      .map(({ local, imported }) => [local.name, imported.name]),
  );
}

function walk(node, visit) {
  if (Array.isArray(node)) for (const each of node) walk(each, visit);
  else if (node && typeof node.type === "string") {
    visit(node);
    for (const each of Object.values(node)) if (each && typeof each === "object") walk(each, visit);
  }
}

function replaced(code, places) {
  let text = code;
  for (const { start, end, text: value } of places.sort((one, other) => other.start - one.start))
    text = text.slice(0, start) + value + text.slice(end);
  return text;
}
