/** Sealed payloads and signatures on WebCrypto: the vectors, what is refused, nonces, and what a viewer knows. */
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { cipher, decrypt, encrypt, hkdf } from "../src/codec/seal.js";
import {
  AttestationBook,
  Attester,
  checkStream,
  digest,
  Key,
  keyName,
  keysFromJson,
  type MessageType,
  NotOpened,
  type Opened,
  Opener,
  ProtocolError,
  pack,
  ReplayWindow,
  Sealer,
  SigningKey,
  StoredKeys,
  Verifier,
} from "../src/index.js";
import { fromHex, SEAL, toHex } from "./rendering.js";

const SECRET = fromHex(SEAL.key.secret);
const SENDER = fromHex(SEAL.key.sender);
const ALERT = fromHex(SEAL.signed[0].payload);
const FRAME = { version: 4, type: 2 as MessageType, stream: "ecg/1" } as const;
const PUBLIC = fromHex(SEAL.signer.public);
const NAME = fromHex(SEAL.signer.name);

const keyOf = (stream: string, id = 9) => new Key(id, stream, SECRET);
const openerOf = (stream = "ecg/1") => new Opener(new StoredKeys([keyOf(stream)]));

/** Draws the sender of the vectors. */
class Drawn extends Sealer {
  protected override draw(): Uint8Array {
    return SENDER;
  }
}

async function sealed(counter = 0, key = keyOf("ecg/1"), payload = ALERT, how: object = {}) {
  const sealer = new Drawn(key);
  for (let i = 0; i < counter; i++) sealer.seal(new Uint8Array(0), { version: 4, type: 1 });
  return sealer.seal(payload, { version: 4, type: 2, ...how });
}

async function verdict(work: () => unknown): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return [`0x${error.code.toString(16)}`, error.check, error.reason];
  }
  return "accepted";
}

describe("vectors", () => {
  test.each(SEAL.sealed.map((vector) => [vector.name, vector] as const))("sealed: %s", async (_, vector) => {
    const { version, flags, form, stream, counter } = vector;
    const header = { version, type: vector.type as MessageType, flags, form };
    const opened = await openerOf(stream).open(fromHex(vector.sealed), { ...header, stream });
    expect(opened).toMatchObject({ counter, sender: SENDER });
    expect(toHex((opened as Opened).payload)).toBe(vector.plain);
    if (counter > 1000) return;
    expect(toHex(await sealed(counter, keyOf(stream), fromHex(vector.plain), header))).toBe(vector.sealed);
  });

  test.each(SEAL.refused.map((vector) => [vector.name, vector] as const))("refused: %s", async (_, vector) => {
    const { version, type, flags, form, stream } = vector;
    const open = () =>
      openerOf().open(fromHex(vector.sealed), { version, type: type as MessageType, flags, form, stream });
    expect(await verdict(open)).toEqual([vector.code, vector.check, vector.reason]);
  });

  test("GCM", async () => {
    for (const { name, key, nonce, plain, associated, sealed: text, valid } of SEAL.primitives.gcm) {
      const aead = await cipher(fromHex(key));
      const opened = await decrypt(aead, fromHex(nonce), fromHex(text), fromHex(associated));
      expect(opened && toHex(opened), name).toBe(valid ? plain : null);
      if (valid) expect(toHex(await encrypt(aead, fromHex(nonce), fromHex(plain), fromHex(associated)))).toBe(text);
    }
  });

  test("HKDF", async () => {
    for (const { secret, salt, info, okm } of SEAL.primitives.hkdf)
      expect(toHex(await hkdf(fromHex(secret), fromHex(salt), fromHex(info), okm.length * 4))).toBe(okm);
    const info = new TextEncoder().encode("ecgframe seal 1\0ecg/1");
    expect(toHex(await hkdf(SECRET, SENDER, info, 352))).toBe(SEAL.key.derived + SEAL.key.iv);
  });

  test("Ed25519", async () => {
    for (const { name, secret, public: key, message, signature, valid } of SEAL.primitives.ed25519) {
      const verifier = await Verifier.create([fromHex(key)]);
      const found = await verifier.verifyBytes(await keyName(fromHex(key)), fromHex(signature), fromHex(message));
      expect(found, name).toBe(valid);
      if (secret === undefined) continue;
      const own = await SigningKey.create(fromHex(secret));
      expect(toHex(own.public)).toBe(key);
      expect(toHex(await own.signBytes(fromHex(message)))).toBe(signature);
    }
  });

  test("signatures", async () => {
    const key = await SigningKey.create(fromHex(SEAL.signer.secret));
    const verifier = await Verifier.create([PUBLIC]);
    for (const { name, stream, type, form, payload, digest: hashed, trailer } of SEAL.signed) {
      const how = [stream, type as MessageType, form] as const;
      expect(toHex(await digest(...how, fromHex(payload))), name).toBe(hashed);
      expect(toHex(await key.trailer(...how, fromHex(payload))), name).toBe(trailer);
      const signed = await verifier.verify(...how, fromHex(payload + trailer));
      expect([toHex(signed.payload), signed.signature, toHex(signed.signer)]).toEqual([payload, "valid", toHex(NAME)]);
    }
  });
});

