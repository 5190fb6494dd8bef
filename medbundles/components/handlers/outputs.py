"""What an engine's output and batch hold, whether MONAI has taken them apart or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def first_output(output: Any) -> Mapping[str, Any]:
    """Return an output's dictionary.

    With ``decollate`` MONAI makes it a list of one dictionary per item, each holding the loss of the whole batch.
    """
    chosen = output[0] if isinstance(output, list) and output else output
    return chosen if isinstance(chosen, Mapping) else {}


def case_names(batch: Any) -> Iterator[str]:
    """Yield the names under ``case`` of a batch, collated or taken apart; nothing where it has none."""
    for item in batch if isinstance(batch, list) else [batch]:
        names = item.get("case", ()) if isinstance(item, Mapping) else ()
        yield from [names] if isinstance(names, str) else map(str, names)
