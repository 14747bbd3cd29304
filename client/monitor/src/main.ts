/** The page: passes the events of the service and the frames of the display to its parts. */

import { microsecondsNow } from "../../src/codec/send-clock.js";
import {
  type Message,
  MessageType,
  ProtocolError,
  Sealing,
  type Subscription,
  VERSIONS,
  WebSocketBinaryService,
} from "../../src/index.js";
import { Age, type Seen, type ServerClock } from "./age.js";
import { foundAlert, readAlert } from "./alert-history.js";
import { Alerts } from "./alerts.js";
import { Analyzer } from "./analyzer.js";
import { Authenticity, signersIn } from "./authenticity.js";
import { Controls } from "./controls.js";
import { element } from "./dom.js";
import { ecgFrame } from "./feed.js";
import { type Finding, Findings } from "./findings.js";
import { FrameLog } from "./frame-log.js";
import { HeartRateDisplay } from "./heart.js";
import { installHook } from "./hook.js";
import { MoreLeads } from "./more-leads.js";
import { Overflow } from "./overflow.js";
import { Pace } from "./pace.js";
import { HISTORY_SINCE, Past } from "./past.js";
import { Presence } from "./presence.js";
import { PrintDialog } from "./print/dialog.js";
import { Origin } from "./print/origin.js";
import { Reconnecting } from "./reconnecting.js";
import { ReviewBar } from "./review.js";
import { Screen } from "./screen.js";
import { type ServerAddress, serverAddress } from "./server-address.js";
import { keepInAddress, load } from "./settings.js";
import { type EcgFrame, EcgSignal } from "./signal.js";
import { SignalLine } from "./signal-line.js";
import { Status } from "./status.js";
import { listStreams, StreamChooser } from "./streams.js";

/** Milliseconds between two updates of everything but the traces, also while the page is hidden. */
const TICK = 100;

/** Seconds of history that are requested for a new stream: a page and a little more. */
const HISTORY = 12;

/** Seconds without a frame of the display after which the page counts as hidden. */
const HIDDEN = 0.25;

/** Seconds between two measurements of the server's clock while the signal is not live. */
const ASKING = 2;

/** Seconds until the first connection is retried. */
const RETRY = 3;

/** Milliseconds between two requests for the list of streams. */
const LIST = 3000;

/** Seconds of the monotonic clock, as in frames of the display; and Unix seconds by that clock. */
const steady = (): number => performance.now() / 1000;
const unixSeconds = (): number => (performance.timeOrigin + performance.now()) / 1000;
/** Unix seconds of the local clock as it is set now, which is compared with the server's. */
const clock = (): number => Number(microsecondsNow()) / 1e6;

let signal: EcgSignal | null = null;
let findings = new Findings();
/** The stream of `signal` and `findings`. */
let watched = "";
let displayedAt = Number.NEGATIVE_INFINITY;
let askedAt = Number.NEGATIVE_INFINITY;
const origins = new WeakMap<EcgSignal, Origin>();
let subscription: Subscription | null = null;
let subscribedAt = Number.POSITIVE_INFINITY;
/** Timestamp of the last message of the stream, in microseconds since 1970. */
let lastTaken: bigint | null = null;
let firstConnection: ReturnType<typeof setTimeout> | undefined;
let firstConnectionAt: number | null = null;

const signers = signersIn(location.search);
const sealing = new Sealing(signers.keys.length > 0 ? { signers: signers.keys } : {});
const service = new WebSocketBinaryService({ versions: VERSIONS, sealing });
const status = new Status();
const alerts = new Alerts();
const log = new FrameLog();
const analyzer = new Analyzer(log);
const heartRate = new HeartRateDisplay();
const signalLine = new SignalLine();
const pace = new Pace();
const presence = new Presence(steady());
const age = new Age();
const authenticity = new Authenticity(signers.faults);
const settings = load(location.search, localStorage);
const screen = new Screen(
  element("stage", HTMLElement),
  element("scroller", HTMLElement),
  {
    paper: element("paper", HTMLCanvasElement),
    traces: element("traces", HTMLCanvasElement),
    labels: element("labels", HTMLCanvasElement),
    overlay: element("overlay", HTMLCanvasElement),
  },
  settings,
);
const review = new ReviewBar(screen);
const past = new Past({
  host: service,
  screen,
  stream: () => watched,
  signal: () => signal,
  version: () => service.negotiated?.version ?? 0,
  alert: ({ data }) => alerts.add(readAlert(data, unixSeconds())),
});
const moreLeads = new MoreLeads(screen);
const reconnecting = new Reconnecting(reconnect);
const overflow = new Overflow();
const chooser = new StreamChooser(new URLSearchParams(location.search).get("stream"), (name, byHand) => {
  if (byHand) keepInAddress({ stream: name });
  watch(name);
});
const paper = new PrintDialog({
  screen,
  origin: originOf,
  stream: () => chooser.value,
  signal: () => signal,
  condition: (shown) => ({
    isLost: presence.isLost,
    badge: element("connection", HTMLElement).textContent ?? "",
    age: unixSeconds() + (service.statistics.clockOffset ?? 0) - shown.timeOf(shown.buffer.end),
  }),
  now: unixSeconds,
});
const controls = new Controls(screen, alerts, analyzer, chooser, paper, settings, overflow, () =>
  review.update(signal),
);

