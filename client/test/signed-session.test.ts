/** Sessions that verify signatures and attestations. */
import { beforeAll, describe, expect, test } from "vitest";
import {
  type Attested,
  Attester,
  type Message,
  MessageType,
  NdArray,
  Sealer,
  SigningKey,
  type Unattested,
} from "../src/index.js";
import { Form } from "../src/protocol.js";
import { attestation, bound, entry, key, OpeningClient, sealed, signed, summed } from "./sealed-peer.js";
import { until } from "./services.js";
import { alert, answer, control, EPOCH, ID, packed, STREAM, summary, template, templateFrame } from "./v4-peer.js";

const told = template();
let ours: SigningKey;
let others: SigningKey;

beforeAll(async () => {
  ours = await SigningKey.create(Uint8Array.from({ length: 32 }, (_, i) => 0x20 + i));
  others = await SigningKey.create(new Uint8Array(32).fill(7));
});

async function watching(more: ConstructorParameters<typeof OpeningClient>[0] = {}): Promise<OpeningClient> {
  const client = new OpeningClient({ signers: [ours.public], ...more });
  await client.took(answer({ next: 1 }), templateFrame(told, 1));
  client.sent();
  return client;
}

function marks(events: readonly { kind: string; message?: unknown }[]): unknown[] {
  return events.map((event) => (event.kind === "received" ? (event.message as Message).signature : event.kind));
}

describe("a signature", () => {
  test("that is right is told with its signer; that of somebody else, and none, too", async () => {
    const client = await watching();
    const frames = [await signed(packed(2), ours), await signed(packed(3), others), packed(4)];
    const events = await client.took(...frames);
    expect(marks(events)).toEqual(["valid", "unknown signer", undefined]);
    expect((events[0] as { message: Message }).message.signer).toEqual(ours.name);
    expect((events[0] as { message: Message }).message.data).toEqual({ features: { n: 2 }, stream: STREAM });
    expect(client.session.signatures).toMatchObject({ valid: 1, unknownSigner: 1, refused: 0 });
  });

  test("that is not right is refused, and says so", async () => {
    const client = await watching();
    const frame = await signed(packed(2), ours);
    frame[frame.length - 73] ^= 1; // the number in the payload
    const short = await signed(packed(3), ours);
    const events = await client.took(summed(frame), summed(short.slice(0, 32 + 71)));
    expect(summary(events)).toEqual(["refused 0x202 check 14", "refused 0x200 check 11"]);
    expect(events[0]).toMatchObject({ error: { reason: "signature" } });
    expect(client.sent()[0].data).toMatchObject({ code: 0x202, details: { reason: "signature" } });
    expect(client.session.signatures).toMatchObject({ refused: 1 });
  });

  test("is that of the record without filter, and of the payload in the seal", async () => {
    const client = await watching();
    client.receive(answer({ keys: [entry()], id: ID + 1, epoch: EPOCH + 1 }, "ecg/2"));
    const by = new Sealer(key(9, "ecg/2"));
    const second = template(1, "ecg/2");
    await client.took(await sealed(templateFrame(second, 1, ID + 1), by));
    const inSeal = await sealed(await signed(bound(second, 2, ID + 1), ours, "ecg/2"), by);
    const filtered = await refiltered(await signed(bound(told, 2), ours));
    const events = await client.took(filtered, inSeal);
    expect(marks(events)).toEqual(["valid", "valid"]);
    expect([...(events[0] as { message: Message<{ signal: NdArray }> }).message.data.signal.data][0]).toBe(2);
  });

  test("keeps the order: what is behind it waits, and what is urgent does not", async () => {
    const client = await watching();
    const first = client.receive(await signed(packed(2), ours), packed(3), alert(4));
    expect(summary(first)).toEqual(["received 4"]);
    expect(summary(await client.verifyAll())).toEqual(["received 2", "received 3"]);
  });

  test("is required for the types that are named", async () => {
    const client = await watching({ requireSignature: [MessageType.ANOMALY_ALERT] });
    const events = await client.took(alert(2), await signed(alert(3), others), await signed(alert(4), ours), packed(5));
    expect(events.map((event) => ("error" in event ? (event.error as { reason: string }).reason : event.kind))).toEqual(
      [
        "signature",
        "received", // it does not wait for what is urgent
        "signer",
        "received",
      ],
    );
  });

  test("of a message that was received is discarded under another number", async () => {
    const client = await watching();
    const frame = await signed(packed(2), ours);
    const again = frame.slice();
    again[31] = 3;
    expect(summary(await client.took(frame, again))).toEqual(["received 2"]);
  });

  test("of somebody unknown lets nothing go that is signed by somebody known", async () => {
    const client = await watching();
    const frames = [await signed(packed(2), others), await signed(packed(2), ours)];
    (frames[1] as Uint8Array)[31] = 3;
    expect(summary(await client.took(...frames))).toEqual(["received 2", "received 3"]);
  });

  test("of a bound record only", async () => {
    const stranger = new OpeningClient(); // knows no signers
    await stranger.took(answer({ next: 1 }), templateFrame(told, 1));
    const client = await watching();
    const unbound = told.encode(new NdArray(new Int16Array(8), [2, 4], "int16"), 0n, 2, { delta: false });
    const frame = control(MessageType.ECG_DATA, unbound, { form: Form.RECORD, streamId: ID, sequence: 2 });
    for (const one of [client, stranger])
      expect(summary(await one.took(await signed(frame, ours)))).toEqual(["refused 0x200 check 11"]);
  });

  test("is cut off where no signers are known", async () => {
    const client = new OpeningClient();
    await client.took(answer({ next: 1 }));
    const events = await client.took(await signed(packed(2), ours));
    expect(marks(events)).toEqual([undefined]);
    expect((events[0] as { message: Message }).message.data).toEqual({ features: { n: 2 }, stream: STREAM });
  });
});

