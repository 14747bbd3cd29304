/** The service over version 4, with a server in virtual time. */
import { describe, expect, test, vi } from "vitest";
import { ecgData, Flag, MessageType, NdArray, ProtocolHandler } from "../src/index.js";
import {
  alert,
  answer,
  broken,
  control,
  EPOCH,
  ID,
  packed,
  record,
  STREAM,
  template,
  templateFrame,
} from "./v4-peer.js";
import { VirtualClient, type VirtualSocket, virtualTime } from "./v4-server.js";

const told = template();

/** Grants the subscription, and returns what the client asked for. */
function grant(socket: VirtualSocket, next: number, more: Record<string, unknown> = {}): Record<string, unknown> {
  const [asked] = socket.take(MessageType.SUBSCRIBE);
  socket.deliver(answer({ next, templates: [templateFrame(told, 1)], ...more }));
  return asked;
}

/** A client that has 58 and 59. */
function watching(onMessage?: (message: unknown) => unknown): VirtualClient {
  virtualTime();
  const client = new VirtualClient({}, onMessage);
  client.socket.open();
  expect(grant(client.socket, 58)).toEqual({ stream: STREAM });
  client.socket.deliver(record(told, 58));
  client.socket.deliver(record(told, 59));
  return client;
}

/** The client comes back; returns the socket and what it asks for. */
function back(client: VirtualClient, next: number, more: Record<string, unknown> = {}): VirtualSocket {
  client.socket.cut();
  const { socket } = client;
  socket.open();
  grant(socket, next, more);
  return socket;
}

function received(client: VirtualClient, i: number) {
  const seen = client.seen[i];
  if (!("message" in seen)) throw new Error("a gap");
  return seen.message;
}

test("version 4 is not agreed on unless the options ask for it", () => {
  virtualTime();
  const client = new VirtualClient({ versions: [1, 2, 3] });
  client.socket.open();
  expect(client.service.negotiated?.version).toBe(3);
});

test("records arrive as messages of version 3 do", () => {
  const client = watching();
  expect(client.service.negotiated?.version).toBe(4);
  expect(client.told).toEqual([58, 59]);
  const { leads, samplingRate, signal } = ecgData(received(client, 0));
  expect([leads, samplingRate, [...signal.row(1).data]]).toEqual([["I", "II"], 500, [62, 63, 64, 65]]);
});

describe("numbers", () => {
  test("tell what is lost, exactly, and what is had", () => {
    const client = watching();
    for (const frame of [alert(61), record(told, 63), record(told, 63), alert(61), alert(62), record(told, 64)])
      client.socket.deliver(frame);
    expect(client.told).toEqual([58, 59, 61, "lost 2", 63, 64]);
    expect(client.service.statistics).toMatchObject({ droppedByServer: 2, refused: 0 });
  });

  test("count templates and attestations, which the application does not get", () => {
    const client = watching();
    const signed = {
      stream: STREAM,
      key: new Uint8Array(8),
      epoch: EPOCH,
      number: 1,
      last: false,
      previous: new Uint8Array(32),
      digests: new Uint8Array(64),
      signature: new Uint8Array(64),
    };
    client.socket.deliver(templateFrame(template(2), 60));
    client.socket.deliver(control(MessageType.STREAM_ATTESTATION, signed, { streamId: ID, sequence: 61 }));
    client.socket.deliver(record(template(2), 62));
    expect(client.told).toEqual([58, 59, 62]);
  });

  test("say what notices of dropped messages say, which are not told twice", () => {
    const client = watching();
    const details = { stream: STREAM, from: 1, to: 2, dropped: 3 };
    client.socket.deliver(control(MessageType.ERROR, { code: 0x204, message: "dropped", details }));
    client.socket.deliver(record(told, 63));
    expect(client.told).toEqual([58, 59, "lost 3", 63]);
    expect(client.errors).toEqual([]);
  });

  test("are not those of messages of no stream, which do not move the position", () => {
    const client = watching();
    client.socket.deliver(control(MessageType.ECG_DATA, { n: 1, stream: STREAM }, { timestamp: 1n }));
    client.socket.deliver(record(told, 60));
    expect(client.told).toEqual([58, 59, 0, 60]);
  });
});

