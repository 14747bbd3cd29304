"""Paper that a browser printed, and pictures that the page saved, measured: in millimetres, from the pixels."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from recordings import optional

pdfium = optional("pypdfium2", group="browser")

INCH = 25.4
DPI = 300
PER_MILLIMETRE = DPI / INCH

Pixels = npt.NDArray[np.uint8]


class Sheet:
    """A page as it comes out of a printer.

    Attributes:
        text: all of it that a reader can select.
        pictures: how many bitmaps the page holds.
        width: of the paper, in millimetres.
        height: likewise.
    """

    def __init__(self, page: Any) -> None:
        self._page = page
        self.text: str = page.get_textpage().get_text_range()
        self.pictures = sum(thing.type == pdfium.raw.FPDF_PAGEOBJ_IMAGE for thing in page.get_objects())
        self.width, self.height = (points / 72 * INCH for points in page.get_size())

    @cached_property
    def pixels(self) -> Pixels:
        """[rows, columns, 3] at 300 dpi."""
        return np.asarray(self._page.render(scale=DPI / 72).to_pil().convert("RGB"))


def printed(pdf: bytes) -> list[Sheet]:
    """The pages of a PDF."""
    return [Sheet(page) for page in pdfium.PdfDocument(pdf)]


class Measured(NamedTuple):
    """Millimetres: where the grid begins, its strong lines from there on, and the pulses in their order from above.

    Each pulse has the height of its top over its feet, its width, and the place of 0 mV below the paper's upper edge.
    """

    left: float
    top: float
    across: npt.NDArray[np.float64]
    down: npt.NDArray[np.float64]
    pulses: list[tuple[float, float, float]]


def measure(pixels: Pixels, per_millimetre: float = PER_MILLIMETRE) -> Measured:
    """The grid and the calibration pulses of a sheet: what is red is grid, what is black is pulse or trace."""
    red, green, blue = (pixels[..., colour].astype(int) for colour in range(3))
    strong = (red - green > 40) & (green < 185)
    columns = lines(strong.mean(axis=0) > 0.5)
    rows = lines(strong.mean(axis=1) > 0.5)
    black = (red < 110) & (green < 110) & (blue < 110)
    first, second = round(columns[0]), round(columns[2])
    upper = round(rows[0])
    zone = black[upper : round(rows[-1]), first + 3 : second - 3]
    pulses = []
    steep = zone.sum(axis=0) > 5 * per_millimetre
    rise, fall = lines(steep)[:2]
    foot = slice(round(rise - per_millimetre), round(rise - 0.4 * per_millimetre))
    feet = lines(zone[:, foot].mean(axis=1) > 0.9)
    middle = round((rise + fall) / 2)
    tops = lines(zone[:, middle - 10 : middle + 10].mean(axis=1) > 0.9)
    for foot in feet:
        top = tops[tops < foot].max()
        pulses.append(((foot - top) / per_millimetre, (fall - rise) / per_millimetre, (upper + foot) / per_millimetre))
    return Measured(
        columns[0] / per_millimetre,
        rows[0] / per_millimetre,
        (columns - columns[0]) / per_millimetre,
        (rows - rows[0]) / per_millimetre,
        pulses,
    )


def lines(is_line: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The middle of each run of trues, in pixels."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_line, [False]]).astype(int)))
    return (edges[::2] + edges[1::2]) / 2


def ink_off(sheet: Sheet, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the distance of each point, in millimetres, from the nearest black pixel in its column."""
    black = (sheet.pixels < 110).all(axis=2)
    found = []
    for across, down in zip(x * PER_MILLIMETRE, y * PER_MILLIMETRE, strict=True):
        column = np.flatnonzero(black[:, round(across)])
        found.append(np.abs(column - down).min() / PER_MILLIMETRE if len(column) else np.inf)
    return np.array(found)
