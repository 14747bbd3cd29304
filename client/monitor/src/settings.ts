/** The viewer's settings, kept in the browser's storage and in the URL's query (`?view=sheet&speed=50`). */

import type { Theme } from "./palette.js";
import { GAINS, type Gain, SPEEDS, type Speed } from "./scale.js";

export type View = "sweep" | "sheet";

export const VIEWS: readonly View[] = ["sweep", "sheet"];
export const THEMES: readonly Theme[] = ["dark", "light"];

export interface Settings {
  readonly view: View;
  readonly speed: Speed;
  readonly gain: Gain;
  readonly theme: Theme;
}

const KEY = "ecgframe.monitor";
const DEFAULTS: Settings = { view: "sweep", speed: 25, gain: 10, theme: "dark" };

/** Settings from the URL query, else from storage, else the defaults. */
export function load(search: string, storage: Pick<Storage, "getItem">): Settings {
  const kept = parsed(storage.getItem(KEY));
  const asked = new URLSearchParams(search);
  const choose = <T extends string | number>(name: keyof Settings, from: readonly T[]): T => {
    const wanted = [asked.get(name), kept[name]].map(String);
    const found = wanted
      .map((text) => from.find((value) => String(value) === text))
      .find((value) => value !== undefined);
    return found ?? (DEFAULTS[name] as T);
  };
  return {
    view: choose("view", VIEWS),
    speed: choose("speed", SPEEDS),
    gain: choose("gain", GAINS),
    theme: choose("theme", THEMES),
  };
}

export function save(settings: Settings, storage: Pick<Storage, "setItem">): void {
  storage.setItem(KEY, JSON.stringify(settings));
}

function parsed(text: string | null): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** Set or replace query parameters of the page's URL. */
export function keepInAddress(values: Readonly<Record<string, string>>): void {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(values)) url.searchParams.set(name, value);
  if (url.href !== location.href) history.replaceState(history.state, "", url);
}

/** The settings that the query of the page's URL names, with their current values. */
export function namedInAddress(settings: Settings): Record<string, string> {
  const named = new URLSearchParams(location.search);
  return Object.fromEntries(
    Object.entries(settings)
      .filter(([name]) => named.has(name))
      .map(([name, value]) => [name, String(value)]),
  );
}
