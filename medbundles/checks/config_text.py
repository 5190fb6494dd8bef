"""CFG003: what the text of a configuration says and the parser silently reads otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medbundles.checks.config_ids import iterate_ids
from medbundles.checks.config_types import looks_like_number
from medbundles.errors import Finding


def check_file(path: Path) -> list[Finding]:
    """Refuse a configuration file that is missing, cannot be parsed or says a key twice.

    Args:
        path: a YAML or JSON file.

    Returns:
        One error for each duplicate key with its line, or one for the whole file.
    """
    if not path.is_file():
        return [Finding("CFG001", "error", f"there is no configuration file {path}", "check --config_file")]
    try:
        text = path.read_text(encoding="utf-8")
        duplicates = _duplicates_in_json(text) if path.suffix == ".json" else _duplicates_in_yaml(text)
        return [
            Finding("CFG003", "error", f"{where}the key {key!r} stands twice", "keep one", file=path.name)
            for where, key in duplicates
        ]
    except ValueError as error:
        message = f"cannot be read: {' '.join(str(error).split())}"
        return [Finding("CFG003", "error", message, "mend the file", file=path.name)]


def check_numbers(config: Mapping[str, Any]) -> list[Finding]:
    """Refuse texts that people read as numbers: YAML 1.1 makes text of ``1e-3``."""
    return [
        Finding("CFG003", "error", f"{id_}: {value!r} is text to YAML, not a number", f"write {_as_yaml(value)}")
        for id_, value in iterate_ids(config)
        if looks_like_number(value)
    ]


def _as_yaml(text: str) -> str:
    mantissa, _, exponent = text.lower().partition("e")
    mantissa = mantissa.replace("-.", "-0.").replace("+.", "+0.")
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    return f"{mantissa}e{exponent if exponent[0] in '+-' else '+' + exponent}"


def _duplicates_in_yaml(text: str) -> Iterator[tuple[str, str]]:
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("it holds no keys and values")
    waiting: list[yaml.Node] = [root]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if key.value in seen:
                    yield f"line {key.start_mark.line + 1}: ", str(key.value)
                seen.add(str(key.value))
                waiting.append(value)


def _duplicates_in_json(text: str) -> Iterator[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        found.extend(("", name) for name in sorted({name for name in names if names.count(name) > 1}))
        return dict(pairs)

    if not isinstance(json.loads(text, object_pairs_hook=collect), dict):
        raise ValueError("it holds no keys and values")
    yield from found
