import { ALL_PARTS } from "./all-parts.js";
import { BASIC_SETTINGS, type Settings } from "./basic-settings.js";

export { type Settings, supported } from "./basic-settings.js";

export const DEFAULT_SETTINGS: Settings = /* @__PURE__ */ (() => ({ ...BASIC_SETTINGS, parts: ALL_PARTS }))();
