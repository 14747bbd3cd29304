/** A stream of version 4, its server and one viewer, and a plain list of what has to become of each number. */
import { expect } from "vitest";
import { MessageType, type Template } from "../src/index.js";
import { alert, answer, broken, packed, record, STREAM, template, templateFrame } from "./v4-peer.js";
import { VirtualClient } from "./v4-server.js";

export interface Step {
  readonly do:
    | "publish"
    | "mixed"
    | "alert"
    | "rotten"
    | "template"
    | "deliver"
    | "cut"
    | "connect"
    | "forget"
    | "restart"
    | "change";
  readonly count?: number;
  /** What happens to the first of the delivered frames. */
  readonly fault?: "none" | "damage" | "double" | "drop";
}

interface Published {
  readonly number: number;
  readonly kind: "record" | "packed" | "rotten" | "alert" | "template";
  /** That of the record, or the one that is told. */
  readonly template: Template;
}

/** A life of the numbering, and what became of its numbers for the viewer. */
class Epoch {
  readonly epoch: number;
  readonly published: Published[] = [];
  readonly templates: Template[] = [];
  /** The first number that the ring still has. */
  oldest = 1;
  /** The first number that the viewer was promised; null if it was not promised any. */
  begin: number | null = null;
  readonly had = new Set<number>();
  readonly lost = new Set<number>();
  /** By number, the connection over which it was refused first. */
  readonly refused = new Map<number, number>();

  constructor(epoch: number) {
    this.epoch = epoch;
  }

  /** Also the id in headers. */
  get id(): number {
    return this.epoch;
  }

  get next(): number {
    return this.published.length + 1;
  }

  isSettled(number: number): boolean {
    return number < (this.begin ?? 1) || this.had.has(number) || this.lost.has(number);
  }

  get after(): number {
    let after = (this.begin ?? 1) - 1;
    while (this.isSettled(after + 1)) after++;
    return after;
  }

  get hasMessages(): boolean {
    return this.published.some(({ number, kind }) => kind !== "template" && this.had.has(number));
  }

  loseBefore(number: number): void {
    for (let n = this.begin ?? number; n < number; n++) if (!this.isSettled(n)) this.lost.add(n);
  }
}

export class StreamModel {
  readonly client = new VirtualClient();
  readonly #epochs = [new Epoch(1)];
  #isConnected = false;
  #connection = 0;
  /** Epochs whose ids are bound, the present one last. */
  #bound: Epoch[] = [];
  /** On its way, over this connection. */
  #wire: { readonly epoch: Epoch; readonly message: Published }[] = [];
  /** The templates that the viewer knows over this connection. */
  readonly #known = new Set<Template>();
  #changes = 0;
  /** Lost messages in gaps without a count. */
  #uncounted = 0;

  constructor() {
    this.go({ do: "template" });
    this.go({ do: "connect" });
  }

