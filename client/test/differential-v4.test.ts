/**
 * Mutated frames of version 4 through both languages, records by their templates: the same verdict, code and value.
 *
 *     ECGFRAME_FUZZ_FRAMES=100000 ECGFRAME_FUZZ_SEED=7 npx vitest run test/differential-v4.test.ts
 */
import { expect, test } from "vitest";
import {
  type DecodedRecord,
  lz4,
  type Message,
  ProtocolError,
  ProtocolHandler,
  Template,
  type TemplateBook,
} from "../src/index.js";
import { compared, FRAMES } from "./mutated-frames.js";
import { fromHex, fromJson, RECORDS, type Rendered, toHex } from "./rendering.js";
import { image } from "./same.js";
import { quieted, refusal } from "./verdicts.js";

interface Said {
  readonly frame: string;
  readonly code?: number;
  readonly check?: number;
  /** For check 12: the path of the fault. */
  readonly path?: string | null;
  readonly version?: number;
  readonly type?: number;
  readonly flags?: number;
  readonly timestamp?: string | null;
  readonly form?: number | null;
  readonly stream?: number | null;
  readonly sequence?: number | null;
  readonly data?: Rendered;
  /** For a record: the bytes that Python writes for the decoded record. */
  readonly again?: string;
}

const handler = new ProtocolHandler({ decompressors: [lz4] }); // as Python always has it
let last: DecodedRecord | undefined;
const TEMPLATES = [...RECORDS.accepted, ...RECORDS.refused].map((vector) =>
  Template.unpack(fromHex(vector.template_payload)),
);
const BOOK: TemplateBook = {
  get(stream, number) {
    const template = TEMPLATES[stream - 1];
    if (template?.number !== number) return undefined;
    const decode = (payload: Uint8Array, maxPayload: number) => {
      last = template.decode(payload, maxPayload);
      return last;
    };
    return { rows: template.rows, decode };
  },
};

function writtenAgain(stream = 0): string | undefined {
  return last && toHex(TEMPLATES[stream - 1].encode(last.counts, last.time, last.sequence));
}

/** Returns the verdicts of TypeScript and Python on a frame, in the same form. */
function both(said: Said): [unknown, unknown] {
  let message: Message | undefined;
  let path: string | null | undefined;
  last = undefined;
  const refused = refusal(() => {
    try {
      message = handler.decode(fromHex(said.frame), BOOK);
    } catch (error) {
      if (error instanceof ProtocolError && error.check === 12) path = error.path;
      throw error;
    }
  });
  if (!message)
    return [
      [refused, path],
      [said.code === undefined ? "accepted" : [said.code, said.check], said.path],
    ];
  if (said.code !== undefined) return ["accepted", [said.code, said.check]];
  const { version, type, flags, timestamp, form, streamId, sequence, data } = message;
  const time = timestamp === null ? null : String(timestamp);
  return [
    [
      ...[version, type, flags, time, form ?? null, streamId ?? null, sequence ?? null, writtenAgain(streamId)],
      image(quieted(data)),
    ],
    [
      ...[said.version, said.type, said.flags, said.timestamp, said.form, said.stream, said.sequence, said.again],
      image(quieted(fromJson(said.data as Rendered))),
    ],
  ];
}

test(`${FRAMES} mutated frames of version 4 get Python's verdict, code and value`, {
  timeout: 60_000 + 20 * FRAMES,
}, async () => {
  let records = 0;
  const verdicts = await compared<Said>("differential_v4.py", both, ({ code, form }) => {
    if (code === undefined && (form ?? 0) & 4) records++;
  });
  // Neither all refused nor all read, or nothing was compared.
  expect(records).toBeGreaterThan(FRAMES / 20);
  expect(verdicts.get("0x200 at check 11")).toBeGreaterThan(FRAMES / 20);
  expect(verdicts.get("0x200 at check 6")).toBeGreaterThan(FRAMES / 100);
});
