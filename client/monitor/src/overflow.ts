/** Moves controls that do not fit into their bar to a menu. */

import { element } from "./dom.js";

/** Priority of each control by its id: the lowest moves to the menu first. */
const STAYS: Readonly<Record<string, number>> = {
  freeze: 9,
  calipers: 8,
  "open-alerts": 7,
  mark: 6.5,
  speed: 6,
  gain: 5,
  view: 4,
  "open-frames": 2,
  theme: 1,
  "open-help": 0,
};
const UNNAMED = 3;

export class Overflow {
  readonly #bar = element("tools", HTMLElement);
  readonly #opener = element("open-menu", HTMLButtonElement);
  readonly #menu = element("menu", HTMLElement);
  /** The controls, and a marker of their place in the bar. */
  readonly #controls: { readonly control: HTMLElement; readonly home: Comment }[] = [];

  constructor() {
    const found = this.#bar.querySelectorAll<HTMLElement>(":scope > fieldset, .buttons > button");
    for (const control of found) {
      if (control === this.#opener) continue;
      const home = document.createComment("");
      control.before(home);
      this.#controls.push({ control, home });
    }
    const observer = new ResizeObserver(() => this.#arrange());
    observer.observe(this.#bar);
    for (const { control } of this.#controls) observer.observe(control);
    this.#menu.addEventListener("toggle", () => {
      this.#opener.setAttribute("aria-expanded", String(this.isOpen));
      if (this.isOpen) this.#place();
    });
    this.#arrange();
  }

  get isOpen(): boolean {
    return this.#menu.matches(":popover-open");
  }

  close(): void {
    this.#menu.hidePopover();
  }

  /** Move as many controls as fit into the bar, and the others into the menu. */
  #arrange(): void {
    const focused = document.activeElement;
    for (const { control, home } of this.#controls) if (control.previousSibling !== home) home.after(control);
    this.#opener.hidden = true;
    const leaving = [...this.#controls].reverse().sort((one, other) => stays(one.control) - stays(other.control));
    const left = new Set<HTMLElement>();
    for (const { control } of leaving) {
      if (this.#bar.scrollWidth <= this.#bar.clientWidth) break;
      this.#opener.hidden = false;
      left.add(control);
      this.#menu.append(control);
    }
    // In the order of the bar.
    this.#menu.append(...this.#controls.map(({ control }) => control).filter((control) => left.has(control)));
    if (left.size === 0 && this.isOpen) this.close();
    if (focused instanceof HTMLElement && focused !== document.activeElement && focused.isConnected) focused.focus();
  }

  /** Put the menu below its button, within the page. */
  #place(): void {
    const { bottom, right } = this.#opener.getBoundingClientRect();
    const { style } = this.#menu;
    style.top = `${Math.round(bottom + 4)}px`;
    style.right = `${Math.max(6, Math.round(innerWidth - right))}px`;
    style.maxHeight = `${Math.max(120, Math.round(innerHeight - bottom - 12))}px`;
  }
}

function stays(control: HTMLElement): number {
  return STAYS[control.id] ?? UNNAMED;
}