describe("a viewer that comes back", () => {
  test("asks behind its number, and misses nothing", () => {
    const client = watching();
    client.socket.deliver(alert(61));
    client.socket.cut();
    const { socket } = client;
    socket.open();
    expect(grant(socket, 60)).toMatchObject({ stream: STREAM, epoch: EPOCH, after: 59, since: expect.anything() });
    for (const frame of [record(told, 60), alert(61), record(told, 62)]) socket.deliver(frame);
    expect(client.told).toEqual([58, 59, 61, 60, 62]);
  });

  test("asks behind the number that the answer told, where no message had come", () => {
    virtualTime();
    const client = new VirtualClient();
    client.socket.open();
    grant(client.socket, 58);
    client.socket.cut();
    client.socket.open();
    expect(grant(client.socket, 58)).toMatchObject({ epoch: EPOCH, after: 57 });
    expect(client.told).toEqual([]);
  });

  test("is told exactly what the server no longer keeps", () => {
    const client = watching();
    client.socket.deliver(alert(62));
    const socket = back(client, 65);
    socket.deliver(record(told, 65));
    expect(client.told).toEqual([58, 59, 62, "lost 4", 65]);
  });

  test("is told a gap of unknown length if the server has another epoch", () => {
    const client = watching();
    const socket = back(client, 3, { id: 2, epoch: 5, templates: [templateFrame(told, 1, 2)] });
    socket.deliver(record(told, 3, 2));
    socket.deliver(record(told, 5, 2));
    expect(client.told).toEqual([58, 59, "lost ?", 3, "lost 1", 5]);
    socket.cut();
    client.socket.open();
    expect(grant(client.socket, 6, { id: 3, epoch: 5, templates: [] })).toMatchObject({ epoch: 5, after: 5 });
  });

  test("asks by time after a server of version 3, and takes an alert once that it had from there", () => {
    const client = watching();
    client.socket.cut();
    const old = new ProtocolHandler({ version: 3 });
    client.socket.open([1, 2, 3]);
    const [asked] = client.socket.take(MessageType.SUBSCRIBE);
    expect(asked).toEqual({ stream: STREAM, since: expect.anything() });
    client.socket.deliver(old.encode(MessageType.SUBSCRIPTION_ACK, { stream: STREAM, status: "subscribed" }));
    const at = (received(client, 1).timestamp as bigint) + 1000n;
    const data = { stream: STREAM };
    client.socket.deliver(old.encode(MessageType.ECG_DATA, data, { timestamp: at }));
    client.socket.deliver(old.encode(MessageType.ANOMALY_ALERT, data, { timestamp: at + 9n, flags: Flag.PRIORITY }));
    client.socket.cut();
    client.socket.open();
    const [again] = client.socket.take(MessageType.SUBSCRIBE);
    expect(again).toEqual({ stream: STREAM, since: Number(at) / 1e6 });
    client.socket.deliver(answer({ next: 61, templates: [templateFrame(told, 1)] }));
    client.socket.deliver(alert(61, ID, { timestamp: at + 9n }));
    client.socket.deliver(record(told, 62));
    expect(client.told).toEqual([58, 59, undefined, undefined, 62]);
  });
});

test("another epoch on the same connection is told before its first message, behind the rest of the one before", () => {
  const client = watching();
  const { socket } = client;
  socket.deliver(answer({ id: 8, epoch: 5, next: 1, templates: [templateFrame(told, 1, 8)] }));
  socket.deliver(record(told, 60));
  socket.deliver(record(told, 1, 8));
  socket.deliver(record(told, 61));
  expect(client.told).toEqual([58, 59, 60, "lost ?", 1, 61]);
  expect(back(client, 2, { id: 8, epoch: 5, templates: [] })).not.toBe(socket);
  expect(client.told).toEqual([58, 59, 60, "lost ?", 1, 61]);
});

test("an answer that comes unasked as the viewer fell out of the ring brings templates, and the numbers tell the rest", () => {
  const client = watching();
  client.socket.deliver(answer({ next: 70, templates: [templateFrame(template(2), 69)] }));
  client.socket.deliver(record(told, 60));
  client.socket.deliver(record(template(2), 70));
  expect(client.told).toEqual([58, 59, 60, "lost 9", 70]);
});

test("a subscription that the server ends unasked is denied", () => {
  const client = watching();
  client.socket.deliver(control(MessageType.SUBSCRIPTION_ACK, { stream: STREAM, status: "denied", code: 0x203 }));
  expect(client.errors).toMatchObject([{ code: 0x203 }]);
  client.socket.deliver(record(told, 60));
  expect(client.told).toEqual([58, 59]);
});

