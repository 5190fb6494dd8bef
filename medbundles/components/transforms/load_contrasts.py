"""Reading the contrasts of a case, some of which may be absent."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor

from medbundles.components.transforms.load_volume import LoadVolumed
from medbundles.errors import DataError, Finding
from medbundles.io.headers import Geometry

IMAGE = "image"


class LoadContrastsd(LoadVolumed):
    """Read one file a contrast as the channels ``(C, H, W, D)`` float32 of one ``MetaTensor`` in RAS.

    What is null in the place of a path is absent: its channel is 0 everywhere, and ``present`` of the item says so.
    Labels and masks are read as :class:`LoadVolumed` does it.

    Args:
        contrasts: names of the channels in their order.
        keys: items that hold paths; ``image`` holds the list of the contrasts' paths.
        geometry: ``sform`` or ``qform`` where a NIfTI file's two disagree; ``None`` refuses such files (NII005).
        repair: for inference: replace NaN and infinity where that is safe, with a warning (NII002).
        allow_missing_keys: whether an absent key is skipped.
    """

    def __init__(
        self,
        contrasts: Sequence[str],
        keys: Sequence[str] = (IMAGE,),
        geometry: Geometry | None = None,
        repair: bool = False,
        allow_missing_keys: bool = True,
    ) -> None:
        super().__init__(keys, geometry, repair=repair, allow_missing_keys=allow_missing_keys)
        self.contrasts = tuple(contrasts)
        self.record_keys = (IMAGE,)  # what is cached depends on which contrast is absent

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with volumes in the place of paths, and ``present``, a truth value for each contrast.

        Raises:
            DataError: not one file a contrast, or none at all (NII008); else as :class:`LoadVolumed`.
        """
        item = dict(data)
        paths = item[IMAGE] if isinstance(item[IMAGE], list | tuple) else [item[IMAGE]]
        present = [path is not None for path in paths]
        whole = len(paths) == len(self.contrasts)
        if not any(present) or not whole:
            message = f"{sum(present)} of {len(paths)} images, expected one for each of {', '.join(self.contrasts)}"
            case = str(item["case"]) if "case" in item else None
            fix = "list them in this order, null in the place of an absent one"
            raise DataError(findings=[Finding("NII008", "error", message, fix, case=case)])
        item[IMAGE] = [Path(path) for path in paths if path is not None]
        item = super().__call__(item)
        item[IMAGE] = _with_absent(item[IMAGE], present)
        item["present"] = item[IMAGE].meta["present"] = present
        return item


def _with_absent(found: MetaTensor, present: Sequence[bool]) -> MetaTensor:
    """Return ``(C, H, W, D)`` float32 of the present channels ``(c, H, W, D)``, zeros for the others."""
    plain = found.as_tensor()
    if not all(present):
        channels = iter(plain)
        nothing = torch.zeros_like(plain[0])
        plain = torch.stack([next(channels) if there else nothing for there in present])
    image = MetaTensor(plain.to(torch.float32))
    image.copy_meta_from(found)
    return image
