/** The tiles: a box for each bed, with its texts over the canvas of the traces. */

import { make, setText } from "../dom.js";
import { chosenLabels } from "../labels.js";
import { numericText } from "../numerics.js";
import type { Shown } from "./alarm-words.js";
import { type Arrangement, arrange, type Box } from "./arrange.js";
import type { BedReport } from "./bed.js";
import { shape } from "./shapes.js";

/** CSS pixels between two tiles. */
const GAP = 4;
const NO_RATE = "––";

interface Tile {
  readonly box: HTMLElement;
  readonly link: HTMLAnchorElement;
  /** The room of the traces, which nothing covers. */
  readonly traces: HTMLElement;
  readonly rate: HTMLElement;
  readonly leads: HTMLElement;
  readonly condition: HTMLElement;
  readonly who: HTMLElement;
  readonly numbers: HTMLElement;
  readonly gap: HTMLElement;
  readonly alarm: HTMLElement;
  readonly alarmShape: HTMLElement;
  readonly alarmText: HTMLElement;
  readonly acknowledge: HTMLButtonElement;
}

export interface TileActions {
  /** Returns the address of the full monitor of a bed. */
  address(name: string): string;
  /** Returns the name that the application gives a bed; empty if it gives none. */
  bedOf(name: string): string;
  acknowledge(name: string): void;
}

export class Tiles {
  #arrangement: Arrangement = { columns: 1, rows: 1, width: 1, height: 1 };
  readonly #tiles = new Map<string, Tile>();
  /** Tells when the room of the traces of a tile changes, since an alarm begins or ends. */
  readonly #changes: ResizeObserver;
  /** True if beds and patients are not shown. */
  areLabelsHidden = false;