/** Show another stream. */
function watch(name: string): void {
  void subscription?.unsubscribe();
  forget();
  watched = name;
  subscribe(name);
}

/** Subscribe from the last message on, or from `HISTORY` seconds ago, so that there is a full page at once. */
function subscribe(name: string): void {
  const since = lastTaken === null ? 1000 * (unixSeconds() - HISTORY) : Number(lastTaken / 1000n);
  const mine = service.subscribe(name, take, {
    since: new Date(since),
    onGap: (gap) => {
      signal?.interrupt(gap.to < gap.from);
      past.lost(gap);
    },
  });
  presentFirst(mine);
  mine.granted.catch((error: Error) => {
    if (mine === subscription) presence.refused(error.message);
  });
  subscription = mine;
}

/** Have the present sent first after an interruption, where the server's history brings the rest. */
function presentFirst(of: Subscription | null): void {
  if (of !== null) of.catchUp = (service.negotiated?.version ?? 0) >= HISTORY_SINCE ? 1000 * HISTORY : null;
}

function forget(): void {
  past.clear();
  tell(findings.end("no longer watched", signal?.seconds ?? 0));
  findings = new Findings();
  signal = null;
  lastTaken = null;
  screen.show(null);
  heartRate.clear();
  status.clear();
  age.clear();
  authenticity.clear();
  presence.watching(steady());
}

function take(message: Message): void {
  authenticity.took(message);
  if (message.type !== MessageType.ECG_DATA) return;
  if (message.timestamp !== null && message.timestamp === lastTaken) return; // a new subscription begins with the last message
  lastTaken = message.timestamp;
  try {
    keep(ecgFrame(message), message);
    measureLatency(message);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    log.blame(error.message);
  }
}

/** Add a frame to the signal. */
function keep(frame: EcgFrame, { timestamp, data }: Message): void {
  if (frame.samples === 0 || frame.leads.length === 0) return;
  const now = steady();
  if (signal === null || !signal.fits(frame)) {
    tell(findings.end("the leads or the sampling rate changed", signal?.seconds ?? 0));
    signal = new EcgSignal(frame);
    screen.continueWith(signal);
    controls.describe(signal);
    age.clear();
  }
  signal.take(frame, now);
  tell(findings.update(signal.heart, signal.seconds));
  const { end } = signal.buffer;
  const sent = timestamp === null ? null : Number(timestamp) / 1e6;
  const place = { first: end - frame.samples, end, rate: signal.head.rate };
  age.arrived({ ...place, taken: frame.timestamp, sent, at: clock() }, now);
  originOf(signal).note(place.first, frame, data);
  if (sent !== null) past.arrived(sent, frame.timestamp);
  presence.arrived(now, frame.samples / frame.samplingRate);
}

/** The texts and calibrations that the messages of a signal had. */
function originOf(of: EcgSignal): Origin {
  const origin = origins.get(of) ?? new Origin();
  origins.set(of, origin);
  return origin;
}

/** Add the findings of this page's detector to the alerts. */
function tell(found: readonly Finding[]): void {
  const timeOf = (second: number): number => signal?.timeOf(second * signal.buffer.samplingRate) ?? Number.NaN;
  for (const finding of found) alerts.add(foundAlert(finding, watched, timeOf, unixSeconds()));
}

/** Measure the latency, except of messages that the server had kept for a resume. */
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