describe("opening", () => {
  test("every byte that is changed", async () => {
    const payload = await sealed();
    for (let bit = 0; bit < 8 * payload.length; bit += 7) {
      const flipped = payload.slice();
      flipped[bit >> 3] ^= 0x80 >> (bit & 7);
      const open = async () => expect(await openerOf().open(flipped, FRAME)).toBe(NotOpened.UNKNOWN_KEY);
      const reason = bit >= 96 && bit < 104 ? "counter" : "tag";
      expect(await verdict(open)).toEqual(bit < 32 ? "accepted" : ["0x202", 8, reason]);
    }
  });

  test("every truncation", async () => {
    const payload = await sealed();
    for (let size = 0; size < payload.length; size++)
      expect(await verdict(() => openerOf().open(payload.subarray(0, size), FRAME))).toEqual(
        size < 32 ? ["0x200", 8, null] : ["0x202", 8, "tag"],
      );
  });

  test("a repeated message, over connections", async () => {
    const opener = openerOf();
    const [first, second] = [await opener.open(await sealed(), FRAME), await opener.open(await sealed(), FRAME)];
    expect(opener.take(first as Opened)).toBe(null);
    expect(opener.take(second as Opened)).toBe("repeated");
    expect(await opener.open(await sealed(), FRAME)).toBe("repeated");
    expect(await opener.open(await sealed(), { ...FRAME, again: true })).toMatchObject({ counter: 0 });
    const next = new Opener(new StoredKeys([keyOf("ecg/1")]), opener.window);
    expect(await next.open(await sealed(), FRAME)).toBe("repeated");
  });

  test("the stream in the map", async () => {
    const opened = (await openerOf().open(await sealed(), FRAME)) as Opened;
    const check = (data: unknown, version: 3 | 4) => verdict(() => checkStream(opened, data, version));
    for (const [data, version] of [
      [{ stream: "ecg/1" }, 3],
      [{}, 4],
    ] as const)
      expect(await check(data, version)).toBe("accepted");
    for (const [data, version] of [
      [{}, 3],
      [[], 3],
      [{ stream: "ecg/2" }, 4],
    ] as const)
      expect(await check(data, version)).toEqual(["0x202", 8, "stream"]);
  });

  test("a key that was taken away", async () => {
    const keys = new StoredKeys([keyOf("ecg/1")]);
    const opener = new Opener(keys);
    await opener.open(await sealed(), FRAME);
    keys.remove(9);
    expect(await opener.open(await sealed(1), FRAME)).toBe("unknown key");
    keys.add(new Key(9, "ecg/1", new Uint8Array(32)));
    expect(await verdict(async () => opener.open(await sealed(1), FRAME))).toEqual(["0x202", 8, "tag"]);
  });
});

