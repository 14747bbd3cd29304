/** The attributes of `<ecg-monitor>`: their values, and what is wrong with them. */

import { GAINS, SPEEDS } from "../src/scale.js";
import { type Settings, THEMES, VIEWS } from "../src/settings.js";

const CHOICES = { view: VIEWS, speed: SPEEDS, gain: GAINS, theme: THEMES } as const;

/** Who and when, beside the state. */
export const LABELS = ["bed", "patient", "user", "clock", "hide-labels"] as const;

/** All attributes that the element observes. */
export const ATTRIBUTES = ["url", "stream", "leads", "calipers", ...LABELS, ...Object.keys(CHOICES)] as const;

/** Returns the settings of an element: the first choice, or 25 mm/s and 10 mm/mV, for attributes that are absent or invalid. */
export function settingsOf(element: Element): { settings: Settings; invalid: readonly string[] } {
  const invalid: string[] = [];
  const choose = <T extends string | number>(name: keyof Settings, from: readonly T[], usual: T): T => {
    const text = element.getAttribute(name);
    const found = from.find((value) => String(value) === text);
    if (text !== null && found === undefined) invalid.push(`${name} is one of ${from.join(", ")}, not "${text}"`);
    return found ?? usual;
  };
  const settings: Settings = {
    view: choose("view", CHOICES.view, "sweep"),
    speed: choose("speed", CHOICES.speed, 25),
    gain: choose("gain", CHOICES.gain, 10),
    theme: choose("theme", CHOICES.theme, "dark"),
  };
  return { settings, invalid };
}