/** The age of the shown samples. While they are not live, the server's clock is measured again. */
function seen(now: number): Seen | null {
  if (signal === null) return null;
  if (now - displayedAt > HIDDEN) signal.head.advanceUnseen(now);
  const { position } = signal.head;
  const { end } = signal.buffer;
  const found = age.at(Number.isNaN(position) ? end : Math.min(position, end), clock(), now, serverClock());
  if (!presence.isLive && service.state === "open" && now - askedAt > ASKING) {
    askedAt = now;
    service.ping().catch(() => {}); // a lost connection is reported elsewhere
  }
  return found;
}

document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => {
  if (effectiveDirective === "connect-src") presence.refused(`this page may not connect to ${blockedURI}`);
});
service.on("message", (message) => {
  status.received(message);
  if (message.type === MessageType.ANOMALY_ALERT) alerts.add(readAlert(message.data, unixSeconds()));
});
service.on("state", ({ state }) => presence.linked(state));
service.on("negotiated", ({ version, capabilities }) => {
  status.negotiated(version, [...capabilities].sort());
  presentFirst(subscription);
});
service.on("subscribed", () => {
  subscribedAt = clock();
});
service.on("frame", ({ direction, bytes, at }) => log.add(direction, bytes, at / 1000));
service.on("error", ({ error }) => {
  log.blame(error.message);
  authenticity.failed(error);
});
service.on("attested", (found) => {
  if (found.stream === watched) authenticity.attested(found);
});
service.on("unattested", ({ stream, numbers }) => {
  if (stream === watched) authenticity.unattested(numbers);
});

/** Connect and subscribe. The service retries later connections by itself, but not the first. */
function connect(): void {
  if (server === null) return;
  clearTimeout(firstConnection);
  firstConnectionAt = null;
  // A closed service has ended its subscriptions; the received samples stay.
  if (chooser.value !== "" && subscription?.status !== "asked") subscribe(chooser.value);
  service.connect(server.socket.href).catch((error: Error) => {
    presence.refused(error.message);
    firstConnectionAt = Date.now() + 1000 * RETRY;
    firstConnection = setTimeout(connect, 1000 * RETRY);
  });
}

/** Connect at once, without waiting for the next attempt. */
function reconnect(): void {
  if (service.state === "closed" || service.state === "idle") connect();
  else service.reconnect();
}

/** The address of the server; null if the page's address has an invalid one, which is then shown as an error. */
function findServer(): ServerAddress | null {
  try {
    const found = serverAddress(new URL(location.href));
    const shown = element("server", HTMLElement);
    shown.hidden = found.shown === "";
    shown.title = found.socket.href;
    shown.textContent = found.shown;
    return found;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    presence.refused(error.message);
    element("reconnect", HTMLButtonElement).hidden = true; // there is no server to connect to
    return null;
  }
}

/** Request the list of streams. */
async function list(): Promise<void> {
  if (server === null) return;
  if (!document.hidden || chooser.value === "") chooser.offer(await listStreams(server.streams));
  setTimeout(list, LIST);
}

function display(at: number): void {
  requestAnimationFrame(display);
  const began = performance.now();
  displayedAt = at / 1000;
  screen.draw(at / 1000);
  if (signal !== null && !presence.isLost) heartRate.beat(signal);
  look();
  pace.note(at, performance.now() - began);
}

/** Update the heart rate, also while the page is hidden. */
function look(): void {
  if (signal === null || presence.isLost) heartRate.clear();
  else heartRate.update(signal, findings.rhythm, steady());
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
  reconnecting.update({
    isApart: service.state !== "open",
    next: service.nextAttempt ?? firstConnectionAt,
    absence: chooser.absence,
  });
  look();
  if (heartRate.alarm !== "") document.title = `${heartRate.alarm} – ecgframe monitor`;
  signalLine.update(presence.isLost ? null : signal);
  review.update(signal);
  past.update(now);
  moreLeads.update();
  analyzer.update(now, screen.review !== null);
  status.update(now, {
    gaps: signal?.gaps ?? 0,
    missingSeconds: (signal?.missing ?? 0) / (signal?.buffer.samplingRate ?? 1),
    dropped: droppedByServer,
    reconnections,
  });
}

const server = findServer();
connect();
void list();
installHook({ service, screen, presence, alerts, pace, stream: () => chooser.value, signal: () => signal });
requestAnimationFrame(display);
setInterval(tick, TICK);
