"""Options of a command line as words."""

from __future__ import annotations

from collections.abc import Sequence


def option_pairs(words: Sequence[str]) -> list[tuple[str | None, str]]:
    """Split ``--key value``, ``--key=value`` and bare ``--flag`` words; the name of what is no option is ``None``."""
    pairs: list[tuple[str | None, str]] = []
    waiting: str | None = None
    for word in words:
        if word.startswith("--"):
            if waiting is not None:
                pairs.append((waiting, "true"))
            waiting, separator, value = word[2:].partition("=")
            waiting = waiting.replace("-", "_")
            if separator:
                pairs.append((waiting, value))
                waiting = None
        else:
            pairs.append((waiting, word))
            waiting = None
    return [*pairs, (waiting, "true")] if waiting is not None else pairs
