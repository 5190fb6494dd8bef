"""CFG004: what ``model.json`` says must be possible and must agree with itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medbundles.checks.companions import COMPANIONS, check_companions
from medbundles.checks.config_values import RULES, Rule, is_number
from medbundles.checks.region_keys import crossing
from medbundles.errors import Finding
from medbundles.io.diffusion_channels import CHANNELS

# What inference always does; a model that says otherwise was made for something else.
FIXED = {"orientation": "RAS", "spacing": None}
PARTS = ("preprocessing", "postprocessing", "thresholds")
# A grid may be that of the training set's T1w, which can be finer than what `prepare --grid` makes.
SMALLEST_GRID_MM, LARGEST_GRID_MM = 0.1, 10.0
INTENSITIES = {
    "mean": Rule("a number", is_number),
    "std": Rule("a number above 0", lambda value: is_number(value) and value > 0),
}


def check_description(model: Mapping[str, Any], file: str = "model.json") -> list[Finding]:
    """Check the values that inference takes from ``model.json``, before anything is computed with them.

    Args:
        model: its content; the values of ``preprocessing`` and ``thresholds`` are judged as the keys of the same name.
        file: the name to report.

    Returns:
        One error for each value that cannot be meant.
    """
    fix = "take model.json and the weights from the same run, unedited"
    wrong = [
        f"{part}::{key} is {value!r}, expected {RULES[key].expected}"
        for part in PARTS
        for key, value in (model.get(part) or {}).items()
        # Where a key may be null to mean "as model.json says", model.json itself has to say it.
        if key in RULES and key not in COMPANIONS and (value is None or not RULES[key].fits(value))
    ]
    wrong += _check_grid(model) + _check_window(model) + _check_intensities(model)
    wrong += _check_channels(model) + _check_labels(model) + _check_colors(model) + check_companions(model)
    wrong += [
        f"preprocessing::{key} is {model['preprocessing'][key]!r}, expected {expected!r}"
        for key, expected in FIXED.items()
        if model["preprocessing"].get(key, expected) != expected
    ]
    return [Finding("CFG004", "error", text, fix, file=file) for text in wrong]


def _check_grid(model: Mapping[str, Any]) -> list[str]:
    """Judge the grid of a model that takes diffusion MRI, and that its channels are maps of one."""
    if "grid_mm" not in model["preprocessing"]:
        return []
    grid, images = model["preprocessing"]["grid_mm"], model.get("image_channels", [])
    wrong = []
    if grid != "dwi" and not (is_number(grid) and SMALLEST_GRID_MM <= grid <= LARGEST_GRID_MM):
        expected = f"dwi or an edge of {SMALLEST_GRID_MM:g} to {LARGEST_GRID_MM:g} mm"
        wrong.append(f"preprocessing::grid_mm is {grid!r}, expected {expected}")
    unknown = [name for name in dict.fromkeys(images) if name not in CHANNELS] if _are_names(images) else []
    if unknown:
        wrong.append(f"image_channels names {', '.join(map(repr, unknown))}, expected some of {', '.join(CHANNELS)}")
    return wrong


def _check_window(model: Mapping[str, Any]) -> list[str]:
    """Compare the window's axes with the network's."""
    size, arguments = model["preprocessing"].get("patch_size"), model["network"].get("arguments")
    own = arguments.get("spatial_dims") if isinstance(arguments, Mapping) else None
    dimensions = model["network"].get("spatial_dims") if own is None else own
    if not isinstance(dimensions, int) or not RULES["patch_size"].fits(size) or len(size) == dimensions:
        return []
    return [f"preprocessing::patch_size is {size!r}, but the network has {dimensions} spatial dimensions"]


def _check_intensities(model: Mapping[str, Any]) -> list[str]:
    """Judge what a synthetic image is brought back to intensities by."""
    found = (model.get("postprocessing") or {}).get("t1w", {})
    if not isinstance(found, Mapping):
        return [f"postprocessing::t1w is {found!r}, expected a mean and a std"]
    return [
        f"postprocessing::t1w::{key} is {found[key]!r}, expected {rule.expected}"
        for key, rule in INTENSITIES.items()
        if key in found and not rule.fits(found[key])
    ]


def _check_channels(model: Mapping[str, Any]) -> list[str]:
    """Compare the network's input channels with what it is fed: every image, slice by slice where it takes stacks."""
    images = model.get("image_channels", [])
    if "image_channels" in model and not _are_names(images):
        return [f"image_channels is {images!r}, expected a list of names, each once"]
    channels, slices = _input_channels(model["network"]), model["preprocessing"].get("slices")
    said = [f"preprocessing::slices is {slices!r}"] if isinstance(slices, int) else []
    said += [f"image_channels names {len(images)}"] if images and (len(images) > 1 or not said) else []
    fed = max(1, len(images)) * (slices if isinstance(slices, int) else 1)
    if channels is None or not said or fed == channels:
        return []
    return [f"{' and '.join(said)}, but the network has {channels!r} input channels"]


def _check_labels(model: Mapping[str, Any]) -> list[str]:
    """Compare the labels with the network's output channels, one each, the background's among them or not.

    A network without labels makes an image.
    """
    labels, arguments = model.get("labels", {}), model["network"].get("arguments")
    if not all(str(value).isdecimal() for value in labels):
        return [f"labels are {sorted(labels)}, expected whole numbers"]
    if "regions" in model:
        return _check_regions(model)
    channels = arguments.get("out_channels") if isinstance(arguments, Mapping) else None
    if not labels or not isinstance(channels, int) or len(labels) - channels in (0, 1):
        return []
    return [f"labels names {len(labels)} values, but the network has {channels} output channels"]


def _check_regions(model: Mapping[str, Any]) -> list[str]:
    """Compare the regions with the labels they are made of, and with the network's output channels, one each."""
    regions, known = model["regions"], {int(value) for value in model.get("labels", {})} - {0}
    if not isinstance(regions, Mapping) or not regions:
        return [f"regions is {regions!r}, expected the label values of each"]
    wrong = [
        f"regions::{name} is {values!r}, expected some of the labels {sorted(known)}"
        for name, values in regions.items()
        if not (isinstance(values, list) and values and all(value in known for value in values))
    ]
    wrong = wrong or crossing(regions)
    thresholds = (model.get("postprocessing") or {}).get("thresholds") or {}
    given = list(thresholds.values()) if isinstance(thresholds, Mapping) else [thresholds]
    if not all(is_number(value) and 0 <= value < 1 for value in given):
        wrong.append(f"postprocessing::thresholds is {thresholds!r}, expected numbers from 0 to below 1")
    arguments = model["network"].get("arguments")
    channels = arguments.get("out_channels") if isinstance(arguments, Mapping) else None
    if isinstance(channels, int) and channels != len(regions):
        wrong.append(f"regions names {len(regions)}, but the network has {channels} output channels")
    return wrong


def _check_colors(model: Mapping[str, Any]) -> list[str]:
    colors = model.get("colors") or {}
    if not isinstance(colors, Mapping):
        return [f"colors is {colors!r}, expected a color for each label"]
    return [
        f"colors::{name} is {color!r}, expected three whole numbers from 0 to 255"
        for name, color in colors.items()
        if not (isinstance(color, list) and len(color) == 3 and all(_is_whole(part, 0, 255) for part in color))
    ]


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _are_names(value: Any) -> bool:
    named = isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)
    return named and len(set(value)) == len(value)


def _input_channels(network: Mapping[str, Any]) -> Any:
    arguments = network.get("arguments")
    return arguments.get("in_channels") if isinstance(arguments, Mapping) else None
