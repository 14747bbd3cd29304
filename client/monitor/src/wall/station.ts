/** The worker's part of the wall: one connection for all beds, their signals, and the drawing of all in one pass. */

import { microsecondsNow } from "../../../src/codec/send-clock.js";
import {
  ErrorCode,
  type Message,
  MessageType,
  ProtocolError,
  Sealing,
  type Subscription,
  WebSocketBinaryService,
} from "../../../src/index.js";
import type { ServerClock } from "../age.js";
import { OTHER_KINDS } from "../channels.js";
import { Pace } from "../pace.js";
import { isRefusal } from "../refusal.js";
import type { Box } from "./arrange.js";
import { Bed, type Moment } from "./bed.js";
import { chooseLeads } from "./leads.js";
import type { FromWorker, ToWorker } from "./messages.js";
import { Strip } from "./strip.js";

/** Milliseconds between two reports to the page. */
const REPORT = 250;
/** Milliseconds between two reports of the times of drawing. */
const PACE = 1000;
/** Seconds of history that are requested for a new bed, so that its tile is full at once. */
const HISTORY = 8;
/** Seconds until the first connection is retried. */
const RETRY = 3;
/** Seconds between two measurements of the server's clock. */
const ASKING = 10;
const LINE = 1.2;
/** Stream of the alerts of all streams; those of one have its name behind the slash. */
const ALERTS = "alerts/";
/** Seconds of alerts that are requested again. */
const OVERLAP = 5;
/** Number of streams whose alerts are followed one by one; with 64 beds, as many as a server permits by default. */
const MOST_FOLLOWED = 190;

const NOWHERE: Box = { x: 0, y: 0, width: 0, height: 0 };

type Layout = Extract<ToWorker, { kind: "layout" }>;

const steady = (): number => performance.now() / 1000;
const clock = (): number => Number(microsecondsNow()) / 1e6;

interface Watched {
  readonly bed: Bed;
  readonly strip: Strip;
  subscription: Subscription;
}

