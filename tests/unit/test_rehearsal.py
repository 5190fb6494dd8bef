"""What does not fit together is noticed on an empty batch, which leaves no trace."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn

from medbundles.components.workflows.rehearsal import rehearse
from medbundles.errors import ConfigurationError, DataError, EnvironmentFailure

UNET: dict[str, Any] = {
    "_target_": "UNet", "spatial_dims": 2, "in_channels": 3, "out_channels": 1, "channels": [4, 8], "strides": [2],
}  # fmt: skip
BASIC: dict[str, Any] = {"_target_": "BasicUNet", "spatial_dims": 2, "in_channels": 3, "out_channels": 1}
LOSS: dict[str, Any] = {"_target_": "DiceCELoss", "sigmoid": True}
STACKS: dict[str, Any] = {"_target_": "medbundles.components.inferers.SliceStackInferer", "slices": 3}


def parser(network: Any = UNET, loss: Any = LOSS, inferer: Any = STACKS, **values: Any) -> ConfigParser:
    content = {
        "slices": 3,
        "patch_size": [16, 16],
        "network_def": network,
        "train": {"trainer": {"loss_function": loss}},
        "validate": {"inferer": inferer},
        "inferer": inferer,
        **values,
    }
    return ConfigParser({key: value for key, value in content.items() if value is not None})


def said_of(config: ConfigParser, kind: Any = "train") -> str:
    with pytest.raises(ConfigurationError) as refused:
        rehearse(config, kind, ["ct"], labeled=True)
    (finding,) = refused.value.findings
    assert (finding.code, finding.level) == ("CFG002", "error")
    return finding.message


@pytest.mark.parametrize("kind", ["train", "evaluate", "infer"])
def test_what_fits_passes(kind: Any) -> None:
    rehearse(parser(), kind, ["ct"], labeled=True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"network": UNET | {"in_channels": 1}}, "network_def does not take 3 channel(s) of 16 x 16 from the training"),
        ({"slices": None}, "network_def does not take 1 channel(s) of 16 x 16 from the training patches"),
        ({"network": UNET | {"strides": []}}, "network_def cannot be built: the length of `strides` should equal"),
        ({"network": BASIC | {"features": [4, 8]}}, "network_def cannot be built: Sequence must have length 6, got 2"),
        ({"network": UNET | {"out_channels": 2}}, "loss_function does not take 2 output channel(s) and a label of one"),
        ({"loss": LOSS | {"lambda_dice": -1}}, "loss_function cannot be built: lambda_dice should be no less than 0"),
        ({"loss": {"_target_": "DiceLoss", "reduction": "none"}}, "it returns 2 x 1 x 1 x 1 numbers, training needs"),
        ({"inferer": STACKS | {"slices": 5}}, "does not take 5 channel(s) of 32 x 32 from validate::inferer"),
    ],
)
def test_what_does_not_fit_is_one_finding_before_a_training(changed: dict[str, Any], said: str) -> None:
    assert said in said_of(parser(**changed))


def test_a_loss_is_tried_with_as_many_channels_as_the_labels_have() -> None:
    loss = {"_target_": "medbundles.components.losses.FalseNegativeWeightedDiceLoss", "per_channel": True}
    rehearse(parser(UNET | {"out_channels": 2}, loss), "train", ["ct"], labeled=True, label_channels=2)
    with pytest.raises(ConfigurationError, match=r"does not take 1 output channel\(s\) and a label of 2"):
        rehearse(parser(UNET, loss), "train", ["ct"], labeled=True, label_channels=2)


class Greedy(nn.Module):
    def forward(self, batch: Tensor) -> Tensor:
        return torch.empty(1 << 50)


def test_a_network_without_memory_is_no_misfit() -> None:
    greedy = parser(network="@greedy", greedy=Greedy())
    with pytest.raises(EnvironmentFailure, match=r"TRN004.*no memory for network_def with 2 x 3 x 16 x 16 numbers"):
        rehearse(greedy, "train", ["ct"], labeled=True)


def test_an_inferer_that_feeds_another_number_of_slices_than_the_network_takes_is_refused() -> None:
    assert "does not take 5 channel(s)" in said_of(parser(inferer=STACKS | {"slices": 5}), "infer")


@pytest.mark.parametrize("inferer", [None, {"_target_": "SliceInferer", "roi_size": [8, 8], "spatial_dim": 7}])
def test_an_inferer_that_is_absent_or_wants_other_volumes_is_left_alone(inferer: Any) -> None:
    rehearse(parser(inferer=inferer), "infer", ["ct"], labeled=False)


def test_a_postprocessing_that_cannot_be_built_is_refused_before_an_inference() -> None:
    saving = {"_target_": "medbundles.components.transforms.SaveSynthesisd", "output_dir": "o", "mean": 1, "std": 0}
    assert "postprocessing cannot be built: mean must be" in said_of(parser(postprocessing=saving), "infer")


def test_a_target_that_is_no_label_is_not_guessed() -> None:
    rehearse(parser(UNET | {"out_channels": 2}), "train", ["ct"], labeled=False)


def test_a_refusal_of_ours_while_building_keeps_its_own_code() -> None:
    load = "$__import__('medbundles.components.networks', fromlist=['x']).read_weights('absent.pt')"
    with pytest.raises(DataError, match="TRN011"):
        rehearse(parser(load), "train", ["ct"], labeled=True)


def test_random_state_statistics_and_modes_stay_as_they_were() -> None:
    network = nn.Sequential(nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1), nn.Dropout(0.5))
    network[1].eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    random = torch.get_rng_state()
    rehearse(parser(network), "train", ["ct"], labeled=True)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert [module.training for module in network] == [True, False, True]


class Remember(nn.Module):
    """Takes patches of one size alone and remembers what it was shown."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.seen: list[int] = []

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(image.shape[-1])
        if image.shape[-1] < self.size:
            raise ValueError("too small")
        return image[:, :1]


