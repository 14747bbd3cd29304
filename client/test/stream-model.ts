/** A model of a server's stream and one viewer in virtual time: published messages, received messages and gaps. */
import { expect } from "vitest";
import { Flag, MessageType } from "../src/index.js";
import { StreamCursor } from "../src/service/cursor.js";

const SECOND = 1_000_000;

interface Published {
  readonly number: number;
  readonly timestamp: bigint;
  /** Number of restarts of the server before it. */
  readonly life: number;
  readonly urgent: boolean;
}

/** What the viewer's application sees: a message, or a gap. */
type Seen = { readonly message: Published } | { readonly from: bigint; readonly to: bigint };

interface Event {
  readonly do: string;
  readonly count?: number;
  readonly seconds?: number;
  readonly away?: number;
}

export class StreamModel {
  readonly #cursor = new StreamCursor("ecg");
  readonly #published: Published[] = [];
  readonly #seen: Seen[] = [];
  /** Numbers of the messages before which the server lost its history. */
  readonly #forgotten = new Set<number>();
  #begun: number | null = null;
  #time = 1_700_000_000_000_000;
  #clock = 0;
  #life = 0;
  #kept: Published[] = [];
  /** The time after which the server has all messages. */
  #floor = 0n;
  /** Messages in transit to the viewer; null without a connection. */
  #wire: Published[] | null = null;

  constructor() {
    this.#floor = this.#now();
    this.go({ do: "connect" });
  }

  go({ do: what, count = 0, seconds = 0, away = 0 }: Event): void {
    this.#time += 20_011; // the timestamps of two timelines do not meet
    switch (what) {
      case "publish":
        for (let i = 0; i < count; i++) this.#publish(false);
        break;
      case "alert":
        this.#publish(true);
        break;
      case "deliver":
        for (const message of this.#wire?.splice(0, count) ?? []) this.#deliver(message);
        break;
      case "cut":
        this.#wire = null;
        break;
      case "connect":
        this.#connect();
        break;
      case "forget":
        this.#forget(count);
        break;
      case "set-clock":
        this.#clock += seconds * SECOND;
        break;
      case "restart":
        this.#wire = null;
        this.#time += away;
        this.#clock += seconds * SECOND;
        this.#life += 1;
        this.#forget(0);
        this.#floor = this.#now();
        break;
    }
  }

  /** Checks that each message was received once and in order, or is in a gap that was reported in its place. */
  check(): void {
    this.go({ do: "cut" });
    this.go({ do: "connect" });
    this.go({ do: "publish", count: 3 });
    this.go({ do: "deliver", count: Number.POSITIVE_INFINITY });
    const handed = this.#seen.flatMap((seen) => ("message" in seen ? [seen.message.number] : []));
    expect(new Set(handed).size).toBe(handed.length);
    let before: Published | null = null;
    let gaps: { from: bigint; to: bigint }[] = [];
    for (const seen of this.#seen) {
      if (!("message" in seen)) gaps.push(seen);
      else if (!seen.message.urgent) {
        this.#checkBetween(before, seen.message, gaps);
        before = seen.message;
        gaps = [];
      }
    }
    expect(before?.number).toBe(this.#published.length - 1);
  }

  #checkBetween(before: Published | null, after: Published, gaps: { from: bigint; to: bigint }[]): void {
    const first = before === null ? (this.#begun as number) : before.number + 1;
    expect(after.number).toBeGreaterThanOrEqual(first);
    const lost = this.#published.slice(first, after.number).filter(({ urgent }) => !urgent);
    const [earliest, latest] = [gaps[0], gaps.at(-1)];
    if (earliest === undefined || latest === undefined) {
      expect(lost).toEqual([]);
      return;
    }
    expect(this.#lostSomethingBetween(first, after.number)).toBe(true);
    if (before !== null) expect(earliest.from).toBeGreaterThanOrEqual(before.timestamp);
    expect(latest.to).toBeLessThanOrEqual(after.timestamp);
    for (const { timestamp, life } of lost) {
      if (life === before?.life) expect(timestamp).toBeGreaterThanOrEqual(earliest.from);
      if (life === after.life) expect(timestamp).toBeLessThanOrEqual(latest.to);
    }
  }

  #lostSomethingBetween(first: number, last: number): boolean {
    return [...this.#forgotten].some((number) => number >= first && number <= last);
  }

  #now(): bigint {
    return BigInt(this.#time + this.#clock);
  }

  get #newest(): bigint {
    return this.#kept.at(-1)?.timestamp ?? this.#floor;
  }

  #publish(urgent: boolean): void {
    this.#time += 1_003;
    const timestamp = this.#now() > this.#newest ? this.#now() : this.#newest + 1n;
    const message = { number: this.#published.length, timestamp, life: this.#life, urgent };
    this.#published.push(message);
    this.#kept.push(message);
    if (urgent) this.#wire?.unshift(message);
    else this.#wire?.push(message);
  }

  #forget(keep: number): void {
    const gone = this.#kept.splice(0, Math.max(0, this.#kept.length - keep));
    this.#floor = gone.at(-1)?.timestamp ?? this.#floor;
    this.#forgotten.add(this.#published.length - this.#kept.length);
  }

  #connect(): void {
    if (this.#wire !== null) return;
    const since = this.#cursor.asksSince();
    if (since instanceof Date) throw new Error("a position that the server has named is exact");
    if (since === null) {
      this.#begun = this.#published.length;
      this.#answer(this.#newest + 1n);
      this.#wire = [];
      return;
    }
    const isKnown = since === this.#floor || this.#kept.some(({ timestamp }) => timestamp === since);
    const after = isKnown ? since : this.#floor;
    this.#answer(isKnown ? null : after + 1n);
    this.#wire = this.#kept.filter(({ timestamp }) => timestamp > after);
  }

  #answer(from: bigint | null): void {
    for (const gap of this.#cursor.answered(from, this.#now())) this.#seen.push(gap);
  }

  #deliver(message: Published): void {
    const { gaps, isNew } = this.#cursor.take(
      {
        type: message.urgent ? MessageType.ANOMALY_ALERT : MessageType.ECG_DATA,
        version: 3,
        flags: message.urgent ? Flag.PRIORITY : 0,
        timestamp: message.timestamp,
        data: null,
        frameBytes: 20,
        payloadBytes: 1,
      },
      0n,
    );
    this.#seen.push(...gaps);
    if (isNew) this.#seen.push({ message });
  }
}
