/** The worker of the wall: begins with the canvas that the page hands over. */

import type { FromWorker, ToWorker } from "./messages.js";
import { Station } from "./station.js";

let station: Station | null = null;

const post = (message: FromWorker): void => postMessage(message);

addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  try {
    if (data.kind === "start") station = new Station(data.canvas, data.socket, data.token, post);
    else station?.handle(data);
  } catch (error) {
    post({ kind: "failed", why: error instanceof Error ? error.message : String(error) });
  }
});
