"""CFG001: keys, overrides and references that mean nothing."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from medbundles.checks.config_components import accepted_arguments
from medbundles.checks.config_ids import (
    COMPONENT_KEYS,
    SEPARATOR,
    is_component,
    is_literal,
    iterate_ids,
    lookup,
    references_in,
)
from medbundles.errors import Finding

# Keys every bundle has, and what MONAI and its applications read by name: never misspelt, wherever they are unused.
KNOWN_KEYS = frozenset(
    {
        "dataset_dir", "output_dir", "weights", "pretrained", "resume", "device", "seed", "amp", "max_epochs",
        "val_interval", "patience", "batch_size", "learning_rate", "patch_size", "num_workers", "cache", "network",
        "networks", "loss", "fold", "overwrite", "allow", "strict", "geometry", "save_probability", "backend",
        "skip_bad_cases", "bundle_root", "run", "training", "initialize", "finalize", "imports",
        "tracking_uri", "experiment_name", "run_name", "save_execute_config",
    }
)  # fmt: skip
# Internal ids that read like settings, and what whoever writes them means.
MEANT = {
    "dataset": "did you mean --dataset_dir?",
    "model": "did you mean --weights?",
    "weights_file": "did you mean --weights?",
}
# Those that work without any reference to them.
READ_BY_NAME = frozenset(
    {
        "bundle_root", "run", "training", "initialize", "finalize", "imports",
        "tracking_uri", "experiment_name", "run_name", "save_execute_config",
    }
)  # fmt: skip


def check_overrides(
    config: Mapping[str, Any], overrides: Mapping[str, Any], components: Collection[str] = ()
) -> dict[str, Finding]:
    """Find overrides of what the configuration does not have, does not use, or does not let be replaced by a value.

    Args:
        config: the merged configuration files, before any override.
        overrides: id to value as on the command line; ``#`` separates like ``::``.
        components: keys of what the configuration builds by itself; only null or another component may stand there.

    Returns:
        Override to finding: an error for each without a target, with the closest key, a warning for each that changes
        a value nothing uses.
    """
    used = _used_ids(config)
    findings = {}
    for name in overrides:
        id_ = name.replace("#", SEPARATOR)
        problem = _missing_target(config, id_)
        if problem is not None:
            findings[name] = Finding("CFG001", "error", f"unknown override --{name}: {problem[0]}", problem[1])
        elif id_ in components and _is_value(overrides[name]):
            fix = MEANT.get(id_) or suggestion(id_, sorted(KNOWN_KEYS & set(config))) or "see docs/reference/keys.md"
            message = f"unknown override --{name}: {id_} is made by the configuration, it cannot be a value"
            findings[name] = Finding("CFG001", "error", message, fix)
        elif id_ in KNOWN_KEYS - READ_BY_NAME and not is_used(id_, used):
            message = f"--{name} has no effect: nothing in this configuration uses it"
            findings[name] = Finding("CFG001", "warning", message)
    return findings


def _is_value(value: Any) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str) and not value.startswith(("@", "$", "%")))


def check_references(config: Mapping[str, Any]) -> list[Finding]:
    """Refuse references to ids that are not there."""
    known = {id_ for id_, _ in iterate_ids(config)}
    findings = []
    for id_, value in iterate_ids(config):
        for reference in references_in(value):
            if reference not in known and not reference.startswith("_meta_"):
                fix = suggestion(reference, known, "@")
                findings.append(Finding("CFG001", "error", f"{id_}: @{reference} is not in the configuration", fix))
    return findings


def check_unused_values(config: Mapping[str, Any]) -> list[Finding]:
    """Refuse plain values that nothing refers to: how a misspelt key or override looks once it is merged.

    Values inside of components are arguments, values inside of a referenced mapping are used with it.
    """
    used = _used_ids(config)
    spelled = sorted({*KNOWN_KEYS, *config})
    findings = []
    for id_ in _plain_values(config):
        if is_used(id_, used) or id_ in KNOWN_KEYS:
            continue
        parent, _, key = id_.rpartition(SEPARATOR)
        names = [str(name) for name in lookup(config, parent)] if parent else spelled
        dashes = "" if parent else "--"
        fix = suggestion(key, [name for name in names if name != key], dashes) or "remove it, or refer to it"
        findings.append(Finding("CFG001", "error", f"unknown key {id_}: nothing in the configuration uses it", fix))
    return findings


def suggestion(name: str, known: Collection[str], prefix: str = "--") -> str:
    """Return ``did you mean --max_epochs?``, or nothing when nothing known is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {prefix}{close[0]}?" if close else ""


def _closest(name: str, known: Collection[str]) -> str:
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)), "")


def is_used(id_: str, used: Collection[str]) -> bool:
    """Return whether an id, something above it or something below it is referred to."""
    parts = id_.split(SEPARATOR)
    above = {SEPARATOR.join(parts[: count + 1]) for count in range(len(parts))}
    return not above.isdisjoint(used) or any(other.startswith(id_ + SEPARATOR) for other in used)


def _used_ids(config: Mapping[str, Any]) -> set[str]:
    return {reference for _, value in iterate_ids(config) for reference in references_in(value)}


def _plain_values(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        id_ = f"{prefix}{SEPARATOR}{key}" if prefix else str(key)
        if str(key).startswith("_") or is_component(value):
            continue
        if isinstance(value, Mapping) and value:
            yield from _plain_values(value, id_)
        elif is_literal(value):
            yield id_


def _missing_target(config: Mapping[str, Any], id_: str) -> tuple[str, str] | None:
    """Return what is wrong with an override and what was meant, or ``None`` when it has a target."""
    parent_id, _, key = id_.rpartition(SEPARATOR)
    try:
        parent = lookup(config, parent_id) if parent_id else config
    except KeyError:
        ids = [known for known, value in iterate_ids(config) if isinstance(value, Mapping | list)]
        return f"there is no {parent_id}", suggestion(parent_id, ids, "")
    if isinstance(parent, list):
        inside = key.isdigit() and int(key) < len(parent)
        return None if inside else (f"{parent_id} has {len(parent)} items, numbered from 0", "")
    if not isinstance(parent, Mapping):
        return f"{parent_id} is {parent!r}, it has nothing below it", "override what it refers to"
    names = {str(name) for name in parent}
    if key in names:
        return None
    if not parent_id and (meant := MEANT.get(_closest(key, names))):
        return f"this configuration has no {key}", meant
    if is_component(parent):
        accepted = accepted_arguments(parent)
        if accepted is None or accepted.open:
            return None
        names |= accepted.parameters.keys() | COMPONENT_KEYS
        if key in names:
            return None
    prefix = f"--{parent_id}{SEPARATOR}" if parent_id else "--"
    where = parent_id or "this configuration"
    return f"{where} has no {key}", suggestion(key, names, prefix)
