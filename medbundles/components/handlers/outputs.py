"""What an engine's output and batch hold, whether MONAI has taken them apart or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor


def first_output(output: Any) -> Mapping[str, Any]:
    """Return an output's dictionary.

    With ``decollate`` MONAI makes it a list of one dictionary per item, each holding the loss of the whole batch.
    Tensors are without their gradients.
    """
    chosen = output[0] if isinstance(output, list) and output else output
    entries = chosen if isinstance(chosen, Mapping) else {}
    return {key: value.detach() if isinstance(value, Tensor) else value for key, value in entries.items()}


def case_names(batch: Any) -> Iterator[str]:
    """Yield the names under ``case`` of a batch, collated or taken apart; nothing where it has none."""
    for item in batch if isinstance(batch, list) else [batch]:
        names = item.get("case", ()) if isinstance(item, Mapping) else ()
        yield from [names] if isinstance(names, str) else map(str, names)
