/**
 * `<ecg-monitor url="wss://..." stream="ecg/1">`: a live ECG in any page.
 *
 * It connects while it is in a document, draws into its shadow root, and says in its own drawing and by events when the
 * signal is late, lost or denied, and how much is missing.
 */

import type { ServiceOptions, WebSocketBinaryService } from "../../src/index.js";
import { ErrorCode } from "../../src/protocol.js";
import { ConnectionLost } from "../../src/service/backoff.js";
import type { ServiceParts } from "../../src/service/parts.js";
import { RECEIVING_PARTS } from "../../src/service/receiving-parts.js";
import { ServiceOfParts } from "../../src/service/service-of-parts.js";
import { setText } from "../src/dom.js";
import { ecgFrame } from "../src/feed.js";
import { chosenLabels, clockInWords, labelsOf, NO_LABELS, timeOfDay } from "../src/labels.js";
import { clock as clockNow, LiveSignal, steady } from "../src/live-signal.js";
import type { Gain, Speed } from "../src/scale.js";
import { CALIPER_STEPS, Screen } from "../src/screen.js";
import type { View } from "../src/settings.js";
import { EcgSignal } from "../src/signal.js";
import { faultsOf } from "../src/signal-line.js";
import { SignalPresence } from "../src/signal-presence.js";
import { ATTRIBUTES, LABELS, settingsOf } from "./attributes.js";
import { coloursOf } from "./colours.js";
import type { MonitorDetails, MonitorEvents, MonitorState } from "./events.js";
import { chosenLeads, leadNames } from "./lead-choice.js";
import { styleSheet } from "./style.js";

/** Milliseconds between two updates of everything but the traces. */
const TICK = 100;
/** Milliseconds until a first connection is retried; each time twice as long, up to the second value. */
const RETRY = { first: 1000, most: 30_000 };

/** Finds heartbeats: `heartDetectorFor` of "ecgframe/monitor/heart". */
export type DetectorFor = (frame: Pick<EcgSignal["buffer"], "samplingRate" | "leads">) => EcgSignal["detector"];

/** The parts of the shadow root. */
interface Shown {
  readonly screen: Screen;
  readonly stage: HTMLElement;
  readonly scroller: HTMLElement;
  readonly overlay: HTMLCanvasElement;
  readonly state: HTMLElement;
  readonly stream: HTMLElement;
  readonly bed: HTMLElement;
  readonly patient: HTMLElement;
  readonly user: HTMLElement;
  readonly clock: HTMLElement;
  readonly faults: HTMLElement;
  readonly gaps: HTMLElement;
  readonly reading: HTMLElement;
  readonly rate: HTMLElement;
  readonly notice: HTMLElement;
  readonly title: HTMLElement;
  readonly reason: HTMLElement;
}

// On a server there are no elements: importing the module must not fail there.
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

export class EcgMonitor extends Base {
  static readonly observedAttributes: readonly string[] = ATTRIBUTES;

  #token: ServiceOptions["token"] = null;
  #options: ServiceOptions = {};
  #given: WebSocketBinaryService | null = null;
  #detector: DetectorFor | null = null;
  #shown: Shown | null = null;
  #state: MonitorState = "idle";
  #presence = new SignalPresence(0);
  #live: LiveSignal | null = null;
  /** What ends the connection, and the listeners on its service. */
  #endings: (() => void)[] = [];
  /** True if the connection is to be made anew, or the stream to be watched anew. */
  #isOther = { connection: true, stream: true };
  #isPlanned = false;
  /** The parts of a service that does more than receive; null before they are loaded. */
  #wholeParts: ServiceParts | null = null;
  #isAskingTools = false;
  #isDenied = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #delay = RETRY.first;
  #tick: ReturnType<typeof setInterval> | undefined;
  #frame = 0;
  /** Messages that are lost, and those that could not be read. */
  #lost = 0;
  #unreadable = 0;
  #absent: readonly string[] = [];
  /** What the sender says of bed and patient. */
  #labels = NO_LABELS;
  #told = { invalid: "", reading: "", rate: Number.NaN, isFrozen: false, colours: "" };