/** The frame of a signed record with the filter delta instead of none: the signature stays. */
async function refiltered(frame: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const end = frame.length - 72;
  const { counts, time, sequence } = told.decode(frame.slice(32, end));
  const payload = told.encode(counts, time, sequence, { bound: true, delta: true });
  expect(payload[2]).toBe(1);
  return summed(new Uint8Array([...frame.slice(0, 32), ...payload, ...frame.slice(end)]));
}

describe("an attestation", () => {
  async function attesting(by = ours) {
    const client = await watching();
    const found: (Attested | Unattested)[] = [];
    client.seals.onAttestation = (stream, one) => {
      expect(stream).toBe(STREAM);
      found.push(one);
    };
    return { client, found, attester: new Attester(by, STREAM, EPOCH) };
  }

  const payloadOf = (frame: Uint8Array) => frame.slice(32);

  test("names the messages before it, records with a filter and templates as well", async () => {
    const { client, found, attester } = await attesting();
    const record = bound(told, 2);
    attester.add(MessageType.STREAM_TEMPLATE, 0, told.payload);
    attester.add(MessageType.ECG_DATA, Form.RECORD, payloadOf(record));
    attester.add(MessageType.FEATURE_DATA, 0, payloadOf(packed(3)));
    const delta = told.encode(told.decode(payloadOf(record)).counts, 16000n, 2, { bound: true });
    const options = { form: Form.RECORD, streamId: ID, sequence: 2 };
    const frames = [control(MessageType.ECG_DATA, delta, options), packed(3), packed(4)];
    const told4 = (await attester.attest()) as Uint8Array;
    const events = await client.took(...frames, attestation(told4, 5));
    expect(summary(events)).toEqual(["received 2", "received 3", "received 4", "explained 5"]);
    expect(found).toMatchObject([{ kind: "attested", numbers: [1, 2, 3], unseen: 0, missing: 0, last: false }]);
  });

  test("that is not right is refused; one of an unknown signer says nothing", async () => {
    const { client, found, attester } = await attesting();
    attester.add(MessageType.FEATURE_DATA, 0, payloadOf(packed(2)));
    const payload = (await attester.attest()) as Uint8Array;
    const changed = payload.slice();
    changed[changed.length - 1] ^= 1;
    const foreign = new Attester(others, STREAM, EPOCH);
    foreign.add(MessageType.FEATURE_DATA, 0, payloadOf(packed(2)));
    const theirs = (await foreign.attest()) as Uint8Array;
    const events = await client.took(
      packed(2),
      attestation(changed, 3),
      attestation(theirs, 4),
      attestation(payload, 5),
    );
    expect(summary(events)).toEqual(["received 2", "refused 0x202 check 14", "explained 4", "explained 5"]);
    expect(found).toMatchObject([{ kind: "attested", numbers: [2] }]);
    expect(client.session.signatures).toMatchObject({ refused: 1 });
  });

  test("that does not come, or passes a message over twice, leaves it unattested", async () => {
    const { client, found, attester } = await attesting();
    await client.took(packed(2));
    for (const number of [3, 5, 7]) {
      attester.add(MessageType.FEATURE_DATA, 0, payloadOf(packed(number)));
      await client.took(packed(number), attestation((await attester.attest()) as Uint8Array, number + 1));
    }
    await until(() => found.some(({ kind }) => kind === "unattested"));
    expect(found.filter(({ kind }) => kind === "unattested")).toMatchObject([{ numbers: [1, 2] }]);
  });
});
