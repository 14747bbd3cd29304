/** The dialog with the limits of a bed. */

import { element, setText } from "../dom.js";
import { type Limits, RANGES } from "./limits.js";

export class LimitsDialog {
  readonly #dialog = element("limits", HTMLDialogElement);
  readonly #bed = element("limits-bed", HTMLSelectElement);
  readonly #high = element("rate-high", HTMLInputElement);
  readonly #low = element("rate-low", HTMLInputElement);
  readonly #asystole = element("asystole", HTMLInputElement);
  readonly #leadOff = element("lead-off", HTMLInputElement);
  readonly #wrong = element("limits-wrong", HTMLElement);

  /**
   * @param limitsOf returns the limits of a bed.
   * @param save called with the limits that were entered.
   */
  constructor(
    readonly limitsOf: (bed: string) => Limits,
    readonly save: (bed: string, limits: Limits) => void,
  ) {
    this.#bed.addEventListener("change", () => this.#fill());
    element("close-limits", HTMLButtonElement).addEventListener("click", () => this.#dialog.close());
    element("limits-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  /** Open the dialog for a bed, or for the first. */
  open(beds: readonly string[], bed: string): void {
    if (this.#dialog.open || beds.length === 0) return;
    this.#bed.replaceChildren(...beds.map((name) => new Option(name, name)));
    this.#bed.value = beds.includes(bed) ? bed : beds[0];
    this.#fill();
    this.#dialog.showModal();
  }

  #fill(): void {
    const { rateHigh, rateLow, asystole, leadOff } = this.limitsOf(this.#bed.value);
    this.#high.value = String(rateHigh ?? "");
    this.#low.value = String(rateLow ?? "");
    this.#asystole.value = String(asystole ?? "");
    this.#leadOff.checked = leadOff;
    setText(this.#wrong, "");
  }

  #submit(): void {
    const limits: Limits = {
      rateHigh: number(this.#high),
      rateLow: number(this.#low),
      asystole: number(this.#asystole),
      leadOff: this.#leadOff.checked,
    };
    const wrong = faultOf(limits);
    setText(this.#wrong, wrong);
    if (wrong !== "") return;
    this.save(this.#bed.value, limits);
    this.#dialog.close();
  }
}

function number({ value }: HTMLInputElement): number | null {
  return value.trim() === "" ? null : Number(value);
}

/** What is wrong with limits; empty if nothing is. */
export function faultOf({ rateHigh, rateLow, asystole }: Limits): string {
  const isOut = (value: number | null, [least, most]: readonly [number, number]): boolean =>
    value !== null && !(value >= least && value <= most);
  const between = ([least, most]: readonly [number, number]): string => `between ${least} and ${most}`;
  if (isOut(rateHigh, RANGES.rateHigh) || isOut(rateLow, RANGES.rateLow))
    return `A rate has to be ${between(RANGES.rateHigh)}.`;
  if (isOut(asystole, RANGES.asystole)) return `Asystole has to be ${between(RANGES.asystole)} seconds.`;
  if (rateHigh !== null && rateLow !== null && rateLow >= rateHigh)
    return "The low limit has to be below the high one.";
  return "";
}
