"""A sheet with the findings of a scan: where each one lies, and how it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from medbundles.components.nodules import Nodule
from medbundles.components.overlay import (
    BACKGROUND,
    GAP,
    TEXT_COLOR,
    TEXT_SIZE,
    Legend,
    Picture,
    draw_legend,
    even_slices,
    legend_width,
    mark_right,
    radiological_affine,
    to_gray,
    to_radiological,
)
from medbundles.components.slice_frame import SliceFrame
from medbundles.io.grids import Affine, spacing_of, to_index

# The usual window to look at lungs: level -600, width 1500 HU.
LUNG_WINDOW = (-1350.0, 150.0)
RING, OUTLINE = (255, 214, 10), (0, 190, 255)
RING_LEGEND: Legend = (("ring: the finding", RING),)
EDGE = "line: edge of the mask"
ONE_CLASS: Legend = ((EDGE, OUTLINE),)
DISCLAIMER = "Research software, not a medical device."
NOTHING_FOUND = "no findings above the threshold"
# Pixels: edges of the whole slice and of the detail beside it.
SLICE_EDGE, DETAIL_EDGE = 380, 240
# The detail shows this much, and more where the finding is large.
DETAIL_MM = 60.0
# The ring keeps this distance from the finding, and is never smaller than can be seen on a whole slice.
RING_MARGIN_MM, SMALLEST_RADIUS = 3.0, 8.0
# A network is never certain: what rounds to 1 is shown as more than this.
NEARLY_CERTAIN = 0.999
LINE, BLOCK_GAP = TEXT_SIZE + 2 * GAP, 4 * GAP


@dataclass(frozen=True)
class ShownScan:
    """A scan in radiological convention: anterior up, the patient's right on the left, slices from the feet up.

    Attributes:
        image: intensities ``(rows, columns, slices)``.
        mask: what was found, the same shape: true, or the number of a class from 1.
        affine: 4x4, ``(row, column, slice)`` to RAS+ mm.
        window: intensities shown as black and white (HU for CT).
        lines: words and color of the mask's edge, one for each class.
    """

    image: npt.NDArray[Any]
    mask: npt.NDArray[Any]
    affine: Affine
    window: tuple[float, float] = LUNG_WINDOW
    lines: Legend = ONE_CLASS

    @classmethod
    def of(
        cls,
        image: npt.NDArray[Any],
        mask: npt.NDArray[Any],
        affine: Affine,
        window: tuple[float, float],
        classes: Legend = (),
    ) -> ShownScan:
        """Turn a scan and its mask ``(H, W, D)`` of any orientation; ``affine`` maps their indices to RAS+ mm.

        Several ``classes`` (name and color) have edges of their own colors.
        """
        turned = radiological_affine(affine, image.shape)
        lines = tuple((f"{EDGE}, {name}", color) for name, color in classes) if len(classes) > 1 else ONE_CLASS
        return cls(to_radiological(image, affine), to_radiological(mask, affine), turned, window, lines)

    def picture(self, level: int, frame: SliceFrame) -> Picture:
        """Return part of the slice ``level`` in gray."""
        return frame.scaled(to_gray(self.image[..., level], self.window))

    def outlined(self, level: int, frame: SliceFrame) -> Picture:
        """Return part of the slice ``level`` in gray, with the edge of the mask."""
        picture = self.picture(level, frame)
        for number, (_, color) in enumerate(self.lines, start=1):
            edge = frame.outline(self.mask[..., level] == number)
            picture = np.where(edge[..., None], color, picture).astype(np.uint8)
        return picture

    def whole(self) -> SliceFrame:
        """Return the frame of whole slices."""
        return SliceFrame.whole(self.image.shape, spacing_of(self.affine), SLICE_EDGE)


def draw_findings(scan: ShownScan, findings: Sequence[Nodule], case: str, limit: int = 8) -> tuple[Picture, str]:
    """Draw a scan's findings, or three slices of it when there are none.

    Every finding has the axial slice through its center, ringed and numbered, and a detail with the outline of the
    mask beside it.

    Args:
        scan: the scan.
        findings: the most important ones first; they are numbered from 1 in this order.
        case: the case's name.
        limit: findings that are drawn.

    Returns:
        The sheet, and all of its words.
    """
    shown = findings[:limit]
    heads = [case, _count(len(findings), len(shown)), _explanation(scan.window)]
    if shown:
        captions = [_caption(number, finding) for number, finding in enumerate(shown, 1)]
        blocks = [draw_finding(scan, finding, caption) for finding, caption in zip(shown, captions, strict=True)]
        columns = min(2, len(blocks))
    else:
        captions, frame = [], scan.whole()
        blocks = [mark_right(scan.picture(level, frame)) for level in even_slices(scan.image.shape[2], 3)]
        columns = len(blocks)
    words = "\n".join([*heads, *(", ".join(caption) for caption in captions), DISCLAIMER])
    return _lay_out(blocks, columns, heads, (*RING_LEGEND, *scan.lines) if shown else ()), words


def draw_finding(scan: ShownScan, finding: Nodule, caption: Sequence[str]) -> Picture:
    """Draw one finding: its slice at the left, the detail and the caption's lines at the right.

    Args:
        scan: the scan.
        finding: the finding.
        caption: lines of text; the first is the number, which stands at the ring, too.
    """
    row, column, position = to_index(scan.affine, finding.center_ras_mm)
    level = int(np.clip(round(position), 0, scan.image.shape[2] - 1))
    whole = scan.whole()
    width_mm = max(DETAIL_MM, 2.5 * finding.diameter_mm)
    near = SliceFrame.around((row, column), scan.image.shape, spacing_of(scan.affine), width_mm, DETAIL_EDGE)
    overview = mark_right(scan.picture(level, whole))
    detail = scan.outlined(level, near)
    height = max(whole.size[1], near.size[1] + GAP + len(caption) * LINE)
    block = Image.new("RGB", (whole.size[0] + GAP + DETAIL_EDGE, height), (BACKGROUND,) * 3)
    radius_mm = finding.diameter_mm / 2 + RING_MARGIN_MM
    block.paste(_ringed(overview, whole.place(row, column), radius_mm * whole.pixels_per_mm, caption[0]))
    ringed = _ringed(detail, near.place(row, column), radius_mm * near.pixels_per_mm)
    block.paste(ringed, (whole.size[0] + GAP, 0))
    draw, font = ImageDraw.Draw(block), ImageFont.load_default(TEXT_SIZE)
    for index, line in enumerate(caption):
        place = (whole.size[0] + 2 * GAP, near.size[1] + GAP + index * LINE)
        draw.text(place, line, fill=TEXT_COLOR if index else RING, font=font)
    return np.asarray(block)


def _ringed(picture: Picture, place: tuple[float, float], radius: float, number: str = "") -> Image.Image:
    image = Image.fromarray(picture)
    draw, (x, y), radius = ImageDraw.Draw(image), place, max(radius, SMALLEST_RADIUS)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=RING, width=1)
    if number:
        # Beside the ring towards the middle of the picture, where there is room.
        towards_left = x > image.width / 2
        beside = (
            x - radius - GAP if towards_left else x + radius + GAP,
            min(max(y, TEXT_SIZE), image.height - TEXT_SIZE),
        )
        font = ImageFont.load_default(TEXT_SIZE)
        anchor = "rm" if towards_left else "lm"
        draw.text(beside, number, fill=RING, font=font, anchor=anchor, stroke_width=2, stroke_fill=(BACKGROUND,) * 3)
    return image


def _caption(number: int, finding: Nodule) -> list[str]:
    peak = finding.peak_probability
    probability = f"over {NEARLY_CERTAIN}" if peak > NEARLY_CERTAIN else f"{peak:.3f}"
    height = f"{finding.center_ras_mm[2]:.1f}"
    share = finding.class_shares.get(str(finding.class_name))
    return [
        f"{number}",
        f"probability {probability}",
        *([] if share is None else [f"{finding.class_name} {share:.0%}"]),
        f"diameter {finding.diameter_mm:.1f} mm",
        f"center at z = {height} mm",
    ]


def _count(found: int, shown: int) -> str:
    if not found:
        return NOTHING_FOUND
    order = "numbered like the case's rows in nodules.csv, the most probable first"
    if found > shown:
        return f"{shown} of {found} findings, {order}"
    return f"{found} finding{'s' if found > 1 else ''}, {order}"


def _explanation(window: tuple[float, float]) -> str:
    name = "lung window" if window == LUNG_WINDOW else "window"
    return f"{name} {window[0]:g} to {window[1]:g} HU; axial slices seen from the feet, R: the patient's right"


def _lay_out(blocks: Sequence[Picture], columns: int, heads: Sequence[str], legend: Legend) -> Picture:
    """Lay blocks out in rows, with lines of text above and the legend and the disclaimer below."""
    font = ImageFont.load_default(TEXT_SIZE)
    height, width = (max(block.shape[axis] for block in blocks) + BLOCK_GAP for axis in (0, 1))
    rows = -(-len(blocks) // columns)
    text_width = max(round(font.getlength(text)) for text in (*heads, DISCLAIMER)) + 2 * GAP
    top = len(heads) * LINE + GAP
    foot = (2 if legend else 1) * LINE + GAP
    size = (max(columns * width, text_width, legend_width(legend)), top + rows * height + foot)
    canvas = Image.new("RGB", size, (BACKGROUND,) * 3)
    draw = ImageDraw.Draw(canvas)
    for index, text in enumerate(heads):
        draw.text((GAP, GAP + index * LINE), text, fill=TEXT_COLOR, font=font)
    for index, block in enumerate(blocks):
        place = (GAP + index % columns * width, top + index // columns * height)
        canvas.paste(Image.fromarray(block), place)
    bottom = top + rows * height
    draw_legend(draw, legend, bottom)
    draw.text((GAP, size[1] - LINE), DISCLAIMER, fill=TEXT_COLOR, font=font)
    return np.asarray(canvas)
