/** The wall: passes what the worker reports to the tiles, the alarms and the sound. */

import { MessageType } from "../../../src/protocol.js";
import { AccessToken } from "../access-token.js";
import { element, setText } from "../dom.js";
import { bindKeys } from "../keys.js";
import { areLabelsHidden, toggleLabels } from "../label-line.js";
import { clockInWords, timeOfDay } from "../labels.js";
import type { Theme } from "../palette.js";
import { counted } from "../plural.js";
import { serverAddress } from "../server-address.js";
import { keepInAddress } from "../settings.js";
import { listStreams } from "../streams.js";
import { TokenDialog } from "../token-dialog.js";
import { type Acknowledgement, type Alarm, AlarmBook, ownReport, readReport } from "./alarm-book.js";
import { alarmInWords, shownOf } from "./alarm-words.js";
import type { BedReport } from "./bed.js";
import { chooseBeds, namesOfBeds } from "./beds.js";
import { COLOURS } from "./colours.js";
import { HistoryPanel } from "./history-panel.js";
import "./hook.js";
import { DEFAULT_LIMITS, isMutedBy, type Limits, LimitWatch } from "./limits.js";
import { LimitsDialog } from "./limits-dialog.js";
import { badgeOf, linkInWords } from "./link-words.js";
import type { FromWorker, LinkReport, PaceReport, ToWorker } from "./messages.js";
import { acknowledgementOf, limitsMessage, pauseMessage, readLimits, readList } from "./server-alarms.js";
import { shape } from "./shapes.js";
import { Sound } from "./sound.js";
import { Tiles } from "./tiles.js";

/** Milliseconds between two requests for the list of streams, and between two looks at sounds and pause. */
const LIST = 3000;
const LOOK = 200;
/** Where the browser keeps the settings. */
const KEYS = { theme: "ecgframe.wall.theme", sound: "ecgframe.wall.sound", who: "ecgframe.wall.who" };

const unixSeconds = (): number => Date.now() / 1000;
const search = new URLSearchParams(location.search);

const bedNames = namesOfBeds(location.search);

let beds: readonly string[] = [];
let listed: readonly string[] | null = null;
let reports: readonly BedReport[] = [];
let link: LinkReport | null = null;
let pace: PaceReport = { drawing: [], between: [] };
let followed = "asking";
let takesAcknowledgements: boolean | null = null;
let isKept = false;
/** Who is signed in, as the server knows. */
let user = "";
let notice = "";
let token: AccessToken | null = null;
let dialog: TokenDialog | null = null;
let nextList: ReturnType<typeof setTimeout> | undefined;
let theme: Theme = (search.get("theme") ?? localStorage.getItem(KEYS.theme)) === "light" ? "light" : "dark";
let leads = search.get("leads") === "1" ? 1 : 2;
/** The alarms that were said to a screen reader. */
let said = "";
const limits = new Map<string, Limits>();
const watches = new Map<string, LimitWatch>();
const limitsOf = (bed: string): Limits => limits.get(bed) ?? DEFAULT_LIMITS;
const book = new AlarmBook((alarm, now) => isMutedBy(limitsOf(alarm.stream), alarm, now));
const sound = new Sound(localStorage.getItem(KEYS.sound) === "on");
const who = element("who", HTMLInputElement);
who.value = localStorage.getItem(KEYS.who) ?? "";
who.addEventListener("change", () => localStorage.setItem(KEYS.who, who.value.trim()));

const worker = startWorker();
const tell = (message: ToWorker, transfer: Transferable[] = []): void => worker?.postMessage(message, transfer);
const tiles = new Tiles(
  element("tiles", HTMLElement),
  element("scroller", HTMLElement),
  {
    address: monitorOf,
    bedOf: given,
    acknowledge: (bed) => acknowledge(book.signalling(unixSeconds()).filter(({ stream }) => stream === bed)),
  },
  () => tell({ kind: "boxes", boxes: tiles.boxes() }),
);
tiles.areLabelsHidden = areLabelsHidden(localStorage);
const history = new HistoryPanel(book, unixSeconds, acknowledge, layOut);
const limitsDialog = new LimitsDialog(limitsOf, (bed, chosen) => {
  limits.set(bed, chosen);
  if (takesAcknowledgements === true)
    tell({ kind: "send", type: MessageType.FEATURE_DATA, data: limitsMessage(bed, chosen, who.value.trim() || user) });
  else say(`The limits of ${bed} are kept by this page only, until it is closed: the server takes none.`);
  show();
});

/** The name that the page's address gives a bed; empty without one. */
function given(bed: string): string {
  return bedNames.get(bed) ?? "";
}

/** The address of the full monitor of a bed. */
function monitorOf(bed: string): string {
  const url = new URL("./", location.href);
  url.searchParams.set("stream", bed);
  const label = given(bed);
  if (label !== "") url.searchParams.set("bed", label);
  const server = search.get("server");
  if (server !== null) url.searchParams.set("server", server);
  return url.href;
}

