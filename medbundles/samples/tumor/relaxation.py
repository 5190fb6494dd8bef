"""From tissue parameters to signals: spin echo, inversion recovery, contrast agent."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from medbundles.samples.tumor.fields import drawn

CONTRASTS = ("t1n", "t1c", "t2w", "t2f")
# Relaxivity times concentration of a strong uptake, 1/ms: what contrast agent adds to 1 / T1.
AGENT_RATE = 1.6e-3


@dataclass(frozen=True)
class Tissue:
    """What decides a tissue's signal.

    Attributes:
        density: of protons, that of water is 1.
        t1_ms: longitudinal relaxation at 3 T.
        t2_ms: transverse relaxation.
    """

    density: float
    t1_ms: float
    t2_ms: float

    def varied(self, generator: np.random.Generator, share: float) -> Tissue:
        """Return the same tissue of another person."""
        return Tissue(
            self.density * float(np.exp(generator.normal(0, share / 3))),
            self.t1_ms * float(np.exp(generator.normal(0, share))),
            self.t2_ms * float(np.exp(generator.normal(0, share))),
        )

    def enhanced(self, uptake: float) -> Tissue:
        """Return it with contrast agent in it."""
        return replace(self, t1_ms=1.0 / (1.0 / self.t1_ms + uptake * AGENT_RATE))


# Rounded literature values; those of tumors differ from one to the next, so do ours (:func:`person`).
TISSUES = {
    "white": Tissue(0.70, 850.0, 72.0),
    "gray": Tissue(0.82, 1330.0, 91.0),
    "fluid": Tissue(1.0, 4000.0, 1800.0),
    "edema": Tissue(0.82, 1450.0, 165.0),
    "necrosis": Tissue(0.90, 1900.0, 200.0),
    "solid": Tissue(0.84, 1550.0, 140.0),
    "enhancing": Tissue(0.83, 1400.0, 112.0),
    "blood": Tissue(0.80, 1500.0, 30.0),
    "bled": Tissue(0.80, 550.0, 80.0),
    "iron": Tissue(0.76, 1050.0, 55.0),
}
SPREAD = {"white": 0.09, "gray": 0.08, "fluid": 0.1, "edema": 0.18, "necrosis": 0.35, "solid": 0.25, "enhancing": 0.22}


def person(generator: np.random.Generator) -> dict[str, Tissue]:
    """Return one person's tissues, those of the tumor included."""
    drawn_ones = {name: tissue.varied(generator, SPREAD.get(name, 0.1)) for name, tissue in TISSUES.items()}
    # Where water gathers, relaxation is slower than in healthy tissue: that is how it is seen.
    gray_ms, longest = drawn_ones["gray"].t2_ms, 1.45 * drawn_ones["white"].t1_ms
    for name, times in (("edema", 1.85), ("solid", 1.4), ("necrosis", 1.4)):
        tissue = drawn_ones[name]
        slowest = max(tissue.t2_ms, times * gray_ms)
        drawn_ones[name] = replace(tissue, t1_ms=max(tissue.t1_ms, longest), t2_ms=slowest)
    # Tissue with water in it is still tissue: its T1 never comes near that of fluid.
    for name, most in (("edema", 1600.0), ("solid", 1900.0)):
        drawn_ones[name] = replace(drawn_ones[name], t1_ms=min(drawn_ones[name].t1_ms, most))
    return drawn_ones


@dataclass(frozen=True)
class Protocol:
    """How the four contrasts were acquired.

    Attributes:
        gradient_echo: whether T1w images are prepared by an inversion (MPRAGE), else spin echoes.
        t1_repetition_ms: of the T1w images; with an inversion the inversion time.
        t2_echo_ms: of the T2w image.
        flair_echo_ms: of the FLAIR image.
        flair_repetition_ms: of the FLAIR image; short ones weight it by T1.
        flair_nulls: how well FLAIR nulls fluid: inversion time relative to the exact one.
    """

    gradient_echo: bool
    t1_repetition_ms: float
    t2_echo_ms: float
    flair_echo_ms: float
    flair_repetition_ms: float
    flair_nulls: float

    @classmethod
    def draw(cls, generator: np.random.Generator) -> Protocol:
        """Return a random protocol."""
        inverted = bool(generator.random() < 0.6)
        return cls(
            inverted,
            drawn(generator, 850, 1150) if inverted else drawn(generator, 450, 800),
            drawn(generator, 80, 125),
            drawn(generator, 95, 150),
            drawn(generator, 7500, 11000),
            drawn(generator, 0.93, 1.08),
        )

    def signal(self, contrast: str, tissue: Tissue, fluid_t1_ms: float) -> float:
        """Return a tissue's signal in a contrast; the agent, if any, is in the tissue already."""
        if contrast in ("t1n", "t1c"):
            return self._t1(tissue)
        if contrast == "t2w":
            recovered = 1 - np.exp(-6000.0 / tissue.t1_ms)
            return float(tissue.density * recovered * np.exp(-self.t2_echo_ms / tissue.t2_ms))
        repetition = self.flair_repetition_ms
        nulling = fluid_t1_ms * np.log(2 / (1 + np.exp(-repetition / fluid_t1_ms))) * self.flair_nulls
        recovered = 1 - 2 * np.exp(-nulling / tissue.t1_ms) + np.exp(-repetition / tissue.t1_ms)
        return float(tissue.density * abs(recovered) * np.exp(-self.flair_echo_ms / tissue.t2_ms))

    def _t1(self, tissue: Tissue) -> float:
        if not self.gradient_echo:
            recovered = 1 - np.exp(-self.t1_repetition_ms / tissue.t1_ms)
            return float(tissue.density * recovered * np.exp(-12.0 / tissue.t2_ms))
        before = 1 + np.exp(-2200.0 / tissue.t1_ms)
        return float(tissue.density * abs(1 - 2 * np.exp(-self.t1_repetition_ms / tissue.t1_ms) / before))
