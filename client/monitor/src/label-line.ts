/** Bed, patient, user and time of day in the line of the signal. One key hides them, but the time, in all pages of this browser. */

import { element, setText } from "./dom.js";
import { chosenLabels, clockInWords, type Labels, NO_LABELS, timeOfDay } from "./labels.js";

/** Where the browser keeps whether they are hidden. */
const KEY = "ecgframe.labels";

/** Returns true if bed and patient are hidden in this browser. */
export function areLabelsHidden(storage: Pick<Storage, "getItem">): boolean {
  return storage.getItem(KEY) === "hidden";
}

/** Hide bed and patient, or show them again. Returns true if they are hidden then. */
export function toggleLabels(storage: Pick<Storage, "getItem" | "setItem">): boolean {
  const isHidden = !areLabelsHidden(storage);
  storage.setItem(KEY, isHidden ? "hidden" : "shown");
  return isHidden;
}

export class LabelLine {
  readonly #bed = element("bed", HTMLElement);
  readonly #patient = element("patient", HTMLElement);
  readonly #user = element("user", HTMLElement);
  readonly #clock = element("wall-clock", HTMLElement);
  #told = NO_LABELS;
  /** Who is signed in, as the server says; empty if it names nobody. */
  user = "";
  #isHidden: boolean;

  /** @param given by the application, instead of what the sender says. */
  constructor(
    readonly given: Labels,
    readonly storage: Pick<Storage, "getItem" | "setItem">,
  ) {
    this.#isHidden = areLabelsHidden(storage);
  }

  /** Note what a message says. */
  told(labels: Labels): void {
    this.#told = labels;
  }

  /** Forget what was said, for another stream. */
  clear(): void {
    this.#told = NO_LABELS;
  }

  toggle(): void {
    this.#isHidden = toggleLabels(this.storage);
  }

  /** @param now in Unix seconds, by the server's clock if `offset` is known. */
  update(now: number, offset: number | null): void {
    const { bed, patient } = chosenLabels(this.given, this.#told);
    this.#show(this.#bed, bed);
    this.#show(this.#patient, patient);
    this.#show(this.#user, this.user, "Signed in: ");
    setText(this.#clock, timeOfDay(now));
    const title = clockInWords(offset);
    if (this.#clock.title !== title) this.#clock.title = title;
  }

  #show(target: HTMLElement, name: string, before = ""): void {
    if (target.hidden !== (name === "")) target.hidden = name === "";
    setText(target, name === "" ? "" : `${before}${this.#isHidden ? "hidden" : name}`);
    target.toggleAttribute("data-hidden", this.#isHidden);
  }
}