// --- the worker ---

function startWorker(): Worker | null {
  // Its policy names the server that it may connect to, as that of the page does.
  const url = `wall-worker.js${location.search}`;
  try {
    const made = new Worker(trusted(url), { type: "module", name: "wall" });
    made.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => take(data));
    made.addEventListener("error", ({ message }) =>
      say(`The worker has stopped: ${message || "it cannot be loaded"}.`),
    );
    return made;
  } catch (error) {
    say(`The worker cannot be started: ${error instanceof Error ? error.message : error}.`);
    return null;
  }
}

/** The policy of the page demands that the address of a worker is declared as trusted. */
function trusted(url: string): string {
  const { trustedTypes } = globalThis as unknown as {
    trustedTypes?: { createPolicy(name: string, rules: object): { createScriptURL(url: string): string } };
  };
  return (
    trustedTypes?.createPolicy("ecgframe-wall", { createScriptURL: (own: string) => own }).createScriptURL(url) ?? url
  );
}

function begin(): void {
  const canvas = element("traces", HTMLCanvasElement);
  if (!("transferControlToOffscreen" in canvas)) {
    say("This browser does not support drawing in a worker (OffscreenCanvas): use a newer one.");
    return;
  }
  try {
    const { socket } = serverAddress(new URL(location.href));
    const drawn = canvas.transferControlToOffscreen();
    const send = (): void => {
      dialog?.close();
      say("");
      tell({ kind: "token", token: own.value });
    };
    const own = new AccessToken(socket.host, send);
    token = own;
    dialog = new TokenDialog(own, send);
    tell({ kind: "start", canvas: drawn, socket: socket.href, token: own.value }, [drawn]);
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  }
}

function take(message: FromWorker): void {
  switch (message.kind) {
    case "state":
      reports = message.beds;
      // Now that the server has accepted the token.
      if (listed === null && message.link.state === "open" && link?.state !== "open") void list();
      link = message.link;
      watch();
      showSound(); // the browser delays timers of a page that is hidden, but not this
      break;
    case "pace":
      pace = message.pace;
      return;
    case "found":
      book.add(ownReport(message.alert));
      break;
    case "alert":
      takeAlert(message.data, message.on);
      showSound(); // at once
      break;
    case "limits": {
      const found = readLimits(message.data);
      if (found === null) return;
      limits.set(found.bed, found.limits);
      break;
    }
    case "alerts":
      followed = { all: "all streams", each: "each stream by itself", denied: `denied, ${message.why}` }[message.state];
      break;
    case "refused":
      if (takesAcknowledgements !== true) takesAcknowledgements = false;
      say(`The server refused what this page sent: ${message.why}. Acknowledgements are of this page only.`);
      break;
    case "failed":
      say(`${message.why}.`);
      if (message.needsToken) dialog?.ask();
  }
  show();
}

function takeAlert(data: unknown, on: string): void {
  const now = unixSeconds();
  const list = readList(data);
  if (list === null) {
    book.add(readReport(data, on, now));
    return;
  }
  takesAcknowledgements = list.takesAcknowledgements;
  isKept = list.isKept;
  user = list.user;
  for (const alarm of [...list.alarms].reverse()) book.add(readReport(alarm, "", now));
  for (const [bed, found] of list.limits) limits.set(bed, found);
}

/** Watch the rates of the beds that are shown. */
function watch(): void {
  const now = unixSeconds();
  for (const report of reports) {
    const { name, condition } = report;
    const isKnown = condition.state !== "denied" && condition.state !== "lost" && condition.state !== "silent";
    const one = watches.get(name) ?? new LimitWatch(name);
    watches.set(name, one);
    for (const alert of one.update(isKnown ? report.rate : null, limitsOf(name), now)) book.add(ownReport(alert));
  }
}

// --- alarms ---

/** Acknowledge alarms, here and at the server. */
function acknowledge(alarms: readonly Alarm[]): void {
  const by = who.value.trim() || user;
  const open = alarms.filter(({ acknowledged }) => acknowledged === null);
  if (open.length === 0) return;
  if (by === "") {
    say("Enter your name to acknowledge an alarm.");
    who.focus();
    return;
  }
  const acknowledged: Acknowledgement = { by, at: unixSeconds() };
  for (const alarm of open) {
    const known = book.acknowledge(alarm.key, acknowledged);
    if (known !== undefined && takesAcknowledgements !== false)
      tell({ kind: "send", type: MessageType.ANOMALY_ALERT, data: acknowledgementOf(known, acknowledged) });
  }
  if (takesAcknowledgements === false) say("Acknowledged on this page only: the server takes no acknowledgements.");
  show();
}

