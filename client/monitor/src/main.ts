/** The page: the service's events go to the parts that keep, the display's frames to the parts that draw. */

import {
  type Message,
  MessageType,
  ProtocolError,
  type Subscription,
  WebSocketBinaryService,
} from "../../src/index.js";
import { microsecondsNow } from "../../src/send-clock.js";
import { Age, type Seen, type ServerClock } from "./age.js";
import { Alerts, readAlert } from "./alerts.js";
import { Analyzer } from "./analyzer.js";
import { Controls } from "./controls.js";
import { element } from "./dom.js";
import { ecgFrame } from "./feed.js";
import { FrameLog } from "./frame-log.js";
import { Heart } from "./heart.js";
import { installHook } from "./hook.js";
import { Pace } from "./pace.js";
import { Presence } from "./presence.js";
import { ReviewBar } from "./review.js";
import { Screen } from "./screen.js";
import { load } from "./settings.js";
import { type EcgFrame, EcgSignal } from "./signal.js";
import { Status } from "./status.js";
import { listStreams, StreamChooser } from "./streams.js";

/** Milliseconds between two looks at everything but the traces; they go on where the page is hidden and draws nothing. */
const TICK = 100;

/** Seconds of a stream that are asked for when it is chosen: a page and a little more. */
const HISTORY = 12;

/** Seconds without a frame of the display after which the page counts as hidden. */
const HIDDEN = 0.25;

/** Seconds between two looks at the server's clock while what is seen is not known to be live. */
const ASKING = 2;

/** Seconds until the first connection is tried again. */
const RETRY = 3;

/** Seconds of a clock that never steps back, as frames of the display have it; and Unix seconds. */
const steady = (): number => performance.now() / 1000;
const wall = (): number => (performance.timeOrigin + performance.now()) / 1000;
/** Unix seconds of this machine's clock as it is set now: the one that is compared with the server's. */
const clock = (): number => Number(microsecondsNow()) / 1e6;

