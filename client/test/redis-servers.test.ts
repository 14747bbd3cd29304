/** A viewer that moves between two servers, which share a Redis that fails: each message once, or a told loss. */
import { existsSync } from "node:fs";
import { createServer, connect as dial, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { type Gap, MessageType, type StreamMessage } from "../src/index.js";
import { Peer } from "./peer/peer.js";
import { collected, impatient, until } from "./services.js";

const STREAM = "ecg/1";
const isThere = existsSync("/usr/bin/redis-server") || process.env.ECGFRAME_REQUIRE_PEERS === "1";

/** A way to one of several ports, which can be cut, and leads to another port then. */
class Balancer {
  readonly #ports: readonly number[];
  readonly #sockets = new Set<Socket>();
  #next = 0;
  url = "";

  constructor(ports: readonly number[]) {
    this.#ports = ports;
  }

  async listen(): Promise<void> {
    const server = createServer((client) => {
      const target = dial(this.#ports[this.#next], "127.0.0.1");
      for (const socket of [client, target]) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => {
          this.#sockets.delete(socket);
          client.destroy();
          target.destroy();
        });
      }
      client.pipe(target).pipe(client);
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    onTestFinished(() => {
      this.cut();
      server.close();
    });
    this.url = `ws://127.0.0.1:${(server.address() as { port: number }).port}/ws`;
  }

  /** Cuts the connection; the next one leads to the other server, or to the same one. */
  cut(moves = true): void {
    if (moves) this.#next = 1 - this.#next;
    for (const socket of this.#sockets) socket.destroy();
  }
}

interface Said {
  readonly who: number;
  readonly n: number;
}

/** What a viewer has, in order. */
class Account {
  readonly items: (Said | Gap)[] = [];

  take = ({ data, type }: StreamMessage): void => {
    if (type === MessageType.ECG_DATA) expect(data.signal).toMatchObject({ shape: [3, 25], dtype: "int16" });
    this.items.push({ who: Number(data.who), n: Number(data.sequence) });
  };

  get said(): Said[] {
    return this.items.filter((item): item is Said => "who" in item);
  }

  get gaps(): Gap[] {
    return this.items.filter((item): item is Gap => "frames" in item);
  }

  has(who: number, n: number): boolean {
    return this.said.some((each) => each.who === who && each.n === n);
  }

  /** Checks that each message came once, or is told to be lost. Returns how many are missing. */
  check(published: readonly number[]): number {
    let missing = 0;
    for (const [who, last] of published.entries()) {
      const numbers = this.said.filter((each) => each.who === who).map(({ n }) => n);
      expect(numbers.length - new Set(numbers).size, `twice, of ${who}: ${twice(numbers)}`).toBe(0);
      const unknown = this.#inGapsWithoutACount(who, last);
      for (let n = numbers[0]; n <= last; n++) if (!numbers.includes(n) && !unknown.has(n)) missing++;
    }
    const counted = this.gaps.reduce((sum, { frames }) => sum + (frames ?? 0), 0);
    expect(missing, "missing, and counted as lost").toBeLessThanOrEqual(counted);
    return missing;
  }

  /** The numbers of a publisher that may be missing in gaps without a count: those between its messages around it. */
  #inGapsWithoutACount(who: number, last: number): Set<number> {
    const found = new Set<number>();
    let latest = 0;
    let isOpen = false;
    for (const item of [...this.items, { who, n: last + 1 }]) {
      if ("frames" in item) isOpen ||= item.frames === null;
      else if (item.who === who) {
        if (isOpen) for (let n = latest + 1; n < item.n; n++) found.add(n);
        isOpen = false;
        latest = Math.max(latest, item.n);
      }
    }
    return found;
  }
}

function twice(numbers: readonly number[]): string {
  return numbers.filter((n, i) => numbers.indexOf(n) !== i).join(" ");
}

/** What happens to Redis, with pauses in which viewers move. */
type Fault = (fleet: Peer, moving: () => Promise<void>) => Promise<void>;

const FAULTS: Record<string, Fault> = {
  "works on": async (_, moving) => {
    await moving();
    await moving();
  },
  "is killed": async (fleet, moving) => {
    await fleet.do("kill");
    await moving();
    await fleet.do("revive");
  },
  "is cut off from one": async (fleet, moving) => {
    await fleet.do("cut", { which: [0] });
    await moving();
    await fleet.do("join");
  },
  "is cut off from both": async (fleet, moving) => {
    await fleet.do("cut", { which: [0, 1] });
    await moving();
    await fleet.do("join");
  },
};
const CLOCKS = [
  [-10, 10],
  [3600, -3600],
];
const courses = Object.keys(FAULTS).flatMap((fault) =>
  CLOCKS.flatMap(([a, b]) =>
    (fault === "is killed" ? [true, false] : [false]).map((keeps) => ({ fault, a, b, keeps })),
  ),
);

test.runIf(isThere).each(courses)(
  "Redis $fault, and keeps its data: $keeps; clocks $a and $b s off",
  async ({ fault, a, b, keeps }) => {
    const fleet = new Peer("redis_fleet.py", String(a), String(b));
    onTestFinished(() => fleet.end());
    const { ports } = await fleet.do("start", { keeps });
    const balancer = new Balancer(ports as number[]);
    await balancer.listen();
    const service = impatient({ versions: [1, 2, 3, 4] });
    const errors = collected(service, "error");
    const account = new Account();
    const subscription = service.subscribe(STREAM, account.take, { onGap: (gap) => account.items.push(gap) });
    await service.connect(balancer.url);
    await subscription.granted;
    expect(service.negotiated?.version).toBe(4);
    await fleet.do("play");
    const more = (count: number) => {
      const before = account.said.length;
      return until(() => account.said.length >= before + count);
    };
    const moving = async () => {
      for (let move = 0; move < 6; move++) {
        await more(5 + 3 * move);
        balancer.cut(move % 3 !== 2);
      }
    };
    await more(20);
    await FAULTS[fault](fleet, moving);
    await moving();
    await more(20);
    const published = (await fleet.do("stop")).published as number[];
    await until(() => published.every((n, who) => account.has(who, n)));
    const missing = account.check(published);
    const uncounted = account.gaps.filter(({ frames }) => frames === null).length;
    if (fault === "works on") expect([missing, account.gaps]).toEqual([0, []]);
    else expect(uncounted, "where the epoch changes").toBeGreaterThan(0);
    expect(account.said.length).toBeGreaterThan(100);
    expect(errors).toEqual([]);
  },
);
