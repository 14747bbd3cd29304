/** Anything that arrives on a sealed stream is accepted, refused or discarded, and nothing else happens. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Attester, MessageType, ProtocolError, Sealer, SigningKey } from "../src/index.js";
import { attestation, bound, entry, key, OpeningClient, sealed, signed, summed as summedAs } from "./sealed-peer.js";
import { alert, answer, EPOCH, packed, STREAM, template, templateFrame } from "./v4-peer.js";

const told = template();

test("sealed and signed frames with bytes changed", async () => {
  const by = new Sealer(key());
  const signer = await SigningKey.create(new Uint8Array(32).fill(3));
  const frames = [
    await sealed(bound(told, 2), by),
    await sealed(await signed(packed(3), signer), by),
    await signed(alert(4), signer),
    await sealed(templateFrame(template(2), 5), by),
    attestation(await attested(signer), 6),
    answer({ keys: [entry()], templates: [await sealed(templateFrame(told, 1), by)] }),
  ];
  const change = fc.record({
    frame: fc.nat(frames.length - 1),
    changes: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
    cut: fc.option(fc.nat(300)),
    summed: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
      const client = new OpeningClient({ signers: [signer.public] });
      await client.took(answer({ next: 1, keys: [entry()], templates: [await sealed(templateFrame(told, 1), by)] }));
      for (const { frame, changes: bytes, cut, summed } of changes) {
        const changed = frames[frame].slice(0, cut ?? undefined);
        for (const [at, value] of bytes) changed[at % Math.max(changed.length, 1)] = value;
        const events = await client.took(summed ? resummed(changed) : changed);
        for (const event of events) if (event.kind === "refused") expect(event.error).toBeInstanceOf(ProtocolError);
        if (client.session.closing) break;
      }
      client.now += 60;
      client.tick();
    }),
    { numRuns: 60 },
  );
});

async function attested(signer: SigningKey): Promise<Uint8Array> {
  const attester = new Attester(signer, STREAM, EPOCH);
  attester.add(MessageType.PREDICTION_RESULT, 0, Uint8Array.of(0xc0));
  return (await attester.attest()) as Uint8Array;
}

/** The frame with the checksum and the length of what it has. */
function resummed(frame: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (frame.length < 32 || frame[0] !== 4) return frame;
  return summedAs(frame);
}
