"""Overrides of a configuration as command line words: ``--max_epochs 3 --train::trainer::amp=false``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.checks.config_ids import SEPARATOR, follow, is_literal, lookup
from medbundles.checks.config_text import check_file
from medbundles.errors import ConfigurationError, Finding
from medbundles.io.option_words import option_pairs

EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    """Return id to value; the last of several values for one id counts.

    Args:
        words: what the command's own options left over.

    Raises:
        ConfigurationError: words that belong to no option (CFG001), all at once.
    """
    pairs = option_pairs(words)
    stray = [value for name, value in pairs if name is None]
    if stray:
        fix = "overrides are --key value; quote a value with spaces, lists are [1,2]"
        raise ConfigurationError(
            findings=[Finding("CFG001", "error", f"unexpected argument {value!r}", fix) for value in stray]
        )
    return {str(name): parse_value(value) for name, value in pairs}


def parse_value(text: str) -> Any:
    """Return a value as YAML reads it, numbers such as ``1e-3`` included, which YAML 1.1 takes for text."""
    import yaml

    if EXPONENT.fullmatch(text):
        return float(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def texts_to_lists(overrides: Mapping[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """Take a single text for a list of one where the configuration has a list of texts: ``--allow NII004``.

    Args:
        overrides: id to value.
        files: the configuration files, merged in order; what is wrong with them is said elsewhere.
    """
    config = _merged(files)
    return {id_: [value] if _is_text(value) and _has_texts(config, id_) else value for id_, value in overrides.items()}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and is_literal(value)


def _has_texts(config: Mapping[str, Any], id_: str) -> bool:
    try:
        current = follow(config, lookup(config, id_.replace("#", SEPARATOR)))
    except KeyError:
        return False
    return isinstance(current, list) and all(isinstance(item, str) for item in current)


def _merged(files: Sequence[Path]) -> Mapping[str, Any]:
    from monai.bundle.config_parser import ConfigParser

    if any(check_file(file) for file in files):
        return {}
    parser = ConfigParser()
    try:
        parser.read_config([str(file) for file in files])
    except (KeyError, ValueError):
        return {}
    content: Mapping[str, Any] = parser.get()
    return content
