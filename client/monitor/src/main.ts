/** The page: passes the events of the service and the frames of the display to its parts. */

import { MessageType, Sealing, WebSocketBinaryService } from "../../src/index.js";
import { AccessToken } from "./access-token.js";
import { foundAlert, readAlert } from "./alert-history.js";
import { Alerts } from "./alerts.js";
import { Analyzer } from "./analyzer.js";
import { Authenticity, signersIn } from "./authenticity.js";
import { Comparison } from "./comparison.js";
import { Controls } from "./controls.js";
import { element } from "./dom.js";
import { EventMarks } from "./event-marks.js";
import { ecgFrame } from "./feed.js";
import { type Finding, Findings } from "./findings.js";
import { FrameLog } from "./frame-log.js";
import { HeartRateDisplay } from "./heart.js";
import { heartDetectorFor } from "./heart-detection.js";
import { installHook } from "./hook.js";
import { LabelLine } from "./label-line.js";
import { labelsOf } from "./labels.js";
import { clock, HISTORY, LiveSignal, steady, unixSeconds } from "./live-signal.js";
import { MarkFlags } from "./mark-flags.js";
import { MarksPanel } from "./marks-panel.js";
import { MoreLeads } from "./more-leads.js";
import { Numerics } from "./numerics.js";
import { NumericsLine } from "./numerics-line.js";
import { Overflow } from "./overflow.js";
import { Pace } from "./pace.js";
import { HISTORY_SINCE, Past } from "./past.js";
import { Presence } from "./presence.js";
import { PrintDialog } from "./print/dialog.js";
import { Origin } from "./print/origin.js";
import { Reconnecting } from "./reconnecting.js";
import { isRefusal } from "./refusal.js";
import { ReviewBar } from "./review.js";
import { Screen } from "./screen.js";
import { SCREEN_TOOLS } from "./screen-tools.js";
import { type ServerAddress, serverAddress } from "./server-address.js";
import { keepInAddress, load } from "./settings.js";
import { EcgSignal } from "./signal.js";
import { SignalLine } from "./signal-line.js";
import { Status } from "./status.js";
import { listStreams, StreamChooser } from "./streams.js";
import { TokenDialog } from "./token-dialog.js";
import { TrendPanel } from "./trend-panel.js";

/** Milliseconds between two updates of everything but the traces, also while the page is hidden. */
const TICK = 100;

/** Seconds until the first connection is retried. */
const RETRY = 3;

/** Milliseconds between two requests for the list of streams. */
const LIST = 3000;

let findings = new Findings();
const origins = new WeakMap<EcgSignal, Origin>();
let firstConnection: ReturnType<typeof setTimeout> | undefined;
let firstConnectionAt: number | null = null;
let nextList: ReturnType<typeof setTimeout> | undefined;

