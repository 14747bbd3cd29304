import { expect, it } from "vitest";
import { linkInWords } from "../../src/wall/link-words.js";

it("counts one frame as one", () => {
  const rest = { clockOffset: null, bytes: 0, frames: 0 };
  const link = { ...rest, state: "open", version: 4, nextAttempt: null, reconnections: 1, dropped: 1, refused: 0 };
  expect(linkInWords(link, 0)).toBe("Protocol V4 · 1 reconnection · 1 frame dropped");
  expect(linkInWords({ ...link, reconnections: 2, dropped: 0, refused: 2 }, 0)).toBe(
    "Protocol V4 · 2 reconnections · 0 frames dropped · 2 frames refused",
  );
});