/** Acknowledge the alarms of the tile with the focus, or else the alarm in the banner. */
function acknowledgeOne(): void {
  const signalling = book.signalling(unixSeconds());
  const ofTile = signalling.filter(({ stream }) => stream === tiles.focused);
  acknowledge(ofTile.length > 0 ? ofTile : signalling.slice(0, 1));
}

// --- what is shown ---

function say(text: string): void {
  notice = text;
  const shown = element("notice", HTMLElement);
  shown.hidden = notice === "";
  setText(shown, notice);
}

function show(): void {
  const now = unixSeconds();
  const byBed = book.byBed(now);
  const isSignalling = (alarm: Alarm): boolean => book.isSignalling(alarm, now);
  for (const report of reports) tiles.update(report, shownOf(byBed.get(report.name) ?? [], isSignalling, now));
  showBanner(book.signalling(now), now);
  history.update();
  if (link === null) return;
  showUser();
  const clock = element("wall-clock", HTMLElement);
  setText(clock, timeOfDay(now + (link.clockOffset ?? 0)));
  clock.title = clockInWords(link.clockOffset);
  const badge = element("connection", HTMLElement);
  const { state, words } = badgeOf(link);
  badge.dataset.state = state;
  setText(badge, words);
  setText(element("link", HTMLElement), linkInWords(link, Date.now()));
  setText(element("followed", HTMLElement), followedInWords());
}

/** Show who is signed in, as the server says; the key B hides it. */
function showUser(): void {
  const shown = element("user", HTMLElement);
  shown.hidden = user === "";
  setText(shown, user === "" ? "" : `Signed in: ${tiles.areLabelsHidden ? "hidden" : user}`);
  if (who.placeholder !== user) who.placeholder = tiles.areLabelsHidden ? "" : user;
}

function followedInWords(): string {
  const kept = isKept ? "kept by the server" : "not kept over a restart";
  const words =
    takesAcknowledgements === true ? kept : takesAcknowledgements === null ? "of shown beds" : "of this page only";
  return `Alerts: ${followed}; acknowledgements: ${takesAcknowledgements === null ? "unknown to the server" : words}`;
}

function showBanner(alarms: readonly Alarm[], now: number): void {
  const banner = element("banner", HTMLElement);
  const first = alarms.at(0);
  banner.hidden = first === undefined;
  const count = alarms.length > 1 ? ` · ${alarms.length - 1} more` : "";
  const text = first === undefined ? "" : alarmInWords(first, now);
  if (first !== undefined) {
    const bed = element("banner-bed", HTMLAnchorElement);
    if (banner.dataset.priority !== first.severity)
      element("banner-shape", HTMLElement).replaceChildren(shape(first.severity));
    banner.dataset.priority = first.severity;
    if (bed.textContent !== first.stream) bed.href = monitorOf(first.stream);
    setText(bed, first.stream);
    setText(element("banner-text", HTMLElement), `${text}${count}`);
  }
  const spoken = first === undefined ? "" : `${first.stream}: ${text}`;
  if (spoken !== said) setText(element("said", HTMLElement), spoken);
  said = spoken;
  document.title = first === undefined ? "ecgframe wall" : `(${alarms.length}) ${first.stream} – ecgframe wall`;
}

function showSound(): void {
  const now = performance.now() / 1000;
  const priority = book.signalling(unixSeconds()).at(0)?.severity ?? null;
  sound.update(priority, now);
  const state = sound.state(now);
  const button = element("sound", HTMLButtonElement);
  const words = { off: "Sound off", waiting: "Sound waits for a click", on: "Sound on", paused: "Sound on" }[state];
  setText(button, words);
  button.setAttribute("aria-pressed", String(sound.isWanted));
  button.classList.toggle("silent", priority !== null && (state === "off" || state === "waiting"));
  const pause = element("pause", HTMLButtonElement);
  const left = Math.ceil(sound.plan.left(now));
  const clock = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  setText(pause, left > 0 ? `Paused ${clock}` : "Pause sound");
  pause.setAttribute("aria-pressed", String(left > 0));
}

// --- which beds, and where ---

function layOut(): void {
  tell({ kind: "beds", names: beds, listed: listed ?? beds });
  const { width, height, boxes } = tiles.layOut();
  const canvas = element("traces", HTMLCanvasElement);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const asked = (search.get("lead") ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);
  const count = leads === 2 && tiles.hasRoomForTwo ? 2 : 1;
  tell({ kind: "layout", width, height, ratio: devicePixelRatio, boxes, leads: count, asked, colours: COLOURS[theme] });
}