@pytest.mark.parametrize(("smallest", "seen"), [(16, [32]), (64, [32, 64])])
def test_a_large_patch_is_tried_whole_only_where_a_small_one_does_not_fit(smallest: int, seen: list[int]) -> None:
    network = Remember(smallest)
    rehearse(parser(network, inferer=None, patch_size=[64, 64, 64]), "train", ["ct"], labeled=True)
    assert network.seen == seen


PATCHES: dict[str, Any] = {
    "_target_": "PatchDiscriminator", "spatial_dims": 3, "in_channels": 3, "channels": 2, "num_layers_d": 2,
}  # fmt: skip
VOLUMES: dict[str, Any] = {
    "slices": None,
    "network": UNET | {"spatial_dims": 3, "in_channels": 1, "out_channels": 2},
    "inferer": {"_target_": "SimpleInferer"},
    "loss": {"_target_": "DiceLoss", "sigmoid": True},
    "adversarial_weight": 1.0,
    "conditional": True,
}


@pytest.mark.parametrize(("conditional", "in_channels"), [(True, 3), (False, 2)])
def test_a_discriminator_of_blocks_is_shown_regions_beside_the_image(conditional: bool, in_channels: int) -> None:
    judge = PATCHES | {"in_channels": in_channels}
    config = parser(**VOLUMES | {"patch_size": [16, 16, 16], "conditional": conditional}, discriminator=judge)
    rehearse(config, "train", ["t1c"], labeled=True, label_channels=2)


@pytest.mark.parametrize(
    ("edge", "in_channels", "said"),
    [(16, 4, "blocks of 16 x 16 x 16 with 3 channel(s)"), (4, 3, "blocks of 4 x 4 x 4 with 3 channel(s)")],
)
def test_a_discriminator_of_blocks_that_does_not_fit_is_refused(edge: int, in_channels: int, said: str) -> None:
    judge = PATCHES | {"in_channels": in_channels}
    config = parser(**VOLUMES | {"patch_size": [edge] * 3}, discriminator=judge)
    with pytest.raises(ConfigurationError) as refused:
        rehearse(config, "train", ["t1c"], labeled=True, label_channels=2)
    assert f"discriminator does not take {said}" in str(refused.value)


def test_the_loss_of_a_trainer_with_a_discriminator_is_tried_as_well() -> None:
    config = parser(**VOLUMES | {"patch_size": [16, 16, 16], "loss": None})
    config["train"] = {"trainer": {"recon_loss_function": {"_target_": "DiceLoss", "reduction": "none"}}}
    with pytest.raises(ConfigurationError, match="recon_loss_function does not take 2 output channel"):
        rehearse(config, "train", ["t1c"], labeled=True, label_channels=2)
