"""Reading the contrasts of a case, some of which may be absent."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor

from medbundles.components.transforms.load_volume import LoadVolumed, stacked
from medbundles.errors import DataError, Finding
from medbundles.io.headers import Geometry
from medbundles.io.images import Volume, read_volume

IMAGE = "image"


class LoadContrastsd(LoadVolumed):
    """Read one file a contrast as the channels ``(C, H, W, D)`` float32 of one ``MetaTensor`` in RAS.

    What is null in the place of a path is absent: its channel is 0 everywhere, and ``present`` of the item and of the
    image's meta data says so. One 4D file may hold all contrasts. Labels and masks are read as :class:`LoadVolumed`
    does it; null for one of them is no such item.

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
        item = {key: value for key, value in data.items() if value is not None}
        paths = item[IMAGE] if isinstance(item[IMAGE], list | tuple) else [item[IMAGE]]
        present = [path is not None for path in paths]
        case = str(item["case"]) if "case" in item else None
        if not any(present) or len(paths) not in (1, len(self.contrasts)):
            raise self._wrong_number(f"{sum(present)} of {len(paths)} images", case)
        item[IMAGE] = [path for path in paths if path is not None]
        item = super().__call__(item)
        if len(paths) < len(self.contrasts):
            present = [True] * len(self.contrasts)
        if len(item[IMAGE]) != sum(present):
            raise self._wrong_number("one volume", case)
        item[IMAGE] = _with_absent(item[IMAGE], present)
        item["present"] = list(present)
        return item

    def _wrong_number(self, found: str, case: str | None) -> DataError:
        message = f"{found}, expected one for each of {', '.join(self.contrasts)}"
        fix = "list them in this order, null in the place of an absent one"
        return DataError(findings=[Finding("NII008", "error", message, fix, case=case)])

    def _load(self, path: Path) -> MetaTensor:
        volume = read_volume(path, self.dtype, self.geometry)
        if volume.array.ndim != 4 or volume.array.shape[3] != len(self.contrasts):
            return self._of_volume(volume, path)
        parts = [Volume(volume.array[..., number], volume.affine) for number in range(len(self.contrasts))]
        return stacked([self._of_volume(part, path) for part in parts], [path] * len(parts))


def _with_absent(found: MetaTensor, present: Sequence[bool]) -> MetaTensor:
    """Return ``(C, H, W, D)`` float32 of the present channels ``(c, H, W, D)``, zeros for the others."""
    plain = found.as_tensor()
    height, width, depth = plain.shape[1:]
    channels = torch.zeros((len(present), depth, height, width)).permute(0, 2, 3, 1)  # in memory as they were read
    for number, channel in zip((number for number, there in enumerate(present) if there), plain, strict=True):
        channels[number] = channel
    image = MetaTensor(channels)
    image.copy_meta_from(found)
    image.meta["present"] = list(present)
    return image
