/** Access to the elements of the page. */

/** Return the element with an id. @throws Error there is none of that class */
export function element<E extends Element>(id: string, kind: new () => E): E {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} with the id ${id}`);
  return found;
}

/** Set the text of an element if it changes: each change costs a layout. */
export function setText(target: Element, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}

/**
 * Hide an element, or show it. What has the focus in it loses it at once: the browser takes it away only with the next
 * frame, and keys that are pressed before would go to what nobody sees.
 */
export function setHidden(target: HTMLElement, isHidden: boolean): void {
  target.hidden = isHidden;
  const focused = document.activeElement;
  if (isHidden && focused instanceof HTMLElement && target.contains(focused)) focused.blur();
}

/** Create an element with text. The text is never parsed as HTML, as it may come from a peer. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  text = "",
  className = "",
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className !== "") made.className = className;
  return made;
}

/** Format Unix seconds as local time of day, to the millisecond. */
export function clockTime(seconds: number): string {
  if (!Number.isFinite(seconds)) return "––";
  const date = new Date(seconds * 1000);
  const two = (value: number): string => String(value).padStart(2, "0");
  const milliseconds = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${milliseconds}`;
}
