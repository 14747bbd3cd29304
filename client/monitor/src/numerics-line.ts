/** The numbers beside the heart rate. */

import { element, make, setText } from "./dom.js";
import { type Numeric, numericText } from "./numerics.js";

export class NumericsLine {
  readonly #box = element("numerics", HTMLElement);
  readonly #shown = new Map<string, HTMLOutputElement>();

  update(numerics: readonly Numeric[]): void {
    const names = numerics.map(({ name, unit, kind }) => `${name} ${unit} ${kind}`);
    if (names.join("\n") !== [...this.#shown.keys()].join("\n")) this.#build(numerics, names);
    for (const [index, { value, title, unit }] of numerics.entries()) {
      const output = this.#shown.get(names[index]);
      if (output === undefined) continue;
      setText(output, numericText(value));
      const isOld = Number.isNaN(value);
      const label = isOld ? `${title}: no recent value` : `${title}, ${unit}`;
      if (output.getAttribute("aria-label") !== label) output.setAttribute("aria-label", label);
    }
  }

  #build(numerics: readonly Numeric[], names: readonly string[]): void {
    this.#shown.clear();
    const boxes = numerics.map(({ name, title, unit, kind }, index) => {
      const box = make("div", "", "numeric");
      box.dataset.kind = kind;
      const label = make("abbr", name);
      label.title = title;
      const output = make("output");
      // Screen readers read them where they are asked for, not each time they change.
      output.setAttribute("aria-live", "off");
      this.#shown.set(names[index], output);
      box.append(label, output, make("span", unit, "unit"));
      return box;
    });
    this.#box.replaceChildren(...boxes);
    this.#box.hidden = boxes.length === 0;
  }
}