  // --- attributes and properties ---

  /** Address of the server: "wss://host/ws". */
  get url(): string {
    return this.getAttribute("url") ?? "";
  }
  set url(value: string | null) {
    this.#reflect("url", value);
  }

  /** Name of the stream. */
  get stream(): string {
    return this.getAttribute("stream") ?? "";
  }
  set stream(value: string | null) {
    this.#reflect("stream", value);
  }

  /** Names of the leads to show, in this order; all if it is empty. */
  get leads(): readonly string[] {
    return leadNames(this.getAttribute("leads"));
  }
  set leads(value: readonly string[] | string | null) {
    this.#reflect("leads", typeof value === "string" || value === null ? value : value.join(","));
  }

  get view(): View {
    return settingsOf(this).settings.view;
  }
  set view(value: View | null) {
    this.#reflect("view", value);
  }

  /** In mm/s. */
  get speed(): Speed {
    return settingsOf(this).settings.speed;
  }
  set speed(value: Speed | `${Speed}` | null) {
    this.#reflect("speed", value);
  }

  /** In mm/mV. */
  get gain(): Gain {
    return settingsOf(this).settings.gain;
  }
  set gain(value: Gain | `${Gain}` | null) {
    this.#reflect("gain", value);
  }

  get theme(): "dark" | "light" {
    return settingsOf(this).settings.theme;
  }
  set theme(value: "dark" | "light" | null) {
    this.#reflect("theme", value);
  }

  /** True if dragging on the paper, or the key C, measures. */
  get calipers(): boolean {
    return this.hasAttribute("calipers");
  }
  set calipers(value: boolean) {
    this.toggleAttribute("calipers", Boolean(value));
  }

  /** Name of the bed; what the sender says as `device_id` if it is empty. */
  get bed(): string {
    return this.getAttribute("bed") ?? "";
  }
  set bed(value: string | null) {
    this.#reflect("bed", value);
  }

  /** Name of the patient; what the sender says as `patient_id` if it is empty. */
  get patient(): string {
    return this.getAttribute("patient") ?? "";
  }
  set patient(value: string | null) {
    this.#reflect("patient", value);
  }

  /** Who is signed in, as the application knows. */
  get user(): string {
    return this.getAttribute("user") ?? "";
  }
  set user(value: string | null) {
    this.#reflect("user", value);
  }

  /** True if the time of day is shown, by the server's clock where it is known. */
  get clock(): boolean {
    return this.hasAttribute("clock");
  }
  set clock(value: boolean) {
    this.toggleAttribute("clock", Boolean(value));
  }

  /** True if bed, patient and user are hidden; the key B changes it. */
  get hideLabels(): boolean {
    return this.hasAttribute("hide-labels");
  }
  set hideLabels(value: boolean) {
    this.toggleAttribute("hide-labels", Boolean(value));
  }

