"""Overrides of a configuration as command line words: ``--max_epochs 3 --train::trainer::amp=false``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from medbundles.cli.options import option_pairs
from medbundles.errors import ConfigurationError, Finding

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
