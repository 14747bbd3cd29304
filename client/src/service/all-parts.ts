import { ALL_PARTS } from "../session/all-parts.js";
import { withoutKeys } from "./answered-keys.js";
import type { ServiceParts } from "./parts.js";
import { Sending } from "./sending.js";

/** The parts of a service that publishes, opens and verifies. */
export const ALL_SERVICE_PARTS: ServiceParts = /* @__PURE__ */ (() => ({ ...ALL_PARTS, Sending, withoutKeys }))();
