"""What ``model.json`` says of a second network that lies beside the first one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medbundles.checks.config_values import is_number

# A configuration's key of the same name says whether the second network is asked; the model describes it.
COMPANIONS = ("second_stage", "roi_stage")
# Points along an edge of a cube, and mm between them, beyond which no cube is meant.
LARGEST_CUBE = 256
LARGEST_SPACING_MM = 50.0


def check_companions(model: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the second network's description, where there is one."""
    found = model.get("postprocessing") or {}
    return _check_second_look(found.get("second_stage")) + _check_coarse_look(found.get("roi_stage"))


def _check_second_look(second: Any) -> list[str]:
    """Judge the network that looks at findings again: inference cuts cubes for it by these."""
    if second is None:
        return []
    name = "postprocessing::second_stage"
    if not isinstance(second, Mapping) or not isinstance(second.get("network"), Mapping):
        return [f"{name} is {second!r}, expected a file, a network, a size and spacings_mm"]
    wrong = _check_file(name, second)
    size, spacings = second.get("size"), second.get("spacings_mm")
    if not isinstance(size, int) or isinstance(size, bool) or not 2 <= size <= LARGEST_CUBE:
        wrong.append(f"{name}::size is {size!r}, expected a whole number from 2 to {LARGEST_CUBE}")
    if not isinstance(spacings, list) or not spacings or not all(_is_distance(edge) for edge in spacings):
        wrong.append(f"{name}::spacings_mm is {spacings!r}, expected distances above 0")
    else:
        arguments = second["network"].get("arguments")
        channels = arguments.get("n_input_channels") if isinstance(arguments, Mapping) else None
        if isinstance(channels, int) and channels != len(spacings):
            wrong.append(
                f"{name}::spacings_mm has {len(spacings)} entries, but its network has {channels} input channels"
            )
    return wrong


def _check_coarse_look(coarse: Any) -> list[str]:
    """Judge the network that finds the object: inference brings whole images to its voxels."""
    if coarse is None:
        return []
    name = "postprocessing::roi_stage"
    if not isinstance(coarse, Mapping) or not isinstance(coarse.get("network"), Mapping):
        return [f"{name} is {coarse!r}, expected a file, a network and spacing_mm"]
    wrong = _check_file(name, coarse)
    if not _is_distance(coarse.get("spacing_mm")):
        wrong.append(f"{name}::spacing_mm is {coarse.get('spacing_mm')!r}, expected a distance above 0")
    return wrong


def _check_file(name: str, described: Mapping[str, Any]) -> list[str]:
    file = described.get("file")
    if isinstance(file, str) and file.endswith(".pt") and "/" not in file and "\\" not in file:
        return []
    return [f"{name}::file is {file!r}, expected the name of a .pt file beside model.json"]


def _is_distance(value: Any) -> bool:
    return is_number(value) and 0 < value < LARGEST_SPACING_MM