describe("the replay window", () => {
  test("is that of a set", () => {
    const window = new ReplayWindow({ window: 3000 });
    const had = new Set<number>();
    let [highest, random] = [-1, 1];
    for (let step = 0; step < 20_000; step++) {
      random = (random * 48_271) % 0x7fff_ffff;
      const counter = step + (random % 5000);
      const expected = had.has(counter) || counter <= highest - 3000 ? "repeated" : null;
      expect(window.take(9, SENDER, counter)).toBe(expected);
      had.add(counter);
      highest = Math.max(highest, counter);
    }
  });

  test("keeps the highest counter of evicted senders", () => {
    const window = new ReplayWindow({ senders: 2, allSenders: 4 });
    const [a, b, c, d, e] = [0, 1, 2, 3, 4].map((i) => new Uint8Array(8).fill(i));
    expect([window.take(9, a, 1000), window.take(9, b, 5), window.take(9, c, 0)]).toEqual([null, null, null]);
    expect([0, 999, 1000].map((counter) => window.take(9, a, counter))).toEqual(Array(3).fill("repeated"));
    expect(window.take(9, a, 1002)).toBe(null);
    expect([0, 7, 1000, 1002].map((counter) => window.take(9, a, counter))).toEqual(Array(4).fill("repeated"));
    expect([window.take(9, a, 1001), window.take(9, b, 5)]).toEqual([null, "repeated"]);
    expect([window.take(9, d, 0), window.take(9, e, 0)]).toEqual([null, "too many senders"]);
  });
});

describe("nonces", () => {
  const noncesOf = (payloads: Uint8Array[]) => payloads.map((payload) => toHex(payload.subarray(4, 16)));
  const way = async (make: () => Sealer) => {
    const sealers = [make(), make()];
    const work = sealers.flatMap((sealer) =>
      Array.from({ length: 10 }, (_, i) => {
        if (i === 7) sealer.renew();
        return sealer.seal(ALERT, { version: 4, type: 2 });
      }),
    );
    const found = noncesOf(await Promise.all(work));
    return found.length - new Set(found).size;
  };

  test("never repeat over makers, ends and calls at once", async () => {
    expect(await way(() => new Sealer(keyOf("ecg/1"), { messages: 4 }))).toBe(0);
    expect(await way(() => new Sealer(keyOf("ecg/1"), { bytes: 2 * ALERT.length }))).toBe(0);
  });

  test("repeat where the sender does, which this test finds", async () => {
    expect(await way(() => new Drawn(keyOf("ecg/1"), { messages: 4 }))).toBeGreaterThan(0);
    expect(await way(() => new Drawn(keyOf("ecg/1")))).toBeGreaterThan(0);
  });

  test("a sealer cannot be cloned", () => {
    const clone = structuredClone(new Sealer(keyOf("ecg/1"))) as { seal?: unknown };
    expect(clone.seal).toBe(undefined);
  });

  test("what a sealer refuses", async () => {
    const sealer = new Sealer(keyOf("ecg/1"), { bytes: 10 });
    const seal = (how: object, payload = new Uint8Array(0)) =>
      sealer.seal(payload, { version: 4, type: 1, ...how } as never);
    await expect(seal({ type: 0x11 })).rejects.toThrow("type 0x11 is not sealed");
    await expect(seal({ version: 2 })).rejects.toThrow("version 2 has no sealed payloads");
    await expect(seal({ version: 3, form: 4 })).rejects.toThrow("version 3 has no form");
    await expect(seal({}, new Uint8Array(11))).rejects.toThrow("10 bytes at most");
    expect(() => new Sealer(keyOf("s"), { messages: 2 ** 24 + 1 })).toThrow(RangeError);
  });
});

