"""Joining the networks of several runs, such as those of all folds, into one model that any command takes."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medbundles.components.handlers.model_record import command_line, versions
from medbundles.components.networks import describe_joined, load_weights, network_from_model
from medbundles.components.tensor_file import write_tensor_file
from medbundles.errors import ConfigurationError, Finding, OutputConflict
from medbundles.io.model_json import WEIGHTS_NAME, Model, locate_weights, read_model, write_model
from medbundles.registry import bundle_folder

# What must be the same for networks to be asked about the same image and to answer about the same regions.
SAME = ("bundle", "image_channels", "labels", "regions", "preprocessing")
ABSENT = "nothing"
# Second networks belong to one first network, or are needed once.
COMPANIONS = {
    "second_stage": (
        "which looks at the findings of its own first look",
        "join runs of the first look, then train one second look for them",
    ),
    "roi_stage": (
        "which finds the object for it",
        "join runs of the closer look, then train one coarse look for them",
    ),
}


def join_networks(name: str, weights: Sequence[str | os.PathLike[str]], output_dir: str | os.PathLike[str]) -> Path:
    """Write ``model.pt`` and ``model.json`` of the networks' mean probability.

    Numbers that each run chose on its own validation cases (thresholds, smallest components) are replaced by their
    median.

    Args:
        name: the bundle they belong to.
        weights: ``model.pt`` of each run, or the runs' folders; at least two.
        output_dir: a folder that does not exist.

    Returns:
        The weights file.

    Raises:
        ConfigurationError: fewer than two, one given twice, networks that do not return regions or labels, or that
            differ in what they take or return: every difference is listed (CFG004).
        DataError: weights or ``model.json`` are missing (TRN011), damaged or of different runs (TRN007).
        UntrustedContent: weights that hold more than tensors (TRU002).
        OutputConflict: the folder exists (TRN005).
    """
    output = Path(output_dir)
    if output.exists():
        fix = "choose another --output_dir"
        raise OutputConflict(findings=[Finding("TRN005", "error", f"{output} exists", fix, file=output.name)])
    files = _find(name, weights)
    models = [read_model(file) for file in files]
    findings = [*_unfit(bundle_folder(name).resolve().name, files, models), *_differences(files, models)]
    if findings:
        raise ConfigurationError(findings=findings)
    model = _joined(models, [str(each) for each in weights])
    network = network_from_model(model)
    for member, file in zip(network.get_submodule("members").children(), files, strict=True):
        load_weights(member, file)
    write_tensor_file(output / WEIGHTS_NAME, network.state_dict())
    write_model(output, model, [WEIGHTS_NAME])
    return output / WEIGHTS_NAME


def _find(name: str, weights: Sequence[str | os.PathLike[str]]) -> list[Path]:
    files = [locate_weights(bundle_folder(name), each) for each in weights]
    if len({file.resolve() for file in files}) < max(len(files), 2):
        raise ConfigurationError(
            f"--weights names the runs to join, two or more and each once, as [RUN0,RUN1]; "
            f"found {', '.join(map(str, files)) or 'none'}"
        )
    return files


def _unfit(bundle: str, files: Sequence[Path], models: Sequence[Model]) -> Iterator[Finding]:
    """Yield why a model can be no member of any ensemble of this bundle."""
    for file, model in zip(files, models, strict=True):
        if model["bundle"] != bundle:
            yield _finding(file, f"it belongs to {model['bundle']}, not to {bundle}", "join runs of one bundle")
        if not _regions(model):
            yield _finding(file, "it makes an image; probabilities of labels can be joined", "use one of the runs")
        for key, (what, fix) in COMPANIONS.items():
            if (model.get("postprocessing") or {}).get(key):
                yield _finding(file, f"it holds a second network, {what}", fix)


def _differences(files: Sequence[Path], models: Sequence[Model]) -> Iterator[Finding]:
    """Yield what is said otherwise than by the first model."""
    first = _flat({key: models[0].get(key) for key in SAME})
    for file, model in zip(files[1:], models[1:], strict=True):
        other = _flat({key: model.get(key) for key in SAME})
        for key in dict.fromkeys([*first, *other]):
            found, expected = other.get(key, ABSENT), first.get(key, ABSENT)
            if found != expected:
                fix = f"join runs that agree; {files[0].parent.name} is the one compared with"
                yield _finding(file, f"{key} is {found!r}, the first one has {expected!r}", fix)


def _flat(content: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return the values of nested mappings by their whole names; the order of regions counts, so it is a value."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping) and name != "regions":
            flat |= _flat(value, f"{name}::")
        else:
            flat[name] = list(value.items()) if isinstance(value, Mapping) else value
    return flat


def _joined(models: Sequence[Model], weights: Sequence[str]) -> Model:
    first = models[0]
    kept = {key: first[key] for key in (*SAME, "colors") if key in first}
    chosen = {
        key: _middle([model.get(key) or {} for model in models]) or {} for key in ("postprocessing", "thresholds")
    }
    network = describe_joined(
        [model["network"] for model in models],
        in_channels=len(first["image_channels"]),
        out_channels=_outputs(first),
        spatial_dims=int(first["network"].get("spatial_dims", 3)),
        exclusive=_is_exclusive(first),
    )
    training = {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line(),
        "versions": versions(),
        "members": [
            {"weights": name, **model.get("training", {})} for name, model in zip(weights, models, strict=True)
        ],
    }
    return {**kept, "network": network, **chosen, "training": training}


def _regions(model: Model) -> int:
    """Return how many outputs a model has: regions, or labels but the background."""
    regions = model.get("regions") or [value for value in model["labels"] if int(value) > 0]
    return len(regions)


def _is_exclusive(model: Model) -> bool:
    """Return whether a model has an output for the background as well, so that a voxel has one of its labels."""
    outputs = model["network"].get("arguments", {}).get("out_channels")
    return "regions" not in model and outputs == len(model["labels"]) > 1


def _outputs(model: Model) -> int:
    return _regions(model) + _is_exclusive(model)


def _middle(values: Sequence[Any]) -> Any:
    """Return the median of numbers, the majority of yes and no, what all agree on of the rest, or None."""
    if all(isinstance(value, Mapping) for value in values):
        shared = [key for key in values[0] if all(key in value for value in values)]
        middles = {key: _middle([value[key] for value in values]) for key in shared}
        return {key: middle for key, middle in middles.items() if middle is not None}
    if all(isinstance(value, bool) for value in values):
        return 2 * sum(values) > len(values)
    if all(isinstance(value, int | float) for value in values):
        return statistics.median(values)
    return values[0] if all(value == values[0] for value in values) else None


def _finding(file: Path, message: str, fix: str) -> Finding:
    return Finding("CFG004", "error", message, fix, file=f"{file.parent.name}/model.json")
