/**
 * The published vectors of AES-GCM, HKDF and Ed25519 through this package's own functions. `tests/public_vectors.py` says what
 * `ECGFRAME_VECTORS` names; without it, nothing is tested here.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { cipher, decrypt, encrypt, hkdf } from "../src/codec/seal.js";
import { keyName, SigningKey, Verifier } from "../src/codec/signing.js";
import { PYTHON } from "./peer/peer.js";
import { fromHex, toHex } from "./rendering.js";

interface Case {
  readonly name: string;
  readonly valid?: boolean;
  readonly [field: string]: string | boolean | undefined;
}
type Cases = Record<"gcm" | "hkdf" | "ed25519", readonly Case[]>;

const hasVectors = process.env.ECGFRAME_VECTORS !== undefined;
const reader = fileURLToPath(new URL("../../tests/public_vectors.py", import.meta.url));
const cases: Cases = hasVectors
  ? JSON.parse(execFileSync(PYTHON, [reader], { encoding: "utf8", maxBuffer: 2 ** 28 }))
  : { gcm: [], hkdf: [], ed25519: [] };
const bytes = (one: Case, name: string) => fromHex(one[name] as string);

describe.skipIf(!hasVectors)("published vectors", () => {
  test("GCM", async () => {
    for (const one of cases.gcm) {
      const [aead, nonce, associated] = [
        await cipher(bytes(one, "key")),
        bytes(one, "nonce"),
        bytes(one, "associated"),
      ];
      const opened = await decrypt(aead, nonce, bytes(one, "sealed"), associated);
      expect(opened && toHex(opened), one.name).toBe(one.valid ? one.plain : null);
      if (one.valid)
        expect(toHex(await encrypt(aead, nonce, bytes(one, "plain"), associated)), one.name).toBe(one.sealed);
    }
    expect(new Set(cases.gcm.map(({ valid }) => valid))).toEqual(new Set([true, false]));
  });

  test("HKDF", async () => {
    for (const one of cases.hkdf) {
      const [secret, salt, info] = ["secret", "salt", "info"].map((name) => bytes(one, name));
      expect(toHex(await hkdf(secret, salt, info, (one.okm as string).length * 4)), one.name).toBe(one.okm);
    }
    expect(cases.hkdf.length).toBeGreaterThan(0);
  });

  test("Ed25519", async () => {
    for (const one of cases.ed25519) {
      const key = bytes(one, "public");
      const verifier = await Verifier.create([key]);
      const found = await verifier.verifyBytes(await keyName(key), bytes(one, "signature"), bytes(one, "message"));
      expect(found, one.name).toBe(one.valid);
      if (one.secret === undefined) continue;
      const own = await SigningKey.create(bytes(one, "secret"));
      expect(toHex(own.public), one.name).toBe(one.public);
      expect(toHex(await own.signBytes(bytes(one, "message"))), one.name).toBe(one.signature);
    }
    expect(new Set(cases.ed25519.map(({ valid }) => valid))).toEqual(new Set([true, false]));
  });
});
