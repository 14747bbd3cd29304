/** The pointer on the paper: it drags calipers, and the wheel scrolls a frozen screen. */

import type { Screen } from "./screen.js";

/** CSS pixels that the pointer has to move for a drag. */
const DRAG = 4;
/** Units of a wheel for a second of the signal. */
const WHEEL = 400;

/**
 * Bind it to the overlay of a screen.
 *
 * @param changed called after each change of what the screen shows.
 * @param measures returns whether dragging measures.
 */
export function bindPointer(
  screen: Screen,
  overlay: HTMLCanvasElement,
  changed: () => void,
  measures: () => boolean = () => true,
): void {
  let start: { x: number; y: number } | null = null;
  let isDragging = false;
  overlay.addEventListener("pointerdown", (event) => {
    if (!measures() || event.button !== 0 || (event.pointerType === "touch" && screen.calipers === null)) return;
    start = { x: event.offsetX, y: event.offsetY };
    isDragging = false;
    overlay.setPointerCapture(event.pointerId);
  });
  overlay.addEventListener("pointermove", (event) => {
    if (start === null) {
      overlay.title = screen.nameAt(event.offsetX, event.offsetY);
      return;
    }
    if (!isDragging && Math.hypot(event.offsetX - start.x, event.offsetY - start.y) < DRAG) return;
    if (!isDragging) {
      isDragging = screen.startCalipers(start.x, start.y);
      changed();
    }
    if (isDragging) screen.dragCalipers(event.offsetX, event.offsetY);
  });
  const end = (): void => {
    start = null;
    changed();
  };
  overlay.addEventListener("pointerup", end);
  overlay.addEventListener("pointercancel", end);
  screen.stage.addEventListener("wheel", (event) => scroll(screen, event, changed), { passive: false });
}

function scroll(screen: Screen, event: WheelEvent, changed: () => void): void {
  const { review } = screen;
  if (review === null) return;
  event.preventDefault();
  const delta = Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : event.deltaY;
  screen.scrollTo(review.first + (delta / WHEEL) * review.buffer.samplingRate);
  changed();
}
