/** The plugin of the build that writes entries of the protocol's tables where they are used. */
import { describe, expect, test } from "vitest";

const { inlineTables } = await import(new URL("../monitor/element/inline-tables.mjs", import.meta.url).pathname);

function built(code: string): string | null {
  return inlineTables().transform(code, "/some/module.ts")?.code ?? null;
}

describe("the plugin that writes out the protocol's tables", () => {
  test("replaces entries of imported tables, under the name that they have there", () => {
    const code =
      'import { CloseCode as Code, MessageType } from "../protocol.js";\nf(MessageType.PONG, [Code.POLICY]);';
    expect(built(code)).toContain("f(18, [1008]);");
  });

  test("leaves what is of another module, a text or no entry, and what is computed", () => {
    expect(built('import { MessageType } from "./other.js";\nf(MessageType.PONG);')).toBeNull();
    const code = 'import { Flag, HEADER_SIZES } from "../protocol.js";\n';
    expect(built(`${code}f("Flag.SIGNED", Flag[name], Flag.NEW, other.Flag.SIGNED, HEADER_SIZES[4]);`)).toBeNull();
  });

  test("replaces names by texts", () => {
    expect(built('import { Capability } from "./protocol.js";\nf(Capability.NDARRAY_BIN);')).toContain(
      'f("ndarray-bin")',
    );
  });
});