describe("a refused message", () => {
  test("is lost if the next one arrives", () => {
    const client = watching();
    client.socket.deliver(broken(packed(60)));
    client.socket.deliver(packed(61));
    expect(client.told).toEqual([58, 59, "lost 1", 61]);
  });

  test("comes again after five of them, with the template that was missing", () => {
    const client = watching();
    const { socket } = client;
    for (const number of [60, 61, 62, 63, 64]) socket.deliver(record(template(2), number));
    expect(socket.isOpen).toBe(false);
    client.socket.open();
    expect(grant(client.socket, 60, { templates: [templateFrame(template(2), 40)] })).toMatchObject({ after: 59 });
    for (const number of [60, 61, 62, 63, 64]) client.socket.deliver(record(template(2), number));
    expect(client.told).toEqual([58, 59, 60, 61, 62, 63, 64]);
  });

  test("is passed over, as a gap, where it is refused over the next connection, too", () => {
    const client = watching();
    for (const number of [60, 61, 62, 63, 64]) client.socket.deliver(record(template(2), number));
    client.socket.open();
    grant(client.socket, 60);
    for (const number of [60, 61, 62, 63, 64, 65, 66]) client.socket.deliver(record(template(2), number));
    expect(client.socket.isOpen).toBe(true); // 65 and 66 are the first two errors
    client.socket.deliver(record(told, 67));
    expect(client.told).toEqual([58, 59, ...Array(5).fill("lost 1"), "lost 2", 67]);
    expect(client.socket.take(MessageType.ERROR).length).toBe(7);
  });
});

describe("an acknowledgement", () => {
  const flags = Flag.ACK_REQUIRED | Flag.PRIORITY;
  const acknowledged = (socket: VirtualSocket) =>
    socket.take(MessageType.PONG).flatMap(({ ack }) => (ack === undefined ? [] : [ack]));

  test("is repeated for a message that comes again and was handed over", () => {
    const client = watching();
    client.socket.deliver(alert(61, ID, { flags, timestamp: 100n }));
    expect(acknowledged(client.socket)).toEqual([100]);
    const socket = back(client, 60);
    socket.deliver(alert(61, ID, { flags, timestamp: 200n }));
    expect(acknowledged(socket)).toEqual([200]);
    expect(client.told).toEqual([58, 59, 61]);
  });

  test("waits while the application works on the message, however often it comes", async () => {
    let finish = () => {};
    const client = watching(
      () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
    );
    client.socket.deliver(alert(61, ID, { flags, timestamp: 100n }));
    const socket = back(client, 60);
    socket.deliver(alert(61, ID, { flags, timestamp: 200n }));
    expect(acknowledged(socket)).toEqual([]);
    finish();
    await vi.advanceTimersByTimeAsync(1);
    socket.deliver(alert(61, ID, { flags, timestamp: 200n }));
    expect(acknowledged(socket)).toContain(200);
    expect(client.told).toEqual([58, 59, 61]);
  });
});

test("a stream that is left and subscribed again takes nothing that was on its way to the first subscription", () => {
  const client = watching();
  const { socket, service } = client;
  const [subscription] = client.subscriptions;
  void subscription.unsubscribe();
  const seen: unknown[] = [];
  service.subscribe(STREAM, (message) => seen.push(message.sequence), { onGap: (gap) => seen.push(gap) });
  socket.deliver(record(told, 60));
  socket.deliver(answer({ id: 8, epoch: 5, next: 1 })); // another epoch, for the first
  socket.deliver(control(MessageType.SUBSCRIPTION_ACK, { stream: STREAM, status: "unsubscribed" }));
  socket.deliver(record(told, 61));
  socket.deliver(packed(1, 8));
  socket.deliver(answer({ id: 8, epoch: 5, next: 3, templates: [templateFrame(told, 2, 8)] }));
  socket.deliver(record(told, 3, 8));
  socket.deliver(record(told, 5, 8));
  expect(client.told).toEqual([58, 59]);
  expect(seen).toEqual([3, expect.objectContaining({ frames: 1 }), 5]);
  expect(client.errors).toEqual([]);
});

test("a stream that is subscribed again from before its position comes from there, each message once", () => {
  const client = watching();
  const { socket, service } = client;
  void client.subscriptions[0].unsubscribe();
  const seen: unknown[] = [];
  const since = received(client, 0).timestamp as bigint;
  service.subscribe(STREAM, (message) => seen.push(message.sequence), { since, onGap: (gap) => seen.push(gap) });
  socket.deliver(record(told, 60)); // sent before UNSUBSCRIBE arrived; what waited then, the server discards
  socket.deliver(control(MessageType.SUBSCRIPTION_ACK, { stream: STREAM, status: "unsubscribed" }));
  socket.deliver(answer({ next: 59, templates: [templateFrame(told, 1)] }));
  for (const number of [59, 60, 61]) socket.deliver(record(told, number));
  expect(seen).toEqual([59, 60, 61]);
});

test("what is sent has version 4, MessagePack, and no stream", async () => {
  const client = watching();
  const { socket, service } = client;
  const signal = new NdArray(new Int16Array(4), [4], "int16");
  await service.sendMessage(MessageType.ECG_DATA, { signal, samplingRate: 250, stream: STREAM, timestamp: 1000 });
  const message = socket.heard.find(({ type }) => type === MessageType.ECG_DATA);
  expect(message).toMatchObject({ version: 4, form: 0, streamId: 0, sequence: 0 });
  expect(message?.data).toMatchObject({ stream: STREAM, sampling_rate: 250, timestamp: 1 });
});
