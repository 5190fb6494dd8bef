from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.data.meta_tensor import MetaTensor

from medbundles.components.engines import AugmentedBatch
from medbundles.components.transforms import SegmentationAugmentation
from medbundles.errors import ConfigurationError


def batch(items: int = 6, size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    ramp = torch.linspace(-1000, 1000, size * size).reshape(1, 1, size, size)
    return ramp.repeat(items, 7, 1, 1), (ramp > 300).to(torch.uint8).repeat(items, 1, 1, 1)


def test_each_item_gets_a_transform_of_its_own() -> None:
    torch.manual_seed(1)
    image, _ = SegmentationAugmentation(noise=0.0)(*batch())
    differences = [(image[i] - image[j]).abs().mean().item() for i in range(6) for j in range(i)]
    assert min(differences) > 1


def test_the_global_seed_fixes_the_result() -> None:
    augmentation = SegmentationAugmentation(intensity_shift=50.0, intensity_scale=0.1)
    results = []
    for _ in range(2):
        torch.manual_seed(7)
        results.append(augmentation(*batch())[0])
    assert torch.equal(*results)


def test_noise_has_the_stated_deviation_in_image_units() -> None:
    image, label = torch.zeros(4, 7, 64, 64), torch.zeros(4, 1, 64, 64)
    noisy, unchanged = SegmentationAugmentation(flip=0, offset=0, scale=0, rotation=0, noise=25.0)(image, label)
    assert noisy.std().item() == pytest.approx(25.0, rel=0.02)
    assert not unchanged.any()


def test_intensities_vary_by_item_and_within_their_limits() -> None:
    image = torch.full((200, 1, 4, 4), 100.0)
    still: dict[str, Any] = {"flip": 0, "offset": 0, "scale": 0, "rotation": 0, "noise": 0}
    moved, _ = SegmentationAugmentation(**still, intensity_shift=30.0)(image, image)
    levels = moved.mean((1, 2, 3)) - 100
    assert levels.abs().max() <= 30.01
    assert levels.std() > 10


def test_whole_slices_keep_their_size_among_crops() -> None:
    augmentation = SegmentationAugmentation(output_size=(16, 16), input_size=(32, 32))
    assert augmentation(*batch(2, 32))[0].shape[2:] == (16, 16)
    assert augmentation(*batch(2, 48))[0].shape[2:] == (48, 48)


def test_half_precision_images_return_in_their_type() -> None:
    image, label = batch(2)
    moved, _ = SegmentationAugmentation()(image.half(), label)
    assert moved.dtype == torch.float16


def test_meta_tensors_lose_the_affine_that_no_longer_holds() -> None:
    image, label = batch(2)
    moved, moved_label = SegmentationAugmentation()(MetaTensor(image), MetaTensor(label))
    assert type(moved) is type(moved_label) is torch.Tensor


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 4}, "spatial_dims must be 2 or 3"),
        ({"output_size": [64]}, "output_size needs 2 positive numbers"),
        ({"flip_axes": [2]}, "axes must lie in 0..1"),
        ({"flip": 1.5}, "flip is a probability"),
        ({"scale": 1.0}, r"scale must lie in \[0, 1\)"),
        ({"noise": -1.0}, "must not be negative"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SegmentationAugmentation(**arguments)


def test_all_wrong_arguments_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"flip is a probability.*scale must lie"):
        SegmentationAugmentation(flip=2.0, scale=3.0)


def test_output_larger_than_the_input_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"output_size \[64, 64\] exceeds the input's \[32, 32\]"):
        SegmentationAugmentation(output_size=(64, 64))(*batch())


def test_label_on_another_grid_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="agree in all but their channels"):
        SegmentationAugmentation()(torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 9))


def test_3d_batch_in_a_2d_augmentation_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="expected 4 axes"):
        SegmentationAugmentation()(torch.zeros(2, 1, 8, 8, 8), torch.zeros(2, 1, 8, 8, 8))


def test_prepared_batch_is_augmented_and_in_its_memory_format() -> None:
    image, label = batch()
    prepare = AugmentedBatch(SegmentationAugmentation(output_size=(16, 16)), memory_format="channels_last")
    moved, moved_label = prepare({"image": image, "label": label}, torch.device("cpu"), non_blocking=True)
    assert moved.is_contiguous(memory_format=torch.channels_last)
    assert moved_label is not None
    assert moved_label.shape == (6, 1, 16, 16)


def test_prepared_batch_outside_training_is_the_center_crop() -> None:
    image, label = batch()
    prepare = AugmentedBatch(SegmentationAugmentation(output_size=(16, 16)), training=False)
    assert torch.equal(prepare({"image": image, "label": label})[0], image[:, :, 8:24, 8:24])


def test_prepared_batch_without_augmentation_needs_no_label() -> None:
    image, _ = batch()
    moved, label = AugmentedBatch()({"image": image})
    assert torch.equal(moved, image)
    assert label is None


def test_augmentation_without_label_is_refused_with_the_keys_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"lacks \['label'\]; it has \['image'\]"):
        AugmentedBatch(SegmentationAugmentation())({"image": batch()[0]})


def test_unknown_memory_format_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="memory_format must be one of"):
        AugmentedBatch(memory_format="channel_last")({"image": batch()[0]})  # type: ignore[arg-type]
