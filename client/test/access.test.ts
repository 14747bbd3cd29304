/** URLs and tokens that are asked for before each attempt to connect, and rights that end. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { WebSocketServer } from "ws";
import { type ConnectionLost, MessageType, type ServiceOptions } from "../src/index.js";
import type { WebSocketConstructor } from "../src/service/connection.js";
import type { Script } from "./scripted.js";
import { collected, impatient, next, scripted, until } from "./services.js";

const STREAM = "ecg/1";
const AUTHENTICATION_FAILED = 0x202;
const PERMISSION_DENIED = 0x203;

const staying: Script = async (talk) => {
  await talk.negotiate();
  await talk.stay();
};
const leaving: Script = async (talk) => {
  await talk.negotiate();
};
const refusing: Script = async (talk) => {
  talk.say(MessageType.ERROR, { code: AUTHENTICATION_FAILED, message: "authentication failed" }, { version: 1 });
  talk.close(1008);
  await talk.stay();
};

/** A function that returns one token after the other, as a promise. */
function tokens() {
  const asked: string[] = [];
  return {
    asked,
    token: async () => {
      asked.push(`t${asked.length + 1}`);
      return asked.at(-1) as string;
    },
  };
}

describe("access", () => {
  test("is asked for before each attempt, and the token offered as a subprotocol", async () => {
    const offers: string[][] = [];
    const server = new WebSocketServer({
      port: 0,
      host: "127.0.0.1",
      handleProtocols: (names) => {
        offers.push([...names]);
        return "ecgframe";
      },
    });
    onTestFinished(() => void server.close());
    server.on("connection", (socket) => socket.terminate());
    await once(server, "listening");
    const { token } = tokens();
    const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (const options of [{ token }, { token, protocols: async () => ["mine"] }, { token: "fixed" }, {}]) {
      await expect(impatient(options).connect(() => Promise.resolve(url))).rejects.toThrow("broke off");
    }
    expect(offers).toEqual([
      ["ecgframe", "bearer.t1"],
      ["mine", "bearer.t2"],
      ["ecgframe", "bearer.fixed"],
    ]);
  });

  test("is asked for again when a connection is lost", async () => {
    const { asked, token } = tokens();
    const urls = [await scripted(leaving), await scripted(staying)];
    let calls = 0;
    const service = impatient({ token });
    await service.connect(async () => urls[calls++] as string);
    await next(service, "negotiated");
    expect(asked).toEqual(["t1", "t2"]);
    expect(calls).toBe(2);
  });

  test("is asked for once more after a refusal", async () => {
    const { asked, token } = tokens();
    const service = impatient({ token });
    await service.connect(await scripted(refusing, leaving, refusing, staying));
    await next(service, "negotiated");
    expect(asked).toEqual(["t1", "t2", "t3", "t4"]);
  });

  test.each<[string, ServiceOptions, number]>([
    ["a function", { token: async () => "stale" }, 2],
    ["a text", { token: "stale" }, 1],
    ["a function, without reconnection", { token: async () => "stale", reconnect: false }, 1],
  ])("that is refused ends the service: %s", async (_, options, attempts) => {
    let count = 0;
    const counting: Script = async (talk) => {
      count++;
      await refusing(talk);
    };
    const failure = await impatient(options)
      .connect(await scripted(counting, counting, counting))
      .catch((error: ConnectionLost) => error);
    expect((failure as ConnectionLost).code).toBe(1008);
    expect((failure as ConnectionLost).error?.code).toBe(AUTHENTICATION_FAILED);
    expect(count).toBe(attempts);
  });

  test.each([
    ["a promise that is rejected", () => Promise.reject(new Error("no token")), "Error: no token"],
    ["a promise that is never settled", () => new Promise<string>(() => {}), "took longer than 0.02 s"],
    ["no text", () => 5 as unknown as string, "a URL is a string, not number"],
  ])("that fails is told: %s", async (_, url, text) => {
    await expect(impatient({ connectTimeout: 20 }).connect(url)).rejects.toThrow(text);
  });

  test("that fails while the service reconnects is asked for again later", async () => {
    let calls = 0;
    const service = impatient({
      token: async () => {
        if (++calls === 2) throw new Error("no token now");
        return "fresh";
      },
    });
    const errors = collected(service, "error");
    await service.connect(await scripted(leaving, staying));
    await next(service, "negotiated");
    expect(calls).toBe(3);
    expect(errors.map(({ error }) => error.message)).toEqual([
      "no connection: no URL or credentials: Error: no token now",
    ]);
  });

  test("that comes after the service was closed opens nothing", async () => {
    let answer = (_: string) => {};
    const opens = vi.fn();
    const service = impatient({ WebSocket: opens as unknown as WebSocketConstructor });
    const opened = service.connect(
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    );
    const closed = service.close();
    await expect(opened).rejects.toThrow("closed");
    await closed;
    answer("ws://127.0.0.1:9");
    await new Promise((resolve) => setTimeout(resolve));
    expect(opens).not.toHaveBeenCalled();
    expect(service.state).toBe("closed");
  });
});

describe("a right that ends", () => {
  test("ends the subscription of a viewer of version 3, and no other", async () => {
    const service = impatient();
    await service.connect(
      await scripted(async (talk) => {
        await talk.negotiate();
        await talk.grant();
        await talk.grant();
        talk.say(MessageType.SUBSCRIPTION_ACK, { stream: STREAM, status: "denied", code: PERMISSION_DENIED });
        talk.say(MessageType.ECG_DATA, { signal: [1], sampling_rate: 250, stream: "ecg/2" });
        await talk.stay();
      }),
    );
    const errors = collected(service, "error");
    const lost = service.subscribe(STREAM, () => {});
    const kept = new Promise((resolve) => service.subscribe("ecg/2", resolve));
    await kept;
    await until(() => lost.status === "denied");
    expect(errors.map(({ error }) => error.message)).toEqual([expect.stringContaining("denied the stream")]);
  });
});
