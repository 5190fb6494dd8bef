"""Free ``--key value`` options, bound to the signature of the function that will receive them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from medbundles.errors import ConfigurationError, Finding
from medbundles.io.option_words import option_pairs


def bind_options(function: Callable[..., Any], words: Sequence[str], given: Sequence[str] = ()) -> dict[str, Any]:
    """Turn ``--key value`` words into keyword arguments of ``function``.

    Values are read as YAML (``true``, ``3``, ``[a, b]``); ``--key=value`` and a bare ``--flag`` work too, and dashes
    for the underscores of a name.

    Args:
        function: what will be called.
        words: the part of the command line that no declared option took.
        given: parameters that are filled elsewhere and cannot be chosen here.

    Raises:
        ConfigurationError: words that are no option, or options ``function`` does not have (CFG001), all at once.
    """
    parameters = inspect.signature(function).parameters
    known = [name for name in parameters if name not in given]
    findings: list[Finding] = []
    options: dict[str, Any] = {}
    for name, value in option_pairs(words):
        if name is None:
            findings.append(Finding("CFG001", "error", f"unexpected argument {value!r}", "options are --key value"))
        elif name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            fix = f"did you mean --{close[0]}?" if close else f"known: {', '.join(known)}"
            findings.append(Finding("CFG001", "error", f"unknown option --{name}", fix))
        else:
            options[name] = _parse(value, str(parameters[name].annotation))
    if findings:
        raise ConfigurationError(findings=findings)
    return options


def _parse(value: str, annotation: str) -> Any:
    import yaml

    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    # A single word where several may stand: --allow NII004.
    several = annotation.startswith(("Collection[", "Sequence[", "list[", "tuple["))
    return [parsed] if several and isinstance(parsed, str) else parsed
