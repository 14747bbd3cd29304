import { expect, test } from "vitest";
import { signersIn } from "../src/authenticity.js";
import { faultInWords, knownInDetail, knownInWords, refusedInWords } from "../src/authenticity-words.js";

const NOTHING = { isSealed: false, signers: [], strangers: [], unattested: 0 };
const NAME = "24f6ed6acbfe1009";

test("a plain stream without signatures needs no words", () => {
  expect(knownInWords(NOTHING)).toBe("");
  expect(knownInDetail(NOTHING)).toBe("");
});

test.each([
  [{ isSealed: true }, "Sealed"],
  [{ isSealed: true, signers: [NAME] }, "Sealed · signed by 24f6ed6a"],
  [{ signers: [NAME], unattested: 4 }, "Signed by 24f6ed6a · not attested"],
  [{ strangers: [NAME] }, "Unknown signer 24f6ed6a"],
])("what is known of a stream: %o", (known, words) => {
  expect(knownInWords({ ...NOTHING, ...known })).toBe(words);
});

test("what was refused is said, and how often", () => {
  const plain = faultInWords("plain") as string;
  const signature = faultInWords("signature") as string;
  expect(refusedInWords(new Map([[plain, 2]]))).toBe(
    "Data that is not sealed came on this sealed stream (2 times). It is not shown.",
  );
  expect(
    refusedInWords(
      new Map([
        [plain, 1],
        [signature, 1],
      ]),
    ),
  ).toContain("; a signature is wrong or missing.");
  expect(refusedInWords(new Map())).toBe("");
  expect(refusedInWords(new Map(), 20)).toBe("No signer has attested 20 of the messages that are shown.");
  expect(refusedInWords(new Map([["x", 1]]), 1)).toBe(
    "X. It is not shown. No signer has attested 1 of the messages that are shown.",
  );
});

test("other errors say nothing about authenticity", () => {
  for (const reason of [null, "template", "fragment", "toString"]) expect(faultInWords(reason)).toBeNull();
});

test("signers in the address are public keys of 32 bytes", () => {
  const { keys, faults } = signersIn(`?stream=ecg/1&signer=${"0a".repeat(32)}&signer=12`);
  expect(keys).toEqual([new Uint8Array(32).fill(10)]);
  expect(faults).toHaveLength(1);
  expect(signersIn("?stream=ecg/1")).toEqual({ keys: [], faults: [] });
});