const signers = signersIn(location.search);
const sealing = new Sealing(signers.keys.length > 0 ? { signers: signers.keys } : {});
const service = new WebSocketBinaryService({ sealing, token: () => token?.value ?? null });
const status = new Status();
const alerts = new Alerts();
const log = new FrameLog();
const analyzer = new Analyzer(log);
const heartRate = new HeartRateDisplay();
const signalLine = new SignalLine();
const numerics = new Numerics();
const numericsLine = new NumericsLine();
const labels = new LabelLine({ bed: new URLSearchParams(location.search).get("bed") ?? "", patient: "" }, localStorage);
const pace = new Pace();
const presence = new Presence(steady());
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
  undefined,
  SCREEN_TOOLS,
);
const server = findServer();
const marks = new EventMarks(localStorage, server?.socket.host ?? "");
const review = new ReviewBar(screen);
const past = new Past({
  host: service,
  screen,
  stream: () => live.stream,
  signal: () => live.signal,
  version: () => service.negotiated?.version ?? 0,
  alert: ({ data }) => alerts.add(readAlert(data, unixSeconds())),
  note: (signal, frame, data) => originOf(signal).note(signal.buffer.end, frame, data),
});
const trend = new TrendPanel({
  host: service,
  screen,
  stream: () => live.stream,
  version: () => service.negotiated?.version ?? 0,
  alerts: () => alerts.history,
  events: () => marks.of(live.stream),
  now: serverNow,
  goTo,
});
const comparison = new Comparison(
  {
    host: service,
    screen,
    stream: () => live.stream,
    signal: () => live.signal,
    version: () => service.negotiated?.version ?? 0,
    offset: () => past.offset,
    rateAt: (at) => trend.trend.rateAt(at),
    now: serverNow,
  },
  settings,
);
const marksPanel = new MarksPanel({
  marks,
  screen,
  stream: () => live.stream,
  signal: () => live.signal,
  alerts: () => alerts.history,
  past: () => trend.trend.marks,
  now: serverNow,
  goTo,
  compare: (at, name) => comparison.with(at, name),
  opened: () => controls.closeAlerts(),
});
const flags = new MarkFlags(screen);
const moreLeads = new MoreLeads(screen);
const reconnecting = new Reconnecting(reconnect);
const overflow = new Overflow();
const chooser = new StreamChooser(new URLSearchParams(location.search).get("stream"), (name, byHand) => {
  if (byHand) keepInAddress({ stream: name });
  watch(name);
});
const live: LiveSignal = new LiveSignal(service, {
  took(message) {
    authenticity.took(message);
    if (message.type === MessageType.FEATURE_DATA) numerics.take(message, serverTime());
  },
  frameOf: ecgFrame,
  begins(frame, before) {
    tell(findings.end("the leads or the sampling rate changed", before?.seconds ?? 0));
    const signal = new EcgSignal(frame, heartDetectorFor(frame));
    screen.continueWith(signal);
    controls.describe(signal);
    return signal;
  },
  kept(signal, frame, message, first) {
    tell(findings.update(signal.heart, signal.seconds));
    originOf(signal).note(first, frame, message.data);
    labels.told(labelsOf(message.data));
    if (message.timestamp !== null) past.arrived(Number(message.timestamp) / 1e6, frame.timestamp);
    presence.arrived(steady(), frame.samples / frame.samplingRate);
    const latency = live.latencyOf(message);
    if (latency !== null) status.travelled(latency);
  },
  lost: (gap) => past.lost(gap),
  failed: (error) => log.blame(error.message),
  denied: (error) => presence.refused(error.message),
});
const paper = new PrintDialog({
  screen,
  origin: originOf,
  marks: () => marks.of(live.stream),
  stream: () => chooser.value,
  signal: () => live.signal,
  condition: (shown) => ({
    isLost: presence.isLost,
    badge: element("connection", HTMLElement).textContent ?? "",
    age: unixSeconds() + (service.statistics.clockOffset ?? 0) - shown.timeOf(shown.buffer.end),
  }),
  now: unixSeconds,
});
const controls = new Controls(
  screen,
  alerts,
  analyzer,
  chooser,
  paper,
  labels,
  trend,
  marksPanel,
  comparison,
  settings,
  overflow,
  () => review.update(live.signal),
);
/** Unix seconds by the server's clock, as far as it is known. */
function serverTime(): number {
  return clock() + (service.statistics.clockOffset ?? 0);
}

/** Show another stream. */
function watch(name: string): void {
  past.clear();
  comparison.close();
  marksPanel.clear();
  tell(findings.end("no longer watched", live.signal?.seconds ?? 0));
  findings = new Findings();
  live.watch(name);
  trend.clear();
  presentFirst();
  screen.show(null);
  heartRate.clear();
  numerics.clear();
  status.clear();
  authenticity.clear();
  labels.clear();
  presence.watching(steady());
}

/** Unix seconds, by the server's clock where it is known. */
function serverNow(): number {
  return clock() + (service.statistics.clockOffset ?? 0);
}

/** Freeze the screen, and show a time in Unix seconds. */
function goTo(time: number): void {
  past.goTo(time);
  review.update(live.signal);
}

/** Have the present sent first after an interruption, where the server's history brings the rest. */
function presentFirst(): void {
  const { subscription } = live;
  const isKept = (service.negotiated?.version ?? 0) >= HISTORY_SINCE;
  if (subscription !== null) subscription.catchUp = isKept ? 1000 * HISTORY : null;
}

/** The texts and calibrations that the messages of a signal had. */
function originOf(of: EcgSignal): Origin {
  const origin = origins.get(of) ?? new Origin();
  origins.set(of, origin);
  return origin;
}

