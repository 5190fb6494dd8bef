"""What GAN trainers for images and their targets share: MONAI's, with what keeps it from paired images mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from monai.engines import AdversarialTrainer
from monai.engines.utils import IterationEvents
from monai.utils.enums import AdversarialIterationEvents as Events
from monai.utils.enums import AdversarialKeys
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor, nn

from medbundles.components.distributed import agreed, world_size
from medbundles.components.losses.adversarial import AdversarialLoss, feature_matching_loss
from medbundles.components.mixed_precision import mixed_precision
from medbundles.components.networks.unwrap import unwrapped
from medbundles.errors import ConfigurationError

ACCURACY = "discriminator_accuracy"

Output = dict[str, Any]
# Takes a discriminator and a volume; returns logits and feature maps, one of each for every shape of what is judged.
Judge = Callable[[nn.Module, Tensor], tuple[Sequence[Tensor], Sequence[Sequence[Tensor]]]]


@dataclass(frozen=True)
class Judgement:
    """How an iteration's real and synthetic targets are judged.

    Attributes:
        judge: asks a discriminator.
        worthwhile: whether there is anything to judge; the discriminator makes no step otherwise.
    """

    judge: Judge
    worthwhile: bool = True


class TargetAdversarialTrainer(AdversarialTrainer):
    """Train a generator to turn images into their targets, and a discriminator to tell real from synthetic targets.

    MONAI's ``AdversarialTrainer`` (1.6.1) is made for autoencoders. Mended here, under upstream's names:

    1. what the discriminator takes for real is the target, not the input;
    2. the output holds ``loss`` without mixed precision, too, so that handlers can report it;
    3. ``IterationEvents.MODEL_COMPLETED`` fires, so that postprocessing and decollation happen;
    4. networks, optimizers and scalers do not enter the trainer's own state: a checkpoint handler stores their state
       dictionaries, and weights load with ``weights_only=True``;
    5. logits, one for a slice or patch and not for an item of the batch, stay out of the output.

    Each iteration makes ``g_train_steps`` steps of the generator and ``d_train_steps`` of the discriminator. The
    generator runs once for each of its own steps: what it made for the last one is what the discriminator learns from.

    Args:
        recon_loss_function: compares what the generator made with the targets.
        adversarial_loss: both sides of the adversarial loss; it takes the place of upstream's ``g_loss_function`` and
            ``d_loss_function``.
        reconstruction_weight: factor of ``recon_loss_function`` in the generator's loss.
        adversarial_weight: factor of the adversarial loss in it; 0 trains without a discriminator.
        feature_matching_weight: factor of the difference of the discriminator's feature maps; 0 leaves it out.
        conditional: whether the discriminator sees the input's channels beside the volume it judges.
        d_train_steps: steps of the discriminator in an iteration.
        g_train_steps: steps of the generator in an iteration.
        accuracy_gate: the discriminator makes no step where it is right about more than this share of what it judges;
            None lets it always learn (source: Vox2Vox, Cirillo et al., 2020).
        gradient_clip: largest norm of a network's gradients, above 0: longer ones are scaled down to it, so that one
            odd block does not undo what was learned; None leaves them as they are.
        device: where to train.
        amp: mixed precision in forward passes: float16 with scaled gradients on CUDA, bfloat16 on a CPU (upstream: CUDA
            alone). Weights, losses and optimizers stay float32.
        **kwargs: see :class:`monai.engines.AdversarialTrainer`.

    Raises:
        ConfigurationError: a number out of its range.
    """

    def __init__(
        self,
        *,
        recon_loss_function: Callable[..., Tensor],
        adversarial_loss: AdversarialLoss,
        reconstruction_weight: float = 1.0,
        adversarial_weight: float = 1.0e-3,
        feature_matching_weight: float = 0.0,
        conditional: bool = False,
        d_train_steps: int = 1,
        g_train_steps: int = 1,
        accuracy_gate: float | None = None,
        gradient_clip: float | None = None,
        device: str | torch.device,
        amp: bool = False,
        **kwargs: Any,
    ) -> None:
        if min(adversarial_weight, feature_matching_weight) < 0 or g_train_steps < 1 or d_train_steps < 0:
            raise ConfigurationError(
                "adversarial_weight and feature_matching_weight must not be negative, g_train_steps at least 1 and "
                f"d_train_steps at least 0; found {adversarial_weight}, {feature_matching_weight}, {g_train_steps} and "
                f"{d_train_steps}"
            )
        if not reconstruction_weight > 0.0:
            raise ConfigurationError(f"reconstruction_weight must be above 0, found {reconstruction_weight}")
        if accuracy_gate is not None and not 0.0 < accuracy_gate <= 1.0:
            raise ConfigurationError(f"accuracy_gate is a share in (0, 1] or null, found {accuracy_gate}")
        if gradient_clip is not None and not gradient_clip > 0.0:
            raise ConfigurationError(f"gradient_clip is a norm above 0 or null, found {gradient_clip}")
        self.reconstruction_weight = reconstruction_weight
        self.adversarial_weight = adversarial_weight
        self.feature_matching_weight = feature_matching_weight
        self.conditional = conditional
        self.d_train_steps = d_train_steps
        self.g_train_steps = g_train_steps
        self.accuracy_gate = accuracy_gate
        self.gradient_clip = gradient_clip
        self.adversarial_loss = adversarial_loss
        self.mixed_precision = amp
        super().__init__(
            recon_loss_function=recon_loss_function,
            g_loss_function=adversarial_loss.generator,
            d_loss_function=adversarial_loss.discriminator,
            # MONAI's scalers are CUDA's; bfloat16, which CPUs compute in, has the range of float32 and needs none.
            amp=amp and torch.device(device).type == "cuda",
            device=device,
            **kwargs,
        )

    def _judgement(self, engine: Any, batch: Mapping[str, Any], output: Output) -> Judgement:
        """Return how this iteration's targets are judged; asked only where a discriminator takes part."""
        raise NotImplementedError

    def _reconstruction(self, engine: Any, batch: Mapping[str, Any], output: Output) -> Tensor:
        """Return how far the prediction is from the target."""
        loss: Tensor = engine.state.recon_loss_function(output[Keys.PRED], output[Keys.LABEL])
        return loss

    def _fakes(self, prediction: Tensor) -> Tensor:
        """Return what the discriminator sees of a prediction."""
        return prediction

    def _complete_state_dict_user_keys(self) -> None:
        """Keep networks and optimizers out of the trainer's state."""

    def _iteration(self, engine: Any, batchdata: Mapping[str, Any]) -> Any:
        """Make one iteration; the output holds image, label, pred, reals, fakes and the losses."""
        inputs, targets, args, kwargs = _four(
            engine.prepare_batch(batchdata, engine.state.device, engine.non_blocking, **engine.to_kwargs)
        )
        output: Output = {Keys.IMAGE: inputs, Keys.LABEL: targets, AdversarialKeys.REALS: targets}
        engine.state.output = output
        judged = self.adversarial_weight or self.feature_matching_weight
        judgement = self._judgement(engine, batchdata, output) if judged else None
        for _ in range(self.g_train_steps):
            self._train_generator(engine, batchdata, output, judgement, args, kwargs)
        engine.fire_event(Events.GENERATOR_MODEL_COMPLETED)
        if judgement is not None and agreed(judgement.worthwhile):
            for _ in range(self.d_train_steps):
                self._train_discriminator(engine, output, judgement.judge)
            engine.fire_event(Events.DISCRIMINATOR_MODEL_COMPLETED)
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output  # decollated and postprocessed by now

    def _train_generator(
        self,
        engine: Any,
        batch: Mapping[str, Any],
        output: Output,
        judgement: Judgement | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        state = engine.state
        state.g_network.train()
        state.g_optimizer.zero_grad(set_to_none=engine.optim_set_to_none)
        with self._autocast(engine):
            output[Keys.PRED] = engine.g_inferer(output[Keys.IMAGE], state.g_network, *args, **kwargs)
            output[AdversarialKeys.FAKES] = self._fakes(output[Keys.PRED])
            engine.fire_event(Events.GENERATOR_FORWARD_COMPLETED)
            reconstruction = self._reconstruction(engine, batch, output)
            output[AdversarialKeys.RECONSTRUCTION_LOSS] = reconstruction
            engine.fire_event(Events.RECONSTRUCTION_LOSS_COMPLETED)
            loss = self.reconstruction_weight * reconstruction
            if judgement is not None:
                adversarial, matching = self._judge_fakes(engine, output, judgement.judge)
                output[AdversarialKeys.GENERATOR_LOSS] = adversarial
                engine.fire_event(Events.GENERATOR_LOSS_COMPLETED)
                loss = loss + self.adversarial_weight * adversarial + self.feature_matching_weight * matching
        output[Keys.LOSS] = loss
        _backward(loss, state.g_scaler)
        engine.fire_event(Events.GENERATOR_BACKWARD_COMPLETED)
        _step(state.g_optimizer, state.g_scaler, self.gradient_clip)

    def _judge_fakes(self, engine: Any, output: Output, judge: Judge) -> tuple[Tensor, Tensor]:
        """Return what the discriminator says of the synthetic targets, and how its feature maps differ."""
        # Not the wrapper for several processes: it would wait for gradients of weights that get none here.
        network = unwrapped(engine.state.d_network)
        with _frozen(network):
            fakes = output[AdversarialKeys.FAKES].float()
            logits, features = judge(network, fakes)
            engine.fire_event(Events.GENERATOR_DISCRIMINATOR_FORWARD_COMPLETED)
            matching = torch.zeros((), device=fakes.device)
            if self.feature_matching_weight:
                with torch.no_grad():
                    _, real = judge(network, output[AdversarialKeys.REALS].float())
                matching = feature_matching_loss(real, features)
        return engine.state.g_loss_function(logits), matching

    def _train_discriminator(self, engine: Any, output: Output, judge: Judge) -> None:
        state = engine.state
        state.d_network.train()
        state.d_optimizer.zero_grad(set_to_none=engine.optim_set_to_none)
        with self._autocast(engine):
            reals, _ = judge(state.d_network, output[AdversarialKeys.REALS].float())
            engine.fire_event(Events.DISCRIMINATOR_REALS_FORWARD_COMPLETED)
            fakes, _ = judge(state.d_network, output[AdversarialKeys.FAKES].detach().float())
            engine.fire_event(Events.DISCRIMINATOR_FAKES_FORWARD_COMPLETED)
            loss = state.d_loss_function(reals, fakes)
        output[AdversarialKeys.DISCRIMINATOR_LOSS] = loss.detach()
        output[ACCURACY] = self.adversarial_loss.accuracy(reals, fakes)
        engine.fire_event(Events.DISCRIMINATOR_LOSS_COMPLETED)
        good_enough = self.accuracy_gate is not None and agreed(output[ACCURACY] > self.accuracy_gate)
        if good_enough and world_size() == 1:
            return
        # Several processes wait for each other's gradients, whether they are used or not.
        _backward(loss, state.d_scaler)
        engine.fire_event(Events.DISCRIMINATOR_BACKWARD_COMPLETED)
        if not good_enough:
            _step(state.d_optimizer, state.d_scaler, self.gradient_clip)

    def _autocast(self, engine: Any) -> AbstractContextManager[None]:
        return mixed_precision(engine.state.device.type, self.mixed_precision, **engine.amp_kwargs)


def _four(batch: Sequence[Any]) -> tuple[Tensor, Tensor, tuple[Any, ...], dict[str, Any]]:
    """Return what a ``prepare_batch`` gave as image, target and further arguments of the generator."""
    if len(batch) == 2:
        return batch[0], batch[1], (), {}
    inputs, targets, args, kwargs = batch
    return inputs, targets, args, kwargs


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Let gradients pass through a network without computing those of its weights: a third of the work."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def _backward(loss: Tensor, scaler: torch.amp.GradScaler | None) -> None:
    (loss if scaler is None else scaler.scale(loss)).backward()


def _step(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler | None, largest_norm: float | None) -> None:
    if largest_norm is not None:
        if scaler is not None:
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(
            [weight for group in optimizer.param_groups for weight in group["params"]], largest_norm
        )
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()