  go({ do: what, count = 1, fault = "none" }: Step): void {
    const present = this.#present;
    switch (what) {
      case "publish":
        for (let i = 0; i < count; i++) this.#publish("record");
        break;
      case "mixed":
        this.#publish("packed");
        break;
      case "alert":
        this.#publish("alert");
        break;
      case "rotten":
        for (let i = 0; i < count; i++) this.#publish("rotten");
        break;
      case "template":
        present.templates.push(template(present.templates.length + 1));
        this.#publish("template");
        break;
      case "deliver":
        for (let i = 0; i < count; i++) this.#deliver(i === 0 ? fault : "none");
        break;
      case "cut":
        this.client.socket.cut();
        this.#isConnected = false;
        break;
      case "connect":
        this.#connect();
        break;
      case "forget":
        present.oldest = Math.max(present.oldest, present.next - count);
        break;
      case "restart":
        this.go({ do: "cut" });
        this.#begin();
        break;
      case "change":
        this.#begin();
        if (this.#isConnected) this.#promise(this.#present.next, true);
        break;
    }
  }

  /** Lets everything arrive, and compares what the application saw with the list. */
  check(): void {
    // Records whose template was damaged are refused until the connection ends, and the next answer brings the template.
    let rounds = 0;
    do {
      expect(rounds++).toBeLessThan(30);
      this.go({ do: "connect" });
      this.go({ do: "publish" });
      this.go({ do: "deliver", count: this.#wire.length });
    } while (!this.#present.had.has(this.#present.next - 1));
    const seen = this.client.seen.flatMap((each) => ("message" in each ? [each.message] : []));
    const gaps = this.client.seen.flatMap((each) => ("gap" in each ? [each.gap.frames] : []));
    const names = seen.map(({ streamId, sequence }) => `${streamId} ${sequence}`);
    const expected = this.#epochs.flatMap((epoch) =>
      epoch.published
        .filter(({ number, kind }) => epoch.had.has(number) && kind !== "template")
        .map(({ number }) => `${epoch.id} ${number}`),
    );
    expect([...names].sort()).toEqual(expected.sort());
    const lost = this.#epochs.reduce((sum, epoch) => sum + epoch.lost.size, 0);
    expect(gaps.reduce<number>((sum, frames) => sum + (frames ?? 0), 0)).toBe(lost - this.#uncounted);
    const unknown = gaps.filter((frames) => frames === null).length;
    expect(unknown).toBeLessThanOrEqual(this.#changes);
    expect(unknown > 0).toBe(this.#changes > 0);
    for (const epoch of this.#epochs) {
      const inLine = seen.filter(({ streamId, type }) => streamId === epoch.id && type !== MessageType.ANOMALY_ALERT);
      const numbers = inLine.map(({ sequence }) => sequence as number);
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    }
    for (const { message } of this.client.seen.filter((each) => "message" in each))
      expect(message.data.stream).toBe(STREAM);
  }

  get #present(): Epoch {
    return this.#epochs.at(-1) as Epoch;
  }

  #begin(): void {
    this.#epochs.push(new Epoch(this.#epochs.length + 1));
    this.go({ do: "template" });
  }

  #publish(kind: Published["kind"]): void {
    const epoch = this.#present;
    const message = { number: epoch.next, kind, template: epoch.templates.at(-1) as Template };
    epoch.published.push(message);
    if (!this.#isConnected || this.#bound.at(-1) !== epoch) return;
    if (kind === "alert") this.#wire.unshift({ epoch, message });
    else this.#wire.push({ epoch, message });
  }

  #connect(): void {
    if (this.#isConnected) return;
    const { socket } = this.client;
    socket.open();
    this.#isConnected = true;
    this.#connection++;
    this.#wire = [];
    this.#known.clear();
    const before = this.#bound.at(-1);
    this.#bound = [];
    const epoch = this.#present;
    const [asked] = socket.take(MessageType.SUBSCRIBE);
    expect([asked.epoch, asked.after]).toEqual(before ? [before.epoch, before.after] : [undefined, undefined]);
    if (asked.epoch !== epoch.epoch) {
      if (before) this.#changes++;
      this.#promise(epoch.next, false);
      return;
    }
    const next = Math.max((asked.after as number) + 1, epoch.oldest);
    const counted = epoch.lost.size;
    epoch.loseBefore(next);
    // What is missing may have come in an earlier epoch, for all that the client knows: a gap without a count.
    if (epoch.lost.size > counted && this.#epochs.some((each) => each !== epoch && each.hasMessages)) {
      this.#uncounted += epoch.lost.size - counted;
      this.#changes++;
    }
    this.#promise(next, false);
    for (const message of epoch.published.slice(next - 1)) this.#wire.push({ epoch, message });
  }

  /** Answers that messages follow from a number on. */
  #promise(next: number, isUnasked: boolean): void {
    const epoch = this.#present;
    const told = epoch.published.filter(({ kind, number }) => kind === "template" && number < next).slice(-16);
    if (isUnasked) this.#changes++;
    epoch.begin ??= next;
    this.#bound = [...this.#bound, epoch].slice(-2);
    for (const { template: each } of told) this.#known.add(each);
    const templates = told.map(({ template: each, number }) => templateFrame(each, number, epoch.id));
    this.client.socket.deliver(answer({ id: epoch.id, epoch: epoch.epoch, next, templates }));
  }

  #deliver(fault: Step["fault"]): void {
    const sent = this.#isConnected ? this.#wire.shift() : undefined;
    if (!sent || fault === "drop") return;
    const { epoch, message } = sent;
    const frame = frameOf(epoch.id, message);
    this.#arrive(
      epoch,
      message,
      fault === "damage" && message.kind !== "rotten" ? broken(frame) : frame,
      fault === "damage",
    );
    if (fault === "double") this.#arrive(epoch, message, frame, false);
  }

  #arrive(epoch: Epoch, message: Published, frame: Uint8Array<ArrayBuffer>, isDamaged: boolean): void {
    if (!this.#isConnected) return;
    this.client.socket.deliver(frame);
    this.#settle(epoch, message, isDamaged);
    // Five errors end a connection.
    if (this.client.service.state !== "open") this.#isConnected = false;
  }

  #settle(epoch: Epoch, { number, kind, template: told }: Published, isDamaged: boolean): void {
    if (!this.#bound.includes(epoch) || epoch.isSettled(number)) return;
    if (isDamaged || kind === "rotten" || (kind === "record" && !this.#known.has(told))) {
      const first = epoch.refused.get(number) ?? this.#connection;
      if (epoch !== this.#bound.at(-1)) return;
      if (first < this.#connection) epoch.lost.add(number);
      else epoch.refused.set(number, first);
      return;
    }
    if (kind !== "alert") epoch.loseBefore(number);
    epoch.had.add(number);
    if (kind === "template") this.#known.add(told);
  }
}

function frameOf(id: number, { number, kind, template: of }: Published): Uint8Array<ArrayBuffer> {
  switch (kind) {
    case "record":
      return record(of, number, id);
    case "template":
      return templateFrame(of, number, id);
    case "alert":
      return alert(number, id);
    case "rotten":
      return broken(packed(number, id)); // whenever it is sent
    case "packed":
      return packed(number, id);
  }
}