/** Add the findings of this page's detector to the alerts. */
function tell(found: readonly Finding[]): void {
  const { signal, stream } = live;
  const timeOf = (second: number): number => signal?.timeOf(second * signal.buffer.samplingRate) ?? Number.NaN;
  for (const finding of found) alerts.add(foundAlert(finding, stream, timeOf, unixSeconds()));
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
  presentFirst();
  if (!chooser.isListed) void list(); // now that the server has accepted the token
});
service.on("frame", ({ direction, bytes, at }) => log.add(direction, bytes, at / 1000));
service.on("error", ({ error }) => {
  log.blame(error.message);
  authenticity.failed(error);
  if (isRefusal(error, token?.value != null)) refused(error);
});
service.on("attested", (found) => {
  if (found.stream === live.stream) authenticity.attested(found);
});
service.on("unattested", ({ stream, numbers }) => {
  if (stream === live.stream) authenticity.unattested(numbers);
});

/** Connect and subscribe. The service retries later connections by itself, but not the first. */
function connect(): void {
  if (server === null) return;
  clearTimeout(firstConnection);
  firstConnectionAt = null;
  live.subscribe(); // a closed service has ended its subscriptions; the received samples stay
  presentFirst();
  service.connect(server.socket.href).catch((error: Error) => {
    if (isRefusal(error, token?.value != null)) {
      refused(error);
      return;
    }
    presence.refused(error.message);
    firstConnectionAt = Date.now() + 1000 * RETRY;
    firstConnection = setTimeout(connect, 1000 * RETRY);
  });
}

/** Ask for a token. The same one is not tried again by itself. */
function refused(error: Error): void {
  presence.refused(error.message);
  dialog?.ask();
}

/** Connect at once, without waiting for the next attempt. */
function reconnect(): void {
  if (service.state === "closed" || service.state === "idle") connect();
  else service.reconnect();
}

/** Connect with the token that another tab had, or that came into the address. */
function withToken(): void {
  dialog?.close();
  reconnect();
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

/** Request the list of streams; not while the page asks for a token, which the list needs as well. */
async function list(): Promise<void> {
  if (server === null) return;
  if (!dialog?.isOpen && (!document.hidden || chooser.value === "")) {
    const found = await listStreams(server.streams, token?.value ?? null);
    if (found !== null) labels.user = found.user;
    if (found !== null || !dialog?.isOpen) chooser.offer(found?.streams ?? null);
  }
  clearTimeout(nextList);
  nextList = setTimeout(list, LIST);
}

function display(at: number): void {
  requestAnimationFrame(display);
  const began = performance.now();
  live.displayed(at / 1000);
  screen.draw(at / 1000);
  const { signal } = live;
  const made = marks.of(live.stream);
  flags.draw(made, screen.review?.signal ?? signal);
  comparison.draw(at / 1000, made);
  if (signal !== null && !presence.isLost) heartRate.beat(signal);
  look();
  pace.note(at, performance.now() - began);
}

/** Update the heart rate, also while the page is hidden. */
function look(): void {
  const { signal } = live;
  if (signal === null || presence.isLost) heartRate.clear();
  else heartRate.update(signal, findings.rhythm, steady());
}

function tick(): void {
  const now = steady();
  const { signal } = live;
  const { reconnections, droppedByServer, roundTrip, clockOffset } = service.statistics;
  presence.update(now, {
    seen: live.seen(now, presence.isLive),
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
  numericsLine.update(numerics.at(presence.isLost ? Number.POSITIVE_INFINITY : serverTime()));
  labels.update(clock() + (clockOffset ?? 0), clockOffset);
  trend.update(
    signal?.timeOf(signal.buffer.end) ?? Number.NaN,
    presence.isLost ? Number.NaN : (signal?.rateAt(now) ?? Number.NaN),
    now,
  );
  review.update(signal);
  marksPanel.update();
  comparison.update();
  moreLeads.update();
  analyzer.update(now, screen.review !== null);
  status.update(now, {
    gaps: signal?.gaps ?? 0,
    missingSeconds: (signal?.missing ?? 0) / (signal?.buffer.samplingRate ?? 1),
    dropped: droppedByServer,
    reconnections,
  });
}

const token = server === null ? null : new AccessToken(server.socket.host, withToken);
const dialog = token === null ? null : new TokenDialog(token, reconnect);
connect();
void list();
installHook({
  service,
  screen,
  presence,
  alerts,
  pace,
  trend: trend.trend,
  stream: () => chooser.value,
  signal: () => live.signal,
});
requestAnimationFrame(display);
setInterval(tick, TICK);
