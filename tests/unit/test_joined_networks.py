"""Several networks as one: their mean is exact, the combination learns, the members do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from medbundles.components.mixed_precision import mixed_precision
from medbundles.components.networks import (
    JoinedNetworks,
    describe_joined,
    learned_combination,
    network_from_model,
    read_joined,
)
from medbundles.components.tensor_file import write_tensor_file
from medbundles.errors import ConfigurationError, UntrustedContent
from medbundles.io.model_json import write_model

MEMBER: dict[str, Any] = {
    "name": "Vox2Vox",
    "target": "medbundles.components.networks.vox2vox.Vox2VoxGenerator",
    "arguments": {"in_channels": 2, "out_channels": 3, "features": 2},
}


def joined(combination: Any = "mean", count: int = 3) -> JoinedNetworks:
    torch.manual_seed(0)
    return JoinedNetworks([MEMBER] * count, 3, combination=combination)


def image() -> Tensor:
    return torch.randn(1, 2, 16, 20, 16, generator=torch.Generator().manual_seed(1))


def write_joined(folder: Path, network: JoinedNetworks, combination: Any = "mean") -> Path:
    write_tensor_file(folder / "model.pt", network.state_dict())
    description = describe_joined([MEMBER] * len(network.members), 2, 3, combination)
    model = {"bundle": "brains", "labels": {}, "preprocessing": {}, "thresholds": {}, "network": description}
    write_model(folder, model, ["model.pt"])
    return folder / "model.pt"


@pytest.mark.parametrize("combination", ["mean", "learned"])
def test_what_comes_out_is_the_mean_probability(combination: str) -> None:
    network = joined(combination).eval()
    expected = torch.stack([member(image()).sigmoid() for member in network.members]).mean(0)
    torch.testing.assert_close(network(image()).sigmoid(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("combination", ["mean", "learned"])
def test_of_exclusive_classes_it_is_the_mean_of_the_softmaxes(combination: Any) -> None:
    torch.manual_seed(0)
    network = JoinedNetworks([MEMBER] * 3, 3, combination=combination, exclusive=True).eval()
    expected = torch.stack([member(image()).softmax(1) for member in network.members]).mean(0)
    torch.testing.assert_close(network(image()).softmax(1), expected, rtol=0, atol=1e-3)


def test_an_untaught_combination_is_the_mean_to_the_last_bit_in_half_precision_as_well() -> None:
    mean, learned = joined("mean"), joined("learned")
    learned.load_state_dict(mean.state_dict(), strict=False)
    with torch.no_grad(), mixed_precision("cpu"):
        assert torch.equal(mean.eval()(image()), learned.eval()(image()))


def test_certain_members_give_finite_logits() -> None:
    network = joined(count=1).eval()
    network.members[0].out.bias.data.fill_(200.0)
    assert torch.isfinite(network(image())).all()


def test_members_stay_in_inference_mode_and_the_same() -> None:
    network = joined("learned").train()
    assert network.training
    assert not any(module.training for module in network.members.modules())
    assert torch.equal(network(image()), network(image()))


def test_the_combination_learns_and_the_members_do_not() -> None:
    network = joined("learned").train()
    before = [weight.clone() for weight in network.members.parameters()]
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    wanted = (network.members[0](image()) > 0).float()  # one of them is right
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(image()), wanted)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(torch.equal(old, new) for old, new in zip(before, network.members.parameters(), strict=True))


def test_a_combination_learns_where_members_are_certain_and_wrong() -> None:
    network = joined("learned", count=1).train()
    network.members[0].out.bias.data.fill_(-200.0)
    network(image()).sum().backward()
    assert network.correction is not None
    assert all(weight.grad is not None for weight in network.correction.parameters())
    assert network.correction.bias.grad.abs().min() > 0


def test_torchscript_says_the_same() -> None:
    network = joined("learned").eval()
    torch.testing.assert_close(torch.jit.script(network)(image()), network(image()))


def test_it_is_rebuilt_from_its_description() -> None:
    description = json.loads(json.dumps(describe_joined([MEMBER] * 3, 2, 3)))
    rebuilt = network_from_model({"network": description})
    rebuilt.load_state_dict(joined().state_dict())
    assert torch.equal(rebuilt.eval()(image()), joined().eval()(image()))


@pytest.mark.parametrize("combination", ["mean", "learned"])
def test_learning_starts_from_what_was_joined(tmp_path: Path, combination: Any) -> None:
    network = joined(combination).eval()
    if network.correction is not None:
        network.correction.bias.data.fill_(0.1)
    started = learned_combination(write_joined(tmp_path, network, combination)).eval()
    assert started.correction is not None
    assert torch.equal(started(image()), network(image()))


def test_learning_for_a_single_network_is_refused(tmp_path: Path) -> None:
    write_tensor_file(tmp_path / "model.pt", network_from_model(MEMBER).state_dict())
    model = {"bundle": "brains", "labels": {}, "preprocessing": {}, "thresholds": {}, "network": MEMBER}
    write_model(tmp_path, model, ["model.pt"])
    with pytest.raises(ConfigurationError, match="describes a single network, Vox2Vox"):
        learned_combination(tmp_path / "model.pt")


def test_learning_without_weights_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"CFG004.*--pretrained names none.*medbundles join"):
        read_joined(None)


@pytest.mark.parametrize(
    "wrong", [{"networks": []}, {"combination": "median"}, {"spatial_dims": 1}], ids=lambda wrong: next(iter(wrong))
)
def test_what_cannot_be_joined_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="joining takes networks"):
        JoinedNetworks(**{"networks": [MEMBER], "out_channels": 3, **wrong})


def test_a_member_is_trusted_no_more_than_any_network() -> None:
    with pytest.raises(UntrustedContent, match="TRU001"):
        JoinedNetworks([{"target": "os.system", "arguments": {}}], 3)
