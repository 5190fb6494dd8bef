"""CFG002: values of top-level keys that no run could mean, and choices that name nothing.

Bundles share the names of their keys (docs/reference/keys.md), so what a key may be stands here once.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medbundles.checks.config_ids import follow, is_literal
from medbundles.checks.config_keys import suggestion
from medbundles.checks.config_types import looks_like_number
from medbundles.errors import Finding

LARGEST_SEED = 2**32 - 1  # NumPy takes no larger one
# Keys that choose an entry of a mapping of the same configuration.
CHOICES = {"network": "networks", "loss": "losses"}
SHAPES = ("crop_size", "patch_size")
# Edges between the finest scans that are made and voxels that show no brain.
SMALLEST_EDGE_MM, LARGEST_EDGE_MM = 0.5, 10.0
# Windows that cover each other further are thousands.
LARGEST_OVERLAP = 0.9
LAST_AXIS = 2
BRIGHTEST = 255


@dataclass(frozen=True)
class Rule:
    """What a key may be, in words and as a test of a literal."""

    expected: str
    fits: Callable[[Any], bool]


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number, true and false left out."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any, minimum: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum


def _whole(minimum: int) -> Rule:
    return Rule(f"a whole number from {minimum}", lambda value: _is_whole(value, minimum))


def _one_of(*names: str | None) -> Rule:
    return Rule(" | ".join("null" if name is None else name for name in names), lambda value: value in names)


def _or_null(rule: Rule) -> Rule:
    return Rule(f"{rule.expected}, or null", lambda value: value is None or rule.fits(value))


def _word_or(rule: Rule, *words: str) -> Rule:
    return Rule(f"{', '.join(words)} or {rule.expected}", lambda value: value in words or rule.fits(value))


def _is_rising_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value)) and value[0] < value[1]


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) in (2, 3) and all(_is_whole(size, 1) for size in value)


def _are_shares(value: Any) -> bool:
    if not isinstance(value, Mapping) or not value:
        return False
    return all(is_number(share) and share >= 0 for share in value.values()) and sum(value.values()) > 0


def _is_edge(value: Any) -> bool:
    return is_number(value) and SMALLEST_EDGE_MM <= value <= LARGEST_EDGE_MM


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) and str(value) != ""


def _is_resume(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and value.endswith(".pt"))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_overlap(value: Any) -> bool:
    shares = value if isinstance(value, list) and value else [value]
    return all(is_number(share) and 0 <= share <= LARGEST_OVERLAP for share in shares)


def _are_edges(value: Any) -> bool:
    return all(map(_is_edge, value)) and len(value) == LAST_AXIS + 1 if isinstance(value, list) else _is_edge(value)


def _are_axes(value: Any) -> bool:
    whole = isinstance(value, list) and all(_is_whole(axis, 0) and axis <= LAST_AXIS for axis in value)
    return whole and len(set(value)) == len(value)


def _are_volumes(value: Any) -> bool:
    volumes = list(value.values()) if isinstance(value, Mapping) else [value]
    return all(is_number(volume) and volume >= 0 for volume in volumes)


def _are_endings(value: Any) -> bool:
    return isinstance(value, Mapping) and all(_are_texts(words) and all(words) for words in value.values())


def _are_colors(value: Any) -> bool:
    listed = isinstance(value, Mapping) and all(isinstance(color, list) and len(color) == 3 for color in value.values())
    return listed and all(_is_whole(part, 0) and part <= BRIGHTEST for color in value.values() for part in color)


def _are_inner_probabilities(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(is_number(each) and 0 < each < 1 for each in value)


PATH = Rule("a path", _is_path)
PROBABILITY = Rule("a number from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1)
POSITIVE = Rule("a number above 0", lambda value: is_number(value) and value > 0)
EDGE = Rule(f"an edge of {SMALLEST_EDGE_MM:g} to {LARGEST_EDGE_MM:g} mm", _is_edge)
NOT_NEGATIVE = Rule("a number from 0", lambda value: is_number(value) and value >= 0)
VOLUMES = Rule("a number of ml from 0, or one for each region by its name", _are_volumes)
SHAPE = Rule("a list of 2 or 3 whole numbers from 1, in voxels", _is_shape)
RULES: dict[str, Rule] = {
    "bundle_root": PATH,
    "dataset_dir": PATH,
    "output_dir": PATH,
    "weights": _or_null(PATH),
    "pretrained": _or_null(PATH),
    # A text such as "false" is true to Python: a finished run would be written over.
    "resume": Rule("true, false or a checkpoint CHECKPOINT.pt", _is_resume),
    "allow": Rule("a list of fault codes", _are_texts),
    "seed": Rule(f"a whole number from 0 to {LARGEST_SEED}", lambda seed: _is_whole(seed, 0) and seed <= LARGEST_SEED),
    "fold": _whole(0),
    "num_workers": _whole(0),
    "multiprocessing_context": _one_of(None, "fork", "spawn", "forkserver"),
    "backend": _one_of("auto", "openvino", "channels_last", "eager"),
    "geometry": _one_of(None, "sform", "qform"),
    "part": _one_of("testing", "validation", "training"),
    "batch_size": _whole(1),
    "most_per_scan": _whole(1),
    "full_slice_batch_size": _whole(1),
    "samples_per_epoch": _whole(1),
    "max_epochs": _whole(1),
    "warmup_epochs": _whole(0),
    "val_interval": _whole(1),
    "patience": _whole(0),
    "preview_cases": _whole(0),
    "preview_slices": _whole(1),
    "learning_rate": POSITIVE,
    "ema_decay": Rule("a number from 0 to below 1", lambda value: is_number(value) and 0 <= value < 1),
    "foreground_prior": Rule("a number between 0 and 1", lambda value: is_number(value) and 0 < value < 1),
    "false_positive_budget": POSITIVE,
    "smoothing_mm": Rule("a number from 0 to 20, in mm", lambda value: is_number(value) and 0 <= value <= 20),
    "candidate_threshold": PROBABILITY,
    "mask_threshold": _or_null(PROBABILITY),
    "peak_threshold": _or_null(PROBABILITY),
    "window_hu": Rule("two rising numbers in HU", _is_rising_pair),
    "slices": Rule("an odd whole number from 1", lambda value: _is_whole(value, 1) and value % 2 == 1),
    "crop_size": SHAPE,
    "patch_size": SHAPE,
    "mirror": PROBABILITY,
    "ssim_weight": NOT_NEGATIVE,
    "adversarial_weight": NOT_NEGATIVE,
    "adversarial_criterion": _one_of("bce", "least_squares"),
    "feature_matching_weight": NOT_NEGATIVE,
    "g_train_steps": _whole(1),
    "d_train_steps": _whole(0),
    "accuracy_gate": _or_null(Rule("a number above 0 up to 1", lambda value: is_number(value) and 0 < value <= 1)),
    "slices_per_axis": _or_null(_whole(1)),
    "minimum_tissue": PROBABILITY,
    "pretrained_discriminator": _or_null(PATH),
    "discriminator_learning_rate": POSITIVE,
    "gradient_clip": _or_null(POSITIVE),
    "augmentation": PROBABILITY,
    "b0_threshold": NOT_NEGATIVE,
    "shell": _or_null(POSITIVE),
    "output_grid": _word_or(EDGE, "dwi", "network"),
    "spacing_mm": Rule(f"{EDGE.expected}, or one for each axis", _are_edges),
    "roi_spacing_mm": EDGE,
    "roi_stage": _or_null(_one_of("auto", "none")),
    "second_stage": _or_null(_one_of("auto", "none")),
    "mirror_axes": Rule("a list of axes, some of 0, 1, 2, each once", _are_axes),
    "box_margin": NOT_NEGATIVE,
    "supervised_levels": _whole(0),
    "fusion": _one_of("input", "feature", "decision"),
    "view": _one_of("3d", "three_plane", "three_plane_3d"),
    "contrast_dropout": PROBABILITY,
    "weight_decay": NOT_NEGATIVE,
    "overlap": Rule(f"a number from 0 to {LARGEST_OVERLAP:g}, or one for each axis", _is_overlap),
    "flips": Rule("a list of axes, some of 0, 1, 2, each once", _are_axes),
    "smallest_ml": _or_null(VOLUMES),
    "replace_below_ml": _or_null(VOLUMES),
    "choose_cleaning": Rule("true or false", lambda value: isinstance(value, bool)),
    "learn_on": _one_of("training", "validation", "testing"),
    "fill_holes": _or_null(Rule("true or false", lambda value: isinstance(value, bool))),
    "tolerance_mm": POSITIVE,
    "tried_thresholds": Rule("a list of numbers between 0 and 1", _are_inner_probabilities),
    "cleaning_criterion": _one_of("dice", "lesion_dice", "both"),
    "contrast_endings": Rule("a list of words for each contrast", _are_endings),
    "colors": Rule("three whole numbers from 0 to 255 for each name", _are_colors),
    "sampling": Rule("shares from 0, not all 0", _are_shares),
}


def check_values(config: Mapping[str, Any]) -> dict[str, Finding]:
    """Refuse values that no run could mean.

    Args:
        config: the raw configuration with macros resolved; expressions are left alone.

    Returns:
        Key to error: a value out of its range, a choice without an entry, a size the network cannot take.
    """
    values = {key: follow(config, value) for key, value in config.items()}
    plain = {key: value for key, value in values.items() if is_literal(value) and not looks_like_number(value)}
    refused = {
        key: _refused(f"{key} is {plain[key]!r}, expected {rule.expected}", _python_spelling(plain[key]))
        for key, rule in RULES.items()
        if key in plain and not rule.fits(plain[key])
    }
    refused |= _check_choices(plain, values)
    return refused if any(key in refused for key in SHAPES) else refused | _check_shapes(plain, values)


def _check_choices(plain: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Finding]:
    refused = {}
    for key, plural in CHOICES.items():
        name, known = plain.get(key), values.get(plural)
        if key in plain and isinstance(known, Mapping) and name not in known:
            fix = suggestion(str(name), list(known), "") or f"choose one of {', '.join(map(str, known))}"
            refused[key] = _refused(f"{key} is {name!r}, which is not in {plural}", fix)
    return refused


def _check_shapes(plain: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Finding]:
    network = _chosen_network(values)
    dimensions = network.get("spatial_dims")
    shapes = {key: plain[key] for key in SHAPES if key in plain}
    if isinstance(dimensions, int) and any(len(shape) != dimensions for shape in shapes.values()):
        expected = f"expected {dimensions} numbers for a network with {dimensions} spatial dimensions"
        wrong = {key: shape for key, shape in shapes.items() if len(shape) != dimensions}
        return {key: _refused(f"{key} is {shape!r}, {expected}") for key, shape in wrong.items()}
    step = _total_stride(network)
    patch, crop = shapes.get("patch_size", []), shapes.get("crop_size", [])
    if any(inner > outer for inner, outer in zip(patch, crop, strict=False)):
        return {"crop_size": _refused(f"crop_size is {crop!r}, expected at least the patch_size {patch!r}")}
    if not any(size % step for size in patch):
        return {}
    near = [max(step, round(size / step) * step) for size in patch]
    message = f"patch_size is {patch!r}, expected multiples of {step} for this network's strides"
    return {"patch_size": _refused(message, f"such as {near}")}


def _chosen_network(values: Mapping[str, Any]) -> Mapping[str, Any]:
    networks, name = values.get("networks"), values.get("network")
    chosen = networks.get(name) if isinstance(networks, Mapping) and isinstance(name, str) else None
    return chosen if isinstance(chosen, Mapping) else {}


def _total_stride(network: Mapping[str, Any]) -> int:
    """Return what a size must be a multiple of; 1 where the strides are not plain whole numbers."""
    strides = network.get("strides")
    if not isinstance(strides, Sequence) or not all(_is_whole(stride, 1) for stride in strides):
        return 1
    return math.prod(strides)


def _python_spelling(value: Any) -> str:
    """Return advice for ``true`` and ``false`` as Python Fire, which reads monai.bundle's command line, leaves them."""
    words = {"true": "True", "false": "False", "null": "None"}
    known = isinstance(value, str) and value.lower() in words
    return f"on monai.bundle's command line write {words[value.lower()]}" if known else ""


def _refused(message: str, fix: str = "") -> Finding:
    return Finding("CFG002", "error", message, fix)