  /** A bearer token, or a function that returns one; see `ServiceOptions.token`. No attribute, as it is a secret. */
  get token(): ServiceOptions["token"] {
    return this.#token;
  }
  set token(value: ServiceOptions["token"]) {
    if (value === this.#token) return;
    this.#token = value ?? null;
    this.#plan("connection");
  }

  /** Options of the connection that the element makes. */
  get options(): ServiceOptions {
    return this.#options;
  }
  set options(value: ServiceOptions | null) {
    if (value === this.#options) return;
    this.#options = value ?? {};
    this.#plan("connection");
  }

  /** A service of the page to use instead of an own connection. The element does not connect it, nor close it. */
  get service(): WebSocketBinaryService | null {
    return this.#given;
  }
  set service(value: WebSocketBinaryService | null) {
    if (value === this.#given) return;
    this.#given = value ?? null;
    this.#plan("connection");
  }

  /** Finds heartbeats, for the heart rate and the event `ecg-rate`; null for none. */
  get detector(): DetectorFor | null {
    return this.#detector;
  }
  set detector(value: DetectorFor | null) {
    if (value === this.#detector) return;
    this.#detector = value ?? null;
    this.#plan("stream");
  }

  /** What the element shows. */
  get state(): MonitorState {
    return this.#state;
  }

  /** The samples, times and beats that arrived; null before the first. */
  get signal(): EcgSignal | null {
    return this.#live?.signal ?? null;
  }

  /** The screen, for scrolling and calipers by code; null before the element is in a document. */
  get screen(): Screen | null {
    return this.#shown?.screen ?? null;
  }

  /** True while the screen is frozen. */
  get frozen(): boolean {
    return (this.screen?.review ?? null) !== null;
  }

  // --- methods ---

  /** Freeze the screen. Samples are received further. */
  freeze(): void {
    this.#useTools();
    this.screen?.freeze();
    this.#changed();
  }

  /** Continue live, and remove the calipers. */
  goLive(): void {
    this.screen?.goLive();
    this.#changed();
  }

  /** Connect at once, also after the server refused. */
  reconnect(): void {
    const { service } = this.#live ?? {};
    if (service && (service.state === "open" || service.state === "reconnecting")) service.reconnect();
    else this.#plan("connection");
  }

  override addEventListener<Name extends keyof MonitorEvents>(
    type: Name,
    listener: ((this: EcgMonitor, event: MonitorEvents[Name]) => unknown) | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener<Name extends keyof HTMLElementEventMap>(
    type: Name,
    listener: (this: HTMLElement, event: HTMLElementEventMap[Name]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(type: string, listener: unknown, options?: boolean | AddEventListenerOptions): void {
    super.addEventListener(type, listener as EventListener, options);
  }

  // --- the life of the element ---

  connectedCallback(): void {
    this.#adopt();
    this.#shown ??= this.#build();
    this.#shown.screen.connect();
    this.#plan(this.#tick === undefined ? "connection" : null); // an element that was only moved keeps its connection
    this.#tick ??= setInterval(() => this.#update(), TICK);
    this.#frame ||= requestAnimationFrame((at) => this.#draw(at));
  }

  disconnectedCallback(): void {
    // An element that is only moved is back in the document by then.
    queueMicrotask(() => {
      if (this.isConnected) return;
      clearInterval(this.#tick);
      this.#tick = undefined;
      cancelAnimationFrame(this.#frame);
      this.#frame = 0;
      this.#shown?.screen.disconnect();
      this.#leave();
      this.#enter("idle", "");
    });
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (before === after) return;
    if (name === "url") this.#plan("connection");
    else if (name === "stream" || name === "leads") this.#plan("stream");
    else if (LABELS.some((label) => label === name)) this.#showLabels();
    else this.#restyle();
  }

  /** Take the properties that were set before the class was defined. */
  #adopt(): void {
    for (const name of [
      "url",
      "stream",
      "leads",
      "view",
      "speed",
      "gain",
      "theme",
      "calipers",
      "bed",
      "patient",
      "user",
      "clock",
      "hideLabels",
      "token",
      "options",
      "service",
      "detector",
    ]) {
      if (!Object.hasOwn(this, name)) continue;
      const value = Reflect.get(this, name);
      Reflect.deleteProperty(this, name);
      Reflect.set(this, name, value);
    }
  }

  #reflect(name: string, value: string | number | null | undefined): void {
    if (value === null || value === undefined) this.removeAttribute(name);
    else this.setAttribute(name, String(value));
  }

  #build(): Shown {
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [styleSheet()];
    const make = <Tag extends keyof HTMLElementTagNameMap>(tag: Tag, name: string, ...inside: Element[]) => {
      const made = document.createElement(tag);
      made.className = name;
      made.setAttribute("part", name);
      made.append(...inside);
      return made;
    };
    const canvases = {
      paper: make("canvas", "paper"),
      traces: make("canvas", "traces"),
      overlay: make("canvas", "overlay"),
      labels: make("canvas", "labels"),
    };
    canvases.overlay.setAttribute("role", "img");
    canvases.overlay.tabIndex = 0; // for its keys
    canvases.overlay.setAttribute("aria-keyshortcuts", "Space B C X Escape");
    const names = ["state", "bed", "patient", "stream", "faults", "gaps", "reading", "user"];
    const spans = names.map((name) => make("span", name));
    const [state, bed, patient, stream, faults, gaps, reading, user] = spans;
    const clock = make("time", "clock");
    bed.title = "Bed";
    patient.title = "Patient";
    user.title = "Signed in";
    const rate = make("output", "rate");
    state.setAttribute("role", "status");
    faults.setAttribute("role", "status");
    reading.setAttribute("aria-live", "polite");
    rate.setAttribute("aria-label", "Heart rate, beats a minute");
    const line = make("div", "line", ...spans, clock, rate);
    const [title, reason] = [make("strong", "title"), make("span", "reason")];
    const again = make("button", "reconnect");
    again.type = "button";
    again.textContent = "Reconnect";
    again.addEventListener("click", () => this.reconnect());
    const notice = make("div", "notice", title, reason, again);
    notice.setAttribute("role", "alert");
    notice.hidden = true;
    const scroller = make("section", "scroller", canvases.paper, canvases.traces, canvases.overlay, canvases.labels);
    scroller.setAttribute("aria-label", "ECG paper");
    const stage = make("div", "stage", scroller);
    root.append(line, notice, stage);
    const screen = new Screen(
      stage,
      scroller,
      canvases,
      settingsOf(this).settings,
      ({ theme }) => coloursOf(this, theme).palette,
    );
    canvases.overlay.addEventListener("keydown", (event) => this.#key(event));
    const { overlay } = canvases;
    const labels = { bed, patient, user, clock };
    return {
      ...{ screen, stage, scroller, overlay, state, stream, faults, gaps, reading, rate, notice, title, reason },
      ...labels,
    };
  }

  // --- the connection ---

  /** Connect or watch anew, once all attributes and properties of this turn are set. */
  #plan(what: "connection" | "stream" | null): void {
    if (what !== null) this.#isOther[what] = true;
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    queueMicrotask(() => {
      this.#isPlanned = false;
      if (this.isConnected) this.#follow();
    });
  }

  #follow(): void {
    const { connection, stream } = this.#isOther;
    this.#isOther = { connection: false, stream: false };
    this.#restyle();
    if (connection) {
      this.#leave();
      this.#join();
    }
    if (connection || stream) this.#watch();
    this.#update();
  }

  /** Leave the service; an own one is closed. */
  #leave(): void {
    clearTimeout(this.#retry);
    this.#delay = RETRY.first;
    this.#isDenied = false;
    for (const end of this.#endings.splice(0)) end();
    this.#live = null;
    this.#shown?.screen.show(null);
  }

  #join(): void {
    const service: ServiceOfParts | null = this.#given ?? (this.url === "" ? null : this.#ownService());
    if (service === null) return;
    const live: LiveSignal = new LiveSignal(service, {
      took: (message) => this.#tell("ecg-message", message),
      frameOf: (message) => this.#chosen(ecgFrame(message)),
      begins: (frame) => {
        const signal = new EcgSignal(frame, this.#detector?.(frame) ?? null);
        this.screen?.continueWith(signal);
        return signal;
      },
      kept: (_, frame, message, first) => {
        this.#isDenied = false;
        this.#presence.arrived(steady(), frame.samples / frame.samplingRate);
        this.#labels = labelsOf(message.data);
        this.#tell("ecg-frame", { frame, message, first });
      },
      lost: (gap) => {
        if (live.signal === null) return; // what was before the first samples is not missed here
        this.#lost += gap.frames ?? 0;
        this.#tell("ecg-loss", gap);
      },
      failed: (error) => {
        this.#unreadable += 1;
        this.#tell("ecg-error", { error });
      },
      denied: (error) => {
        if (!(error instanceof ConnectionLost)) this.#deny(error);
      },
    });
    this.#live = live;
    this.#endings.push(
      () => live.end(),
      service.on("state", ({ state }) => {
        this.#presence.linked(state);
        if (state === "connecting") live.subscribe(); // a closed service has ended its subscriptions
      }),
      service.on("error", ({ error }) => this.#tell("ecg-error", { error })),
    );
    this.#presence.linked(service.state);
    if (service !== this.#given) this.#connect(service);
  }

  /** Returns a service that does what the options ask for; null if that is not loaded yet. */
  #ownService(): ServiceOfParts | null {
    const parts = needsWholeService(this.#options) ? this.#wholeParts : RECEIVING_PARTS;
    if (parts === null) {
      this.#load(
        import("../../src/service/all-parts.js"),
        ({ ALL_SERVICE_PARTS }) => {
          this.#wholeParts = ALL_SERVICE_PARTS;
          this.#plan("connection");
        },
        ({ message }) => this.#presence.refused(message),
      );
      return null;
    }
    const service = new ServiceOfParts({ ...this.#options, token: this.#token ?? this.#options.token ?? null }, parts);
    this.#endings.push(() => void service.close());
    return service;
  }

  /** Load the sheet, the calipers and the pointer, once. */
  #useTools(): void {
    if (this.#shown === null || this.#isAskingTools) return;
    const { screen, overlay } = this.#shown;
    this.#isAskingTools = true;
    this.#load(
      import("./tools.js"),
      ({ SCREEN_TOOLS, bindPointer }) => {
        screen.tools = SCREEN_TOOLS;
        bindPointer(
          screen,
          overlay,
          () => this.#changed(),
          () => this.calipers,
        );
        screen.restyle(settingsOf(this).settings);
        this.#changed();
      },
      () => {
        this.#isAskingTools = false; // the next use tries again
      },
    );
  }

  /** Take a part that is loaded, or tell why it cannot be. */
  #load<Part>(part: Promise<Part>, take: (part: Part) => void, failed: (error: Error) => void): void {
    part.then(take, (cause: Error) => {
      const error = new Error(`a part of <ecg-monitor> cannot be loaded: ${cause.message}`, { cause });
      failed(error);
      this.#tell("ecg-error", { error });
    });
  }

  /** Connect an own service. It retries later connections by itself, but not the first. */
  #connect(service: ServiceOfParts): void {
    const mine = this.#live;
    service.connect(this.url).catch((error: Error) => {
      if (mine !== this.#live) return;
      this.#tell("ecg-error", { error });
      if (error instanceof ConnectionLost && error.error?.code === ErrorCode.AUTHENTICATION_FAILED) {
        this.#deny(error);
        return;
      }
      this.#presence.refused(error.message);
      this.#retry = setTimeout(() => this.#connect(service), this.#delay);
      this.#delay = Math.min(2 * this.#delay, RETRY.most);
    });
  }

  #watch(): void {
    this.#lost = this.#unreadable = 0;
    this.#absent = [];
    this.#labels = NO_LABELS;
    this.#isDenied = false;
    this.#presence.watching(steady());
    this.screen?.show(null);
    try {
      if (this.stream === "") this.#live?.unwatch();
      else this.#live?.watch(this.stream);
    } catch (error) {
      this.#deny(error as Error);
    }
  }

  #deny(error: Error): void {
    this.#isDenied = true;
    this.#presence.refused(error.message);
    this.#tell("ecg-error", { error });
  }

  #chosen(whole: ReturnType<typeof ecgFrame>): ReturnType<typeof ecgFrame> | null {
    const { frame, absent } = chosenLeads(whole, this.leads);
    this.#absent = absent;
    if (frame.leads.length > 0) return frame;
    this.#presence.refused(`the stream has no lead ${absent.join(", ")}; it has ${whole.leads.join(", ")}`);
    return null;
  }

  // --- the display ---

  #draw(at: number): void {
    this.#frame = requestAnimationFrame((next) => this.#draw(next));
    this.#live?.displayed(at / 1000);
    this.screen?.draw(at / 1000);
  }

  /** Apply the attributes and the CSS variables. */
  #restyle(): void {
    if (this.#shown === null) return;
    const { screen, scroller } = this.#shown;
    const { settings, invalid } = settingsOf(this);
    const colours = coloursOf(this, settings.theme);
    this.#told.colours = JSON.stringify(colours.palette);
    this.#blame([...invalid, ...colours.invalid]);
    scroller.classList.toggle("sheet", settings.view === "sheet");
    if (this.calipers || settings.view === "sheet") this.#useTools();
    screen.restyle(settings);
  }

  /** Say once what is invalid. */
  #blame(invalid: readonly string[]): void {
    const text = invalid.join("; ");
    if (text === this.#told.invalid) return;
    this.#told.invalid = text;
    if (text === "") return;
    this.#tell("ecg-error", { error: new RangeError(text) });
    console.warn(`<ecg-monitor>: ${text}`);
  }

  /** Bring everything but the traces up to date. */
  #update(): void {
    if (this.#shown === null) return;
    const now = steady();
    const { state, stream, notice, title, reason, stage, faults, gaps, overlay } = this.#shown;
    const seen = this.#live?.seen(now, this.#presence.isLive) ?? null;
    this.#presence.judge(now, seen);
    const isIdle = !this.#hasServer || this.stream === "";
    const isDenied = this.#presence.isLost && this.#isDenied;
    const name: MonitorState = isIdle ? "idle" : isDenied ? "denied" : this.#presence.state;
    const isOut = name === "lost" || name === "denied";
    const why = this.#presence.explain(seen);
    const told = isDenied ? { title: "Denied", text: why.text } : why;
    const words = isIdle ? this.#idleText() : isDenied ? "Denied" : this.#presence.words(seen);
    state.dataset.state = name;
    setText(state, words);
    setText(stream, this.stream);
    notice.hidden = !isOut;
    setText(title, told.title);
    setText(reason, told.text);
    stage.classList.toggle("lost", isOut);
    const signal = isOut ? null : this.signal;
    setText(faults, [...(signal ? faultsOf(signal).map(({ text }) => text) : []), ...this.#leadFaults()].join(" · "));
    setText(gaps, this.#missingText());
    const label = `ECG of ${this.stream}: ${words}${signal ? `; leads ${signal.buffer.leads.join(", ")}` : ""}`;
    if (overlay.getAttribute("aria-label") !== label) overlay.setAttribute("aria-label", label);
    this.#showRate(isOut ? null : this.signal, now);
    this.#watchColours();
    this.#showLabels();
    this.#changed();
    this.#enter(name, isOut ? `${told.title}: ${told.text}` : words);
  }

  get #hasServer(): boolean {
    return this.#given !== null || this.url !== "";
  }

  /** Show bed, patient, user and clock, or that they are hidden. */
  #showLabels(): void {
    if (this.#shown === null) return;
    const { bed, patient, user, clock } = this.#shown;
    const named = chosenLabels(this, this.#labels);
    const hidden = (name: string): string => (this.hideLabels && name !== "" ? "hidden" : name);
    setText(bed, hidden(named.bed));
    setText(patient, hidden(named.patient));
    setText(user, hidden(this.user));
    const offset = this.#live?.service.statistics.clockOffset ?? null;
    setText(clock, this.clock ? timeOfDay(clockNow() + (offset ?? 0)) : "");
    const by = clockInWords(offset);
    if (clock.title !== by) clock.title = by;
  }

  #idleText(): string {
    return !this.#hasServer ? "No server: set url" : "No stream: set stream";
  }

  #leadFaults(): string[] {
    return this.#absent.length > 0 && this.signal !== null ? [`Not in the stream: ${this.#absent.join(", ")}`] : [];
  }

  /** How much is missing since the stream is watched. */
  #missingText(): string {
    const { signal } = this;
    const seconds = (signal?.missing ?? 0) / (signal?.buffer.samplingRate ?? 1);
    return [
      signal !== null && signal.gaps > 0 ? `Gaps: ${signal.gaps} (${seconds.toFixed(1)} s)` : "",
      this.#lost > 0 ? `Lost messages: ${this.#lost}` : "",
      this.#unreadable > 0 ? `Unreadable messages: ${this.#unreadable}` : "",
    ]
      .filter(Boolean)
      .join(" · ");
  }

  #showRate(signal: EcgSignal | null, now: number): void {
    if (this.#detector === null || this.#shown === null) return;
    const rate = Math.round(signal?.rateAt(now) ?? Number.NaN);
    setText(this.#shown.rate, Number.isNaN(rate) ? "––" : `${rate}`);
    if (Object.is(rate, this.#told.rate)) return;
    this.#told.rate = rate;
    this.#tell("ecg-rate", { rate });
  }

  /** CSS variables may change with a class of any ancestor. */
  #watchColours(): void {
    const { palette } = coloursOf(this, this.theme);
    if (JSON.stringify(palette) !== this.#told.colours) this.#restyle();
  }

  /** Tell what changed of the screen. */
  #changed(): void {
    if (this.#shown === null) return;
    const { screen, stage, reading } = this.#shown;
    const { frozen } = this;
    stage.classList.toggle("frozen", frozen);
    const text = screen.reading;
    setText(reading, [frozen ? "Frozen" : "", text].filter(Boolean).join(" · "));
    if (frozen !== this.#told.isFrozen) {
      this.#told.isFrozen = frozen;
      this.#tell("ecg-freeze", { frozen });
    }
    if (text === this.#told.reading) return;
    this.#told.reading = text;
    const measure = screen.calipers?.measure(screen.buffer?.samplingRate ?? Number.NaN);
    this.#tell("ecg-measure", measure ? { ...measure, text } : null);
  }

  #key(event: KeyboardEvent): void {
    const { screen } = this;
    if (screen === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? CALIPER_STEPS.coarse : CALIPER_STEPS.fine;
    const keys: Readonly<Record<string, () => unknown>> = {
      " ": () => (this.frozen ? screen.goLive() : this.freeze()),
      b: () => this.toggleAttribute("hide-labels"),
      c: () => this.calipers && screen.toggleCalipers(),
      x: () => screen.calipers?.swap(),
      Escape: () => screen.goLive(),
      ArrowLeft: () => screen.moveCalipers(-step, 0),
      ArrowRight: () => screen.moveCalipers(step, 0),
      ArrowUp: () => screen.moveCalipers(0, step),
      ArrowDown: () => screen.moveCalipers(0, -step),
    };
    const run = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (run === undefined) return;
    event.preventDefault();
    run();
    this.#changed();
  }

  #enter(state: MonitorState, text: string): void {
    const previous = this.#state;
    if (state === previous) return;
    this.#state = state;
    this.#tell("ecg-state", { state, previous, text });
  }

  #tell<Name extends keyof MonitorDetails>(name: Name, detail: MonitorDetails[Name]): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

/** Returns true if options ask for more than receiving plain messages. */
function needsWholeService({ sealing, capabilities }: ServiceOptions): boolean {
  return sealing !== undefined || capabilities !== undefined;
}

declare global {
  interface HTMLElementTagNameMap {
    "ecg-monitor": EcgMonitor;
  }
}