/** Request the list of streams; not while the page asks for a token, which the list needs as well. */
async function list(): Promise<void> {
  try {
    if (dialog?.isOpen) return;
    const { streams } = serverAddress(new URL(location.href));
    const found = (await listStreams(streams, token?.value ?? null))?.streams ?? null;
    const isNews = found !== null && found.join("\n") !== (listed ?? []).join("\n");
    listed = found ?? listed;
    const { shown, more } = chooseBeds(location.search, listed);
    element("none", HTMLElement).hidden = shown.length > 0;
    setText(
      element("beds", HTMLElement),
      more > 0
        ? `${shown.length} of ${shown.length + more} beds: ?streams= names others`
        : counted(shown.length, "bed"),
    );
    if (shown.join("\n") !== beds.join("\n") || isNews) {
      beds = shown;
      tiles.show(beds);
      layOut();
    }
  } finally {
    clearTimeout(nextList);
    nextList = setTimeout(list, LIST);
  }
}

function setTheme(next: Theme): void {
  theme = next;
  document.documentElement.dataset.theme = theme;
  setText(element("theme", HTMLButtonElement), theme === "dark" ? "Light" : "Dark");
  localStorage.setItem(KEYS.theme, theme);
  layOut();
}

function setLeads(count: number): void {
  leads = count;
  for (const field of document.querySelectorAll<HTMLInputElement>('input[name="leads"]'))
    field.checked = Number(field.value) === leads;
  keepInAddress({ leads: String(leads) });
  layOut();
}

// --- controls ---

const turnSound = (): void => {
  sound.toggle();
  localStorage.setItem(KEYS.sound, sound.isWanted ? "on" : "off");
  showSound();
};
const pauseSound = (): void => {
  const now = performance.now() / 1000;
  sound.plan.togglePause(now);
  if (takesAcknowledgements === true) {
    const data = pauseMessage(sound.plan.left(now), who.value.trim(), unixSeconds());
    tell({ kind: "send", type: MessageType.ANOMALY_ALERT, data });
  }
  showSound();
};
const openLimits = (): void => limitsDialog.open(beds, tiles.focused);
const openHelp = (): void => element("help", HTMLDialogElement).showModal();
const hideLabels = (): void => {
  tiles.areLabelsHidden = toggleLabels(localStorage);
  show();
};
const turnTheme = (): void => setTheme(theme === "dark" ? "light" : "dark");

for (const [id, run] of [
  ["sound", turnSound],
  ["pause", pauseSound],
  ["open-limits", openLimits],
  ["open-help", openHelp],
  ["theme", turnTheme],
  ["banner-acknowledge", () => acknowledge(book.signalling(unixSeconds()).slice(0, 1))],
] as const)
  element(id, HTMLButtonElement).addEventListener("click", run);
for (const field of document.querySelectorAll<HTMLInputElement>('input[name="leads"]'))
  field.addEventListener("change", () => setLeads(Number(field.value)));
bindKeys([
  {
    keys: ["a", "A"],
    shown: "A",
    does: "acknowledge the alarms of the tile with the focus, or else the most urgent",
    run: acknowledgeOne,
  },
  { keys: ["h", "H"], shown: "H", does: "history of the alarms", run: () => history.toggle() },
  { keys: ["l", "L"], shown: "L", does: "limits of the bed with the focus", run: openLimits },
  { keys: ["s", "S"], shown: "S", does: "sound on or off", run: turnSound },
  { keys: ["p", "P"], shown: "P", does: "pause the sound for two minutes, or end the pause", run: pauseSound },
  { keys: ["b", "B"], shown: "B", does: "hide or show beds and patients", run: hideLabels },
  { keys: ["1"], does: "one lead", run: () => setLeads(1) },
  { keys: ["2"], does: "two leads, if the tiles are high enough", run: () => setLeads(2) },
  { keys: ["t", "T"], shown: "T", does: "dark or light", run: turnTheme },
  { keys: ["r", "R"], shown: "R", does: "connect at once", run: () => tell({ kind: "reconnect" }) },
  { keys: ["?"], does: "show these keys; arrow keys go from tile to tile, Enter opens its monitor", run: openHelp },
]);

window.ecgframeWall = {
  get state() {
    return {
      link,
      beds: reports,
      alerts: followed,
      sound: sound.state(performance.now() / 1000),
      played: { ...sound.played },
      soundedAt: sound.soundedAt,
      pause: sound.plan.left(performance.now() / 1000),
      takesAcknowledgements,
      limits: Object.fromEntries(limits),
    };
  },
  get alarms() {
    const now = unixSeconds();
    return book.all.map((alarm) => ({ ...alarm, isSignalling: book.isSignalling(alarm, now) }));
  },
  get pace() {
    return pace;
  },
};

begin();
setTheme(theme);
for (const field of document.querySelectorAll<HTMLInputElement>('input[name="leads"]'))
  field.checked = Number(field.value) === leads;
showSound();
void list();
new ResizeObserver(layOut).observe(element("scroller", HTMLElement));
setInterval(showSound, LOOK);
