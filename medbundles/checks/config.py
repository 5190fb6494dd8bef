"""Everything that can be known of a configuration before it is evaluated, as findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medbundles.checks.config_components import check_components
from medbundles.checks.config_ids import iterate_ids
from medbundles.checks.config_keys import check_overrides, check_references, check_unused_values
from medbundles.checks.config_text import check_file, check_numbers
from medbundles.checks.config_values import check_values
from medbundles.errors import Finding

__all__ = ["check_config", "check_file", "check_model", "check_overrides", "differences"]

_ABSENT = object()


def check_config(config: Mapping[str, Any]) -> list[Finding]:
    """Check a whole configuration; nothing in it is evaluated, but the modules its components live in are imported.

    Args:
        config: raw content: files merged, overrides applied, macros resolved, without the metadata.

    Returns:
        Findings CFG001 (unknown keys and references), CFG002 (components, values) and CFG003 (numbers that are text).
    """
    refused = check_values(config)
    return [
        *check_unused_values(config),
        *check_references(config),
        *refused.values(),
        *check_components(config, settled=refused),
        *check_numbers(config),
    ]


def check_model(model: Mapping[str, Any], expected: Mapping[str, Any], file: str = "model.json") -> list[Finding]:
    """Compare what trained weights are with what a configuration expects of them (CFG004).

    Args:
        model: content of ``model.json``.
        expected: the part of it the configuration states; keys it does not state are not compared.
        file: the name to report.

    Returns:
        One error for each value that differs.
    """
    fix = "use the configuration the weights were trained with, or other weights"
    stated = {key: model[key] for key in expected if key in model}
    return [
        Finding("CFG004", "error", f"{id_} is {theirs} in {file} and {ours} in the configuration", fix, file=file)
        for id_, theirs, ours in differences(stated, expected)
    ]


def differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return ``(id, left value, right value)`` for every leaf that differs, in the order of the ids.

    Values are shown as Python writes them, ``absent`` where there is none; lists are compared item by item.
    """
    ours, theirs = _leaves(left), _leaves(right)
    keys = [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key, _ABSENT) != theirs.get(key, _ABSENT)]
    return [(key, _shown(ours, key), _shown(theirs, key)) for key in keys]


def _leaves(config: Mapping[str, Any]) -> dict[str, Any]:
    return {id_: value for id_, value in iterate_ids(config) if not (isinstance(value, Mapping | list) and value)}


def _shown(leaves: Mapping[str, Any], key: str) -> str:
    return repr(leaves[key]) if key in leaves else "absent"