const address = new URL("ws", location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
address.search = "";
const service = new WebSocketBinaryService();
const status = new Status();
const alerts = new Alerts();
const log = new FrameLog();
const analyzer = new Analyzer(log);
const heart = new Heart();
const pace = new Pace();
const presence = new Presence(steady());
const age = new Age();
const settings = load(location.search, localStorage);
const screen = new Screen(
  element("stage", HTMLElement),
  element("scroller", HTMLElement),
  {
    paper: element("paper", HTMLCanvasElement),
    traces: element("traces", HTMLCanvasElement),
    overlay: element("overlay", HTMLCanvasElement),
  },
  settings,
);
const review = new ReviewBar(screen);
const chooser = new StreamChooser(new URLSearchParams(location.search).get("stream"), watch);
const controls = new Controls(screen, alerts, analyzer, chooser, settings, () => review.update(signal));

let signal: EcgSignal | null = null;
let subscription: Subscription | null = null;
let subscribedAt = Number.POSITIVE_INFINITY;
let displayedAt = Number.NEGATIVE_INFINITY;
let askedAt = Number.NEGATIVE_INFINITY;

/** Watch this stream in place of the one before, from a while ago on, so that there is a page to see at once. */
function watch(name: string): void {
  void subscription?.unsubscribe();
  forget();
  const mine = service.subscribe(name, take, {
    since: new Date(1000 * (wall() - HISTORY)),
    onGap: ({ from, to }) => signal?.interrupt(to < from),
  });
  mine.granted.catch((error: Error) => {
    if (mine === subscription) presence.refused(error.message);
  });
  subscription = mine;
}

function forget(): void {
  signal = null;
  screen.show(null);
  heart.clear();
  status.clear();
  age.clear();
  presence.watching(steady());
}

function take(message: Message): void {
  if (message.type !== MessageType.ECG_DATA) return;
  try {
    keep(ecgFrame(message), message.timestamp);
    measureLatency(message);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    log.blame(error.message);
  }
}

/** Put a frame where the display will find it. */
function keep(frame: EcgFrame, timestamp: bigint | null): void {
  if (frame.samples === 0 || frame.leads.length === 0) return;
  const now = steady();
  if (signal === null || !signal.fits(frame)) {
    signal = new EcgSignal(frame);
    screen.show(signal);
    controls.describe(signal);
    age.clear();
  }
  signal.take(frame, now);
  const { end } = signal.buffer;
  const sent = timestamp === null ? null : Number(timestamp) / 1e6;
  const place = { first: end - frame.samples, end, rate: signal.head.rate };
  age.arrived({ ...place, taken: frame.timestamp, sent, at: clock() }, now);
  presence.arrived(now, frame.samples / frame.samplingRate);
}

/** Not of what was kept for us while we were away: that is late by nature. */
function measureLatency(message: Message): void {
  if (message.timestamp === null) return;
  const { clockOffset } = service.statistics;
  if (clockOffset === null) return;
  const sent = Number(message.timestamp) / 1e6 - clockOffset;
  if (sent > subscribedAt) status.travelled(clock() - sent);
}

function serverClock(): ServerClock | null {
  const { clockOffset: offset, clockError: error } = service.statistics;
  return offset === null || error === null ? null : { offset, error };
}

/** How old what the screen shows is; its clocks are asked for again where that is more, or less, than it should be. */
function seen(now: number): Seen | null {
  if (signal === null) return null;
  if (now - displayedAt > HIDDEN) signal.head.advanceUnseen(now);
  const { position } = signal.head;
  const { end } = signal.buffer;
  const found = age.at(Number.isNaN(position) ? end : Math.min(position, end), clock(), now, serverClock());
  if (!presence.isLive && service.state === "open" && now - askedAt > ASKING) {
    askedAt = now;
    service.ping().catch(() => {}); // a connection that has gone is told elsewhere
  }
  return found;
}

service.on("message", (message) => {
  status.received(message);
  if (message.type === MessageType.ANOMALY_ALERT) alerts.add(readAlert(message.data, wall()));
});
service.on("state", ({ state }) => presence.linked(state));
service.on("negotiated", ({ version, capabilities }) => status.negotiated(version, [...capabilities].sort()));
service.on("subscribed", () => {
  subscribedAt = clock();
});
service.on("frame", ({ direction, bytes, at }) => log.add(direction, bytes, at / 1000));
service.on("error", ({ error }) => log.blame(error.message));

/** Connect, and watch; the service itself connects anew only where there was a connection. */
function connect(): void {
  watch(chooser.value);
  service.connect(address.href).catch((error: Error) => {
    presence.refused(error.message);
    setTimeout(connect, 1000 * RETRY);
  });
}

function display(at: number): void {
  requestAnimationFrame(display);
  const began = performance.now();
  displayedAt = at / 1000;
  screen.draw(at / 1000);
  if (signal !== null && !presence.isLost) heart.update(signal, at / 1000);
  pace.note(at, performance.now() - began);
}

function tick(): void {
  const now = steady();
  const { reconnections, droppedByServer, roundTrip } = service.statistics;
  presence.update(now, {
    seen: seen(now),
    roundTrip,
    version: service.negotiated?.version ?? null,
    change: signal?.head.change ?? null,
  });
  if (presence.isLost) heart.clear();
  review.update(signal);
  analyzer.update(now, screen.review !== null);
  status.update(now, {
    gaps: signal?.gaps ?? 0,
    missingSeconds: (signal?.missing ?? 0) / (signal?.buffer.samplingRate ?? 1),
    dropped: droppedByServer,
    reconnections,
  });
}

connect();
void listStreams(new URL("streams", location.href)).then((names) => chooser.offer(names));
installHook({ service, screen, presence, alerts, pace, stream: () => chooser.value, signal: () => signal });
requestAnimationFrame(display);
setInterval(tick, TICK);