export class Station {
  readonly #service = new WebSocketBinaryService({
    sealing: new Sealing(),
    token: () => this.#token,
  });
  readonly #pace = new Pace();
  /** The errors of denied subscriptions. */
  readonly #denials = new WeakSet<Error>();
  readonly #post: (message: FromWorker) => void;
  readonly #places = new Map<string, Watched>();
  readonly #alerts = new Map<string, Subscription>();
  readonly #context: OffscreenCanvasRenderingContext2D;
  readonly #socket: string;
  #token: string | null;
  #layout: Layout | null = null;
  #listed: readonly string[] = [];
  /** True if the server denies one subscription for the alerts of all streams. */
  #isEach = false;
  #wasCut = false;
  #sending: Promise<unknown> = Promise.resolve();
  #firstAttempt: number | null = null;
  #askedAt = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(canvas: OffscreenCanvas, socket: string, token: string | null, post: (message: FromWorker) => void) {
    const context = canvas.getContext("2d", { alpha: false });
    if (context === null) throw new Error("this browser does not support drawing on a canvas in a worker");
    this.#context = context;
    this.#socket = socket;
    this.#token = token;
    this.#post = post;
    this.#listen();
    this.#followAlerts();
    this.#connect();
    setInterval(() => this.#report(), REPORT);
    setInterval(() => post({ kind: "pace", pace: this.#pace.times }), PACE);
    requestAnimationFrame(() => this.#draw());
  }

  handle(message: Exclude<ToWorker, { kind: "start" }>): void {
    if (message.kind === "beds") this.#show(message.names, message.listed);
    else if (message.kind === "layout") this.#arrange(message);
    else if (message.kind === "boxes") this.#moveTraces(message.boxes);
    else if (message.kind === "reconnect") this.#reconnect();
    else if (message.kind === "token") {
      this.#token = message.token;
      this.#reconnect();
    } else this.#send(message.type as MessageType, message.data);
  }

  /** Send one message after the other, each when the server has the one before, so that many are not too many at once. */
  #send(type: MessageType, data: Readonly<Record<string, unknown>>): void {
    this.#sending = this.#sending
      .then(() => this.#service.sendMessage(type, data, { acknowledged: true }))
      .catch((error: Error) => this.#post({ kind: "refused", code: 0, why: error.message }));
  }

  #listen(): void {
    this.#service.on("state", ({ state }) => {
      if (state === "reconnecting" || state === "closed") this.#wasCut = true;
      this.#report();
    });
    this.#service.on("error", ({ error }) => {
      if (isRefusal(error, this.#token !== null)) this.#post({ kind: "failed", why: error.message, needsToken: true });
      if (!(error instanceof ProtocolError) || error.code !== ErrorCode.PERMISSION_DENIED) return;
      // A denied subscription is told in its tile; its promise is rejected with the same error, a moment later.
      setTimeout(() => {
        if (!this.#denials.has(error)) this.#post({ kind: "refused", code: error.code, why: error.message });
      });
    });
    this.#service.on("message", (message) => {
      const on = streamOf(message);
      // Those of followed streams come to their subscriptions.
      if (on === "") this.#note(message, on);
    });
  }

  // --- beds ---

  #show(names: readonly string[], listed: readonly string[]): void {
    this.#listed = listed;
    for (const [name, place] of [...this.#places]) {
      if (names.includes(name)) continue;
      void place.subscription.unsubscribe();
      this.#places.delete(name);
    }
    const kept = new Map(this.#places);
    this.#places.clear();
    for (const name of names) this.#places.set(name, kept.get(name) ?? this.#begin(name));
    if (this.#isEach) this.#followEach();
    this.#report();
  }

  #begin(name: string): Watched {
    const bed = new Bed(name, steady());
    return { bed, strip: new Strip(), subscription: this.#subscribe(bed) };
  }

  #subscribe(bed: Bed): Subscription {
    const since = new Date(1000 * (clock() - HISTORY));
    const subscription = this.#service.subscribe(bed.name, (message) => this.#take(bed, message), {
      since,
      catchUp: 1000 * HISTORY,
      onGap: ({ from, to }) => bed.interrupt(to < from),
    });
    subscription.granted.catch((error: Error) => {
      this.#denials.add(error);
      if (this.#places.get(bed.name)?.bed === bed) bed.refusal = error.message;
    });
    return subscription;
  }

  #take(bed: Bed, message: Message): void {
    if (message.type !== MessageType.ECG_DATA) {
      if (message.type === MessageType.FEATURE_DATA) bed.takeNumbers(message, this.#now());
      this.#note(message, bed.name);
      return;
    }
    try {
      for (const alert of bed.take(message, this.#now())) this.#post({ kind: "found", alert });
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      bed.fault = error.message;
    }
  }

  #note({ type, data }: Message, on: string): void {
    if (type === MessageType.ANOMALY_ALERT) this.#post({ kind: "alert", on, data });
    else if (type === MessageType.FEATURE_DATA && (on === "" || on.startsWith(ALERTS)))
      this.#post({ kind: "limits", on, data });
  }

  // --- alerts of all streams, also of those that are not shown ---

  #followAlerts(): void {
    const all = this.#follow(`${ALERTS}*`);
    all.granted.then(
      () => this.#post({ kind: "alerts", state: "all", why: "" }),
      (error: Error) => {
        this.#denials.add(error);
        if (!(error instanceof ProtocolError)) return; // the connection ended
        this.#isEach = true;
        this.#post({ kind: "alerts", state: "each", why: error.message });
        this.#followEach();
      },
    );
  }

  #followEach(): void {
    const names = new Set([...this.#places.keys(), ...this.#listed]); // those that are shown first
    for (const name of names) {
      const stream = `${ALERTS}${name}`;
      if (this.#alerts.has(stream) || this.#alerts.size > MOST_FOLLOWED) continue;
      this.#follow(stream).granted.catch((error: Error) => {
        this.#denials.add(error);
        if (error instanceof ProtocolError)
          this.#post({ kind: "alerts", state: "denied", why: `${name}: ${error.message}` });
      });
    }
  }

  #follow(stream: string): Subscription {
    // The server's list of alarms may leave before the subscription begins: what comes between is repeated.
    const since = new Date(1000 * (clock() - OVERLAP));
    const subscription = this.#service.subscribe(stream, (message) => this.#note(message, stream), { since });
    this.#alerts.set(stream, subscription);
    return subscription;
  }

  // --- the connection ---

  /** Connect and subscribe. The service retries later connections by itself, but not the first. */
  #connect(): void {
    clearTimeout(this.#timer);
    this.#firstAttempt = null;
    this.#service.connect(this.#socket).catch((error: Error) => {
      this.#wasCut = true;
      if (isRefusal(error, this.#token !== null)) {
        this.#post({ kind: "failed", why: error.message, needsToken: true });
        return;
      }
      this.#firstAttempt = Date.now() + 1000 * RETRY;
      this.#post({ kind: "failed", why: error.message });
      this.#timer = setTimeout(() => this.#again(), 1000 * RETRY);
    });
  }

  /** Connect anew: the subscriptions ended with the service. */
  #again(): void {
    for (const place of this.#places.values()) place.subscription = this.#subscribe(place.bed);
    this.#alerts.clear();
    this.#isEach = false;
    this.#followAlerts();
    this.#connect();
  }

  #reconnect(): void {
    if (this.#service.state === "closed") this.#again();
    else this.#service.reconnect();
  }

  #now(): Moment {
    const { clockOffset: offset, clockError: error } = this.#service.statistics;
    return { steady: steady(), unix: clock(), server: serverClock(offset, error) };
  }

  // --- reports ---

  #report(): void {
    const now = this.#now();
    const isOpen = this.#service.state === "open";
    if (isOpen && now.steady - this.#askedAt > (now.server === null ? 1 : ASKING)) {
      this.#askedAt = now.steady;
      this.#service.ping().catch(() => {}); // a lost connection is reported as such
    }
    const link = { isOpen, wasCut: this.#wasCut };
    for (const { bed, subscription } of this.#places.values())
      if (subscription.status === "denied") bed.refusal ||= "the server has ended the permission";
    const { statistics, state, negotiated, nextAttempt } = this.#service;
    this.#post({
      kind: "state",
      link: {
        state,
        version: negotiated?.version ?? null,
        nextAttempt: nextAttempt ?? this.#firstAttempt,
        reconnections: statistics.reconnections,
        dropped: statistics.droppedByServer,
        refused: statistics.refused,
        clockOffset: statistics.clockOffset,
        bytes: statistics.bytesReceived,
        frames: statistics.framesReceived,
      },
      beds: [...this.#places.values()].map(({ bed }) => bed.report(now, link)),
    });
  }

  // --- drawing ---

  #arrange(layout: Layout): void {
    this.#layout = layout;
    const { canvas } = this.#context;
    canvas.width = Math.max(1, Math.round(layout.width * layout.ratio));
    canvas.height = Math.max(1, Math.round(layout.height * layout.ratio));
    this.#context.fillStyle = layout.colours.ground;
    this.#context.fillRect(0, 0, canvas.width, canvas.height);
    for (const [index, { bed, strip }] of [...this.#places.values()].entries()) {
      bed.leads = [];
      strip.place(layout.boxes[index] ?? NOWHERE, []);
    }
  }

  /** Draw the traces anew whose room has changed; the others go on. */
  #moveTraces(boxes: readonly Box[]): void {
    const layout = this.#layout;
    if (layout === null) return;
    this.#layout = { ...layout, boxes };
    this.#context.setTransform(layout.ratio, 0, 0, layout.ratio, 0, 0);
    this.#context.fillStyle = layout.colours.ground;
    for (const [index, { bed, strip }] of [...this.#places.values()].entries()) {
      const before = layout.boxes[index] ?? NOWHERE;
      const box = boxes[index] ?? NOWHERE;
      if (isSame(before, box)) continue;
      this.#context.fillRect(before.x, before.y, before.width, before.height);
      strip.place(box, bed.leads);
    }
  }

  #draw(): void {
    requestAnimationFrame(() => this.#draw());
    const layout = this.#layout;
    if (layout === null) return;
    const began = performance.now(); // browsers disagree on the origin of the time that is passed to a worker
    const context = this.#context;
    context.setTransform(layout.ratio, 0, 0, layout.ratio, 0, 0);
    const places = [...this.#places.values()].slice(0, layout.boxes.length);
    for (const [index, { bed, strip }] of places.entries()) {
      this.#choose(bed, strip, layout, index);
      strip.prepare(context, bed.signal, began / 1000, layout.colours);
      bed.displayed(began / 1000);
    }
    context.lineWidth = LINE;
    context.lineJoin = "round";
    for (const kind of OTHER_KINDS) {
      if (!places.some(({ bed }) => bed.has(kind))) continue;
      context.strokeStyle = layout.colours.others[kind];
      context.beginPath();
      for (const { strip } of places) strip.traceOthers(context, 1 / layout.ratio, kind);
      context.stroke();
    }
    context.strokeStyle = layout.colours.trace;
    context.beginPath();
    for (const { strip } of places) strip.trace(context, 1 / layout.ratio);
    context.stroke();
    this.#pace.note(began, performance.now() - began);
  }

  /** Give a strip its place and leads if they are not known yet. */
  #choose(bed: Bed, strip: Strip, layout: Layout, index: number): void {
    const names = bed.signal?.buffer.leads ?? [];
    const leads = chooseLeads(names, layout.leads, layout.asked, bed.signal?.buffer.channels);
    if (leads.length === bed.leads.length && leads.every((lead, place) => lead === bed.leads[place])) return;
    bed.leads = leads;
    strip.place(layout.boxes[index], leads);
  }
}

function isSame(one: Box, other: Box): boolean {
  return one.x === other.x && one.y === other.y && one.width === other.width && one.height === other.height;
}

function streamOf({ data }: Message): string {
  const stream = typeof data === "object" && data !== null && "stream" in data ? data.stream : "";
  return typeof stream === "string" ? stream : "";
}

function serverClock(offset: number | null, error: number | null): ServerClock | null {
  return offset === null || error === null ? null : { offset, error };
}