describe("keys", () => {
  test("over time", () => {
    let now = 0;
    const [first, second] = [new Key(1, "s", SECRET, { ends: 100 }), new Key(2, "s", SECRET, { begins: 90 })];
    const keys = new StoredKeys([first, second], { opensAfter: 60, now: () => now });
    const found = [0, 90, 159, 160].map((moment) => {
      now = moment;
      return [keys.current("s")?.id, keys.upcoming("s")?.id, keys.find(1)?.id];
    });
    expect(found).toEqual([
      [1, 2, 1],
      [2, undefined, 1],
      [2, undefined, 1],
      [2, undefined, undefined],
    ]);
    expect(keys.current("t")).toBe(null);
    keys.remove(2);
    expect(() => keys.current("s")).toThrow("none of the 1 keys");
    expect(() => keys.add(new Key(1, "s", new Uint8Array(32)))).toThrow("the id 1");
    expect(() => new StoredKeys([first, first])).toThrow("two stream keys");
  });

  test("of JSON", () => {
    const entry = { stream: "ecg/1", id: 9, key: SEAL.key.secret };
    const [key] = keysFromJson(JSON.stringify([{ ...entry, ends: 5.5 }]));
    expect([key.id, key.stream, key.ends, key.isSame(keyOf("ecg/1"))]).toEqual([9, "ecg/1", 5.5, true]);
    for (const [text, words] of [
      [`[{"key": "${SEAL.key.secret}"`, "not JSON"],
      [JSON.stringify(entry), "not a JSON list"],
      [JSON.stringify([5]), "entry 0: not a map"],
      [JSON.stringify([entry, { stream: "s" }]), "entry 1: 'id' is missing"],
      [JSON.stringify([{ ...entry, end: 5 }]), "unknown field 'end'"],
      [JSON.stringify([{ ...entry, key: entry.key.slice(1) }]), "64 hexadecimal digits"],
      [JSON.stringify([{ ...entry, id: -1 }]), "id must be an integer"],
      [JSON.stringify([{ ...entry, stream: "s".repeat(257) }]), "stream must be text"],
      [JSON.stringify([{ ...entry, begins: 5, ends: 5 }]), "ends before it begins"],
    ]) {
      const error = thrown(() => keysFromJson(text)) as Error;
      expect(error.message).toContain(words);
      expect(inspect(error)).not.toContain(SEAL.key.secret.slice(0, 12));
    }
  });

  test("are in no text and no clone", async () => {
    const key = keyOf("ecg/1");
    const shown = [key, new Sealer(key), openerOf(), new StoredKeys([key]), await SigningKey.create(SECRET)];
    for (const one of shown)
      for (const text of [inspect(one, { depth: 9, showHidden: true }), JSON.stringify(structuredCloned(one))])
        expect(text).not.toMatch(/\b1, 2, 3, 4, 5|"1":1,"2":2|000102030405/);
  });
});