  /**
   * @param room holds the tiles.
   * @param scroller scrolls if they are more than fit.
   * @param onChange is called when the traces of a tile have more or less room.
   */
  constructor(
    readonly room: HTMLElement,
    readonly scroller: HTMLElement,
    readonly actions: TileActions,
    onChange: () => void,
  ) {
    this.#changes = new ResizeObserver(onChange);
    room.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Show these beds, in this order. */
  show(names: readonly string[]): void {
    for (const [name, { box, traces }] of [...this.#tiles]) {
      if (names.includes(name)) continue;
      this.#changes.unobserve(traces);
      box.remove();
      this.#tiles.delete(name);
    }
    for (const name of names) {
      const tile = this.#tiles.get(name) ?? this.#make(name);
      this.#tiles.set(name, tile);
      this.room.append(tile.box);
    }
  }

  /** Arrange the tiles in the room that there is. Returns the size of the canvas and the rooms of the traces. */
  layOut(): { width: number; height: number; boxes: Box[] } {
    const count = this.#tiles.size;
    const { clientWidth: width, clientHeight: height } = this.scroller;
    const found = arrange(Math.max(1, count), width, height, GAP);
    this.#arrangement = found;
    this.room.style.gridTemplateColumns = `repeat(${found.columns}, ${found.width}px)`;
    this.room.style.gridAutoRows = `${found.height}px`;
    this.room.style.gap = `${GAP}px`;
    this.room.classList.toggle("low", found.height < 150);
    return { width, height: Math.max(height, found.rows * (found.height + GAP) - GAP), boxes: this.boxes() };
  }

  /** Returns the rooms of the traces, from the corner of the canvas. */
  boxes(): Box[] {
    const origin = this.room.getBoundingClientRect();
    return [...this.#tiles.values()].map(({ traces }) => {
      const found = traces.getBoundingClientRect();
      const [x, y] = [Math.ceil(found.left - origin.left), Math.ceil(found.top - origin.top)];
      const [right, bottom] = [Math.floor(found.right - origin.left), Math.floor(found.bottom - origin.top)];
      return { x, y, width: Math.max(1, right - x), height: Math.max(1, bottom - y) };
    });
  }

  /** True if a tile is high enough for two leads. */
  get hasRoomForTwo(): boolean {
    return this.#arrangement.height >= 140;
  }

  /** The bed whose tile has the focus; empty if none has. */
  get focused(): string {
    const tile = document.activeElement?.closest<HTMLElement>("[data-bed]");
    return tile?.dataset.bed ?? "";
  }

  /** Bring a tile up to date. */
  update(report: BedReport, alarm: Shown | null): void {
    const tile = this.#tiles.get(report.name);
    if (tile === undefined) return;
    const { state, words } = report.condition;
    const isShown =
      state === "live" || state === "delayed" || state === "old" || state === "clock" || state === "unknown";
    const rate = isShown && report.rate !== null ? String(report.rate) : NO_RATE;
    setData(tile.box, "state", state);
    setText(tile.rate, rate);
    setText(tile.leads, report.shown.join(" "));
    setText(tile.condition, words);
    const labels = chosenLabels({ bed: this.actions.bedOf(report.name), patient: "" }, report.labels);
    const who = [labels.bed, labels.patient].filter(Boolean).join(" · ");
    setText(tile.who, this.areLabelsHidden && who !== "" ? "hidden" : who);
    if (tile.who.hidden !== (who === "")) tile.who.hidden = who === "";
    tile.who.toggleAttribute("data-hidden", this.areLabelsHidden);
    setNumbers(tile.numbers, report.numerics);
    const off = report.off.length > 0 ? `Lead off: ${report.off.join(", ")}` : "";
    setText(tile.gap, [report.gap, off].filter(Boolean).join(" · "));
    setData(tile.box, "alarm", alarm === null ? "" : alarm.priority);
    setData(tile.box, "signalling", String(alarm?.isSignalling ?? false));
    if (tile.alarm.hidden !== (alarm === null)) tile.alarm.hidden = alarm === null;
    const isDone = !(alarm?.isSignalling ?? false);
    if (tile.acknowledge.hidden !== isDone) tile.acknowledge.hidden = isDone;
    if (alarm !== null) {
      setText(tile.alarmText, alarm.text);
      if (tile.alarmShape.dataset.priority !== alarm.priority) {
        tile.alarmShape.dataset.priority = alarm.priority;
        tile.alarmShape.replaceChildren(shape(alarm.priority));
      }
    }
    const numbers = report.numerics
      .filter(({ value }) => !Number.isNaN(value))
      .map(({ title, value, unit }) => `, ${title} ${numericText(value)} ${unit}`);
    const spoken = `${report.name}, ${rate === NO_RATE ? "no heart rate" : `${rate} beats a minute`}${numbers.join("")}, ${plain(words)}`;
    const label = `${spoken}${alarm === null ? "" : `, ${alarm.text}`}. Opens its monitor in a new tab`;
    if (tile.link.getAttribute("aria-label") !== label) tile.link.setAttribute("aria-label", label);
  }

  #make(name: string): Tile {
    const box = make("article", "", "tile");
    box.dataset.bed = name;
    box.dataset.alarm = "";
    const link = make("a", "", "open");
    link.href = this.actions.address(name);
    link.target = "_blank";
    link.rel = "noopener";
    const head = make("div", "", "head");
    const title = make("h2", name, "name");
    title.title = name;
    const condition = make("p", "Connecting", "condition");
    const who = make("p", "", "who");
    who.hidden = true;
    head.append(title, who, condition);
    const traces = make("div", "", "traces");
    this.#changes.observe(traces);
    const side = make("div", "", "side");
    const rate = make("p", NO_RATE, "rate");
    const leads = make("p", "", "leads");
    side.append(rate, leads);
    const foot = make("div", "", "foot");
    const numbers = make("p", "", "numbers");
    const gap = make("p", "", "gap");
    foot.append(numbers, gap);
    const alarm = make("div", "", "alarm");
    alarm.hidden = true;
    const alarmShape = make("span", "", "shape");
    const alarmText = make("span", "", "alarm-text");
    const acknowledge = make("button", "Acknowledge");
    acknowledge.type = "button";
    acknowledge.hidden = true;
    acknowledge.setAttribute("aria-label", `Acknowledge the alarms of ${name}`);
    acknowledge.addEventListener("click", () => this.actions.acknowledge(name));
    alarm.append(alarmShape, alarmText, acknowledge);
    box.append(link, head, traces, side, foot, alarm);
    return { box, link, traces, rate, leads, condition, who, numbers, gap, alarm, alarmShape, alarmText, acknowledge };
  }

  /** The arrow keys go from tile to tile. */
  #move(event: KeyboardEvent): void {
    const names = [...this.#tiles.keys()];
    const at = names.indexOf(this.focused);
    const { columns } = this.#arrangement;
    const by: Readonly<Record<string, number>> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -columns,
      ArrowDown: columns,
      Home: -at,
      End: names.length - 1 - at,
    };
    const step = by[event.key];
    if (at < 0 || step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const target = this.#tiles.get(names[at + step] ?? "");
    target?.link.focus();
    target?.box.scrollIntoView({ block: "nearest" });
  }
}

/** Show numbers, each in the colour of its signal. */
function setNumbers(target: HTMLElement, numerics: BedReport["numerics"]): void {
  while (target.children.length > numerics.length) target.lastElementChild?.remove();
  for (const [index, { name, title, unit, kind, value }] of numerics.entries()) {
    const shown = target.children[index] ?? target.appendChild(make("span"));
    if (!(shown instanceof HTMLElement)) continue;
    setText(shown, `${name} ${numericText(value)}${unit === "%" ? " %" : ""}`);
    setData(shown, "kind", kind);
    const full = Number.isNaN(value) ? `${title}: no recent value` : `${title}, ${unit}`;
    if (shown.title !== full) shown.title = full;
  }
}

function setData(target: HTMLElement, name: string, value: string): void {
  if (target.dataset[name] !== value) target.dataset[name] = value;
}

/** Without what changes many times a second, so that a screen reader is not interrupted. */
function plain(words: string): string {
  return words.split(" · ")[0];
}
