"""The layout of the page: whether anything is covered, cut or unreachable."""

from __future__ import annotations

from typing import Any

LOOK = """() => {
  const PARTS = `h1, select, button, fieldset label, #server, #connection, .vital, #banner p, #stage, #scroll, #place,
    #reading, #scale, .frozen, #age, #rate-source, #lead-faults > *,
    #sender-says, #rhythm-words, #vital .unit, #lost strong, #lost p, footer dt, footer dd`;
  const isSeen = at => at.checkVisibility({ visibilityProperty: true }) && at.getClientRects().length > 0
    && !(at.closest("[popover]") && !at.closest("[popover]").matches(":popover-open"))
    && !at.matches(".unseen") && getComputedStyle(at).clipPath === "none" && at.textContent + at.id !== "";
  const name = at => at.id || at.closest("[id]")?.id + " " + at.tagName.toLowerCase() + " " + at.textContent.trim();
  const parts = [...document.querySelectorAll(PARTS)].filter(isSeen).filter(at => !at.closest("dialog"));
  const boxes = parts.map(at => {
    const { left, top, right, bottom } = at.getBoundingClientRect();
    return { at, name: name(at), left, top, right, bottom };
  });
  const covered = [], outside = [], cut = [];
  for (const [index, one] of boxes.entries()) {
    if (one.left < -0.5 || one.top < -0.5 || one.right > innerWidth + 0.5 || one.bottom > innerHeight + 0.5)
      outside.push(one.name);
    for (const other of boxes.slice(index + 1)) {
      const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
      const high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
      if (wide > 1 && high > 1 && !one.at.contains(other.at) && !other.at.contains(one.at))
        covered.push(`${one.name} and ${other.name}`);
    }
  }
  for (const at of parts) {
    if (at.matches("select, input") || getComputedStyle(at).display === "inline") continue;
    if (at.scrollWidth > at.clientWidth + 1 || (at.scrollHeight > at.clientHeight + 2 && !at.matches(".vital, h1")))
      if (!at.matches("#stage"))
        cut.push(`${name(at)}: ${at.scrollWidth} x ${at.scrollHeight} in ${at.clientWidth} x ${at.clientHeight}`);
  }
  const stage = document.getElementById("scroller").getBoundingClientRect();
  const over = [];
  for (let x = 0.02; x < 1; x += 0.06) for (let y = 0.02; y < 1; y += 0.06) {
    const found = document.elementFromPoint(stage.left + x * stage.width, stage.top + y * stage.height);
    if (found?.closest("#scroller") === null || found === null) over.push(found?.id || found?.tagName);
  }
  const traces = document.getElementById("traces");
  const scroller = document.getElementById("scroller");
  return {
    covered, outside, cut, over: [...new Set(over)],
    bottom: document.getElementById("stage").getBoundingClientRect().bottom,
    stage: ["clientWidth", "clientHeight"].map(side => document.getElementById("stage")[side]),
    paper: [traces.clientWidth, traces.clientHeight],
    canvas: [traces.width, traces.height], ratio: devicePixelRatio,
    scrolls: scroller.tabIndex === 0,
    page: [document.documentElement.scrollWidth, document.documentElement.scrollHeight],
  };
}"""

THREE_FRAMES = """async () => {
  for (let frame = 0; frame < 3; frame += 1) await new Promise(requestAnimationFrame);
}"""
"""Waits for three frames of the display."""


def resize(page: Any, width: int, height: int) -> None:
    """Resize the window, and wait until the page is drawn."""
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate(THREE_FRAMES)


CONTROLS = ("freeze", "calipers", "open-alerts", "open-frames", "theme", "open-help", "view", "speed", "gain")


LOOKS = 3
"""Looks at a page that has a fault: where a text has changed, the paper is drawn in its new size a frame later."""


def check_page(page: Any, where: str) -> dict[str, Any]:
    """Check that nothing overlaps, is cut or is out of the window. Return the measures."""
    for _ in range(LOOKS - 1):
        try:
            return _check_look(page, where)
        except AssertionError:
            page.evaluate(THREE_FRAMES)
    return _check_look(page, where)


def _check_look(page: Any, where: str) -> dict[str, Any]:
    seen: dict[str, Any] = page.evaluate(LOOK)
    faults = {name: seen[name] for name in ("covered", "outside", "cut", "over") if seen[name]}
    assert not faults, f"{where}: {faults}"
    assert seen["page"] == [page.viewport_size["width"], page.viewport_size["height"]], where
    assert seen["canvas"] == [round(length * seen["ratio"]) for length in seen["paper"]], where
    wide, high = (paper - room for paper, room in zip(seen["paper"], seen["stage"], strict=True))
    assert seen["scrolls"] == (wide > 0 or high > 0), where
    return seen


def check_controls(page: Any, where: str) -> None:
    """Check that each control is in the bar, or in the menu."""
    hidden = [control for control in CONTROLS if not page.is_visible(f"#{control}")]
    if not hidden:
        return
    page.click("#open-menu")
    for control in hidden:
        box = page.locator(f"#{control}").bounding_box()
        assert box is not None, f"{where}: {control} is nowhere"
        assert box["x"] >= 0, where
        assert box["x"] + box["width"] <= page.viewport_size["width"], where
    page.keyboard.press("Escape")
    assert not page.is_visible("#menu"), where
