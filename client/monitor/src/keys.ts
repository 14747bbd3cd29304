/** Keyboard shortcuts: one table binds them and fills the help. */

import { element, make } from "./dom.js";

export interface Key {
  /** Values of `KeyboardEvent.key` that run this shortcut. */
  readonly keys: readonly string[];
  /** The keys in the help, separated by spaces, if they differ from the first of `keys`. */
  readonly shown?: string;
  readonly does: string;
  run(event: KeyboardEvent): void;
}

/** Keys that scroll a box, and that change the choice of radio buttons. */
const SCROLLING = /^(Arrow|Page|Home|End| )/;

/** Bind the shortcuts, and list them in the help. */
export function bindKeys(keys: readonly Key[]): void {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isHandledByTarget(event)) return;
    const found = keys.find((key) => key.keys.includes(event.key));
    if (found === undefined) return;
    event.preventDefault();
    found.run(event);
  });
  const rows = keys.map((key) => {
    const row = make("tr");
    const cell = make("td");
    for (const text of (key.shown ?? key.keys[0]).split(" ")) cell.append(make("kbd", text), " ");
    row.append(cell, make("td", key.does));
    return row;
  });
  element("help-rows", HTMLTableSectionElement).replaceChildren(...rows);
}

/** Returns whether the focused element handles this key itself. */
function isHandledByTarget({ key, target }: KeyboardEvent): boolean {
  if (!(target instanceof Element)) return false;
  if (target.closest("dialog") !== null) return true;
  if (target.matches("select")) return key !== "Escape";
  if (target.matches('input[type="text"], input[type="search"]')) return true;
  if (target.matches('input[type="radio"], .scroll, #trend-place')) return SCROLLING.test(key);
  return target.closest("button") !== null && (key === " " || key === "Enter");
}