describe("attestations", () => {
  const message = (number: number) => pack({ kind: "beat", timestamp: number + 0.5 });
  const hashed = (number: number) => digest("ecg/1", 2, 0, message(number));
  const signer = () => SigningKey.create(fromHex(SEAL.signer.secret));

  async function attested(attester: Attester, ...numbers: number[]) {
    for (const number of numbers) attester.add(2, 0, message(number));
    return (await attester.attest()) as Uint8Array;
  }

  test("vectors", async () => {
    const book = new AttestationBook(await Verifier.create([PUBLIC]), "ecg/1", 1000);
    const verifier = await Verifier.create([PUBLIC]);
    for (const [index, { payload, digests }] of SEAL.attestations.entries()) {
      const told = await verifier.attestation(fromHex(payload), { stream: "ecg/1", epoch: 1000 });
      expect(told).toMatchObject({ signature: "valid", number: index + 1, last: index === 2 });
      expect(told.digests.map(toHex)).toEqual(digests);
      const [event] = await book.attest(fromHex(payload), 0);
      expect(event).toEqual({
        kind: "attested",
        numbers: [],
        signer: NAME,
        unseen: digests.length,
        missing: 0,
        last: index === 2,
      });
    }
    const attester = new Attester(await signer(), "ecg/1", 1000);
    attester.add(1, 4, fromHex(SEAL.signed[1].payload));
    expect(toHex((await attester.attest()) as Uint8Array)).toBe(SEAL.attestations[0].payload);
  });

  test("waits anew after a connection was lost", async () => {
    const book = new AttestationBook(await Verifier.create([PUBLIC]), "ecg/1", 1000);
    book.add(1, new Uint8Array(32), 0);
    book.waitAnew(9);
    expect(book.expire(18)).toBeNull();
    expect(book.expire(19)).toEqual({ kind: "unattested", numbers: [1] });
  });

  test("messages are attested, or not", async () => {
    const attester = new Attester(await signer(), "ecg/1", 1000);
    const book = new AttestationBook(await Verifier.create([PUBLIC]), "ecg/1", 1000);
    for (const number of [1, 2, 4]) book.add(number, await hashed(number), 0);
    const [first, second] = await Promise.all([attested(attester, 1, 2, 3), attested(attester, 5)]);
    const events = await Promise.all([book.attest(first, 1), book.attest(second, 2)]);
    expect(events.flat().map((event) => [event.kind, event.numbers])).toEqual([
      ["attested", [1, 2]],
      ["attested", []],
      ["unattested", [4]],
    ]);
    book.add(5, await hashed(9), 10);
    expect([book.expire(19.9), book.expire(20)]).toEqual([null, { kind: "unattested", numbers: [5] }]);
    expect(await verdict(() => book.attest(second, 3))).toEqual(["0x202", 14, "attestation"]);
    for (let number = 1; number <= 4096; number++) book.add(number, Uint8Array.of(number, number >> 8), 20);
    expect(book.add(4097, Uint8Array.of(0), 20)).toEqual({ kind: "unattested", numbers: [1] });
    expect(book.waiting).toBe(4096);
  });

  test("what is refused", async () => {
    const key = await signer();
    const verifier = await Verifier.create([PUBLIC]);
    const signed = fromHex(SEAL.signed[0].payload + SEAL.signed[0].trailer);
    const verify = (payload: Uint8Array, stream = "ecg/1") => verdict(() => verifier.verify(stream, 2, 0, payload));
    for (const bit of [0, 100, 8 * ALERT.length + 64, 8 * signed.length - 1]) {
      const flipped = signed.slice();
      flipped[bit >> 3] ^= 1 << (bit & 7);
      expect(await verify(flipped)).toEqual(["0x202", 14, "signature"]);
    }
    expect(await verify(signed, "ecg/2")).toEqual(["0x202", 14, "signature"]);
    expect(await verify(signed.subarray(0, 71))).toEqual(["0x200", 11, null]);
    const other = await SigningKey.create(new Uint8Array(32));
    const foreign = Uint8Array.of(...ALERT, ...(await other.trailer("ecg/1", 2, 0, ALERT)));
    expect((await verifier.verify("ecg/1", 2, 0, foreign)).signature).toBe("unknown signer");
    const required = () => verifier.verify("ecg/1", 2, 0, foreign, { required: true });
    expect(await verdict(required)).toEqual(["0x202", 14, "signer"]);
    const payload = fromHex(SEAL.attestations[0].payload);
    for (const [where, reason] of [
      [{ stream: "ecg/2" }, "stream"],
      [{ stream: "ecg/1", epoch: 999 }, "epoch"],
    ] as const)
      expect(await verdict(() => verifier.attestation(payload, where))).toEqual(["0x202", 14, reason]);
    payload[payload.length - 1] ^= 1;
    expect(await verdict(() => verifier.attestation(payload, { stream: "ecg/1" }))).toEqual(["0x202", 14, "signature"]);
    await expect(key.trailer("s", 0x24, 0, ALERT)).rejects.toThrow("does not get a trailer");
    expect(() => new Attester(key, "s", 1).add(0x11, 0, ALERT)).toThrow("not attested");
    await expect(digest("s", 1, 4, Uint8Array.of(0, 1, 1, 0))).rejects.toThrow("without filter");
    await expect(Verifier.create([new Uint8Array(31)])).rejects.toThrow("31 bytes");
  });
});

function thrown(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return null;
}

function structuredCloned(value: unknown): unknown {
  try {
    return structuredClone(value);
  } catch {
    return null; // the keyring of an opener has a function
  }
}
