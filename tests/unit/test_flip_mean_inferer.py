"""Test-time flips."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers import SimpleInferer

from medbundles.components.inferers import FlipMeanInferer
from medbundles.errors import ConfigurationError

IMAGE = torch.randn(1, 1, 4, 5, 6, generator=torch.Generator().manual_seed(0))


def shifted(batch: torch.Tensor) -> torch.Tensor:
    """Answer beside the place: a network that a flip changes."""
    return batch.roll(1, dims=2)


def flipped(axes: Sequence[int], network: Callable[[torch.Tensor], torch.Tensor] = shifted) -> torch.Tensor:
    return FlipMeanInferer(SimpleInferer(), axes)(IMAGE, network)


def test_without_axes_the_answer_is_the_inferers() -> None:
    assert torch.equal(flipped([]), shifted(IMAGE))


def test_a_network_that_sees_no_direction_answers_as_before() -> None:
    torch.testing.assert_close(flipped([0, 1, 2], lambda batch: 2 * batch), 2 * IMAGE, atol=1e-4, rtol=1e-4)


def test_probabilities_are_averaged_and_not_logits() -> None:
    expected = (shifted(IMAGE).sigmoid() + IMAGE.roll(-1, dims=2).sigmoid()) / 2
    torch.testing.assert_close(flipped([0]).sigmoid(), expected)


@pytest.mark.parametrize(("axes", "calls"), [([0], 2), ([0, 2], 4), ([0, 1, 2], 8)])
def test_each_axis_doubles_the_work(axes: list[int], calls: int) -> None:
    seen: list[torch.Tensor] = []
    flipped(axes, lambda batch: seen.append(batch) or batch)  # type: ignore[func-returns-value]
    assert len(seen) == calls


def test_certain_answers_stay_finite() -> None:
    assert bool(flipped([0], lambda batch: batch * 1e4).isfinite().all())


def test_the_affine_is_passed_on() -> None:
    image = MetaTensor(IMAGE, affine=torch.diag(torch.tensor([2.0, 2.0, 3.0, 1.0]))[None])
    assert torch.equal(FlipMeanInferer(SimpleInferer(), [0])(image, shifted).affine, image.affine)


@pytest.mark.parametrize("axes", [[3], [-1], [0, 0]])
def test_axes_that_are_none_are_refused(axes: list[int]) -> None:
    with pytest.raises(ConfigurationError, match="flips"):
        FlipMeanInferer(SimpleInferer(), axes)


def test_exclusive_classes_stay_a_distribution() -> None:
    def classes(batch: torch.Tensor) -> torch.Tensor:
        return torch.cat([shifted(batch), -batch, 2 * batch], dim=1)

    found = FlipMeanInferer(SimpleInferer(), [0], exclusive=True)(IMAGE, classes).softmax(dim=1)
    expected = (classes(IMAGE).softmax(dim=1) + classes(IMAGE.flip(2)).softmax(dim=1).flip(2)) / 2
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
