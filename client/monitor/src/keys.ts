/** The keys: what each does, in one table that the help is made of. */

import { element, make } from "./dom.js";

export interface Key {
  /** As `KeyboardEvent.key` has it; several do the same. */
  readonly keys: readonly string[];
  /** As the help shows it, where that is not the key itself. */
  readonly shown?: string;
  readonly does: string;
  run(event: KeyboardEvent): void;
}

/** Keys that scroll, where the element that has the focus does. */
const SCROLLING = /^(Arrow|Page|Home|End| )/;

/** Listen to these keys, and write them into the help. */
export function bindKeys(keys: readonly Key[]): void {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTaken(event)) return;
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

/** Whether the element that has the focus does something of its own with this key. */
function isTaken({ key, target }: KeyboardEvent): boolean {
  if (!(target instanceof Element)) return false;
  if (target.closest("dialog") !== null) return true;
  if (target.matches("select")) return key !== "Escape";
  if (target.matches('input[type="radio"], .scroll')) return SCROLLING.test(key);
  return target.closest("button") !== null && (key === " " || key === "Enter");
}
