"""Options that say which files are which contrast, label and mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medbundles.errors import ConfigurationError, Finding
from medbundles.io.brats import LABEL
from medbundles.io.contrasts import CONTRAST_NAME, CONTRASTS, canonical
from medbundles.io.name_pattern import NamePattern

Which = NamePattern | str


@dataclass(frozen=True)
class Wanted:
    """What a user wants of a data set.

    Attributes:
        contrasts: their names in canonical order.
        pattern: how files are named; None: as a public data set.
        words: what stands for each contrast in the pattern.
        label: what stands for the label there, or its own pattern.
        mask: the same for masks of the brain; None where none are wanted.
        labels: names of the values of the result, if the user gave any.
    """

    contrasts: tuple[str, ...]
    pattern: NamePattern | None
    words: Mapping[str, str]
    label: Which
    mask: Which | None
    labels: Mapping[int, str] | None

    def as_dict(self) -> dict[str, Any]:
        """Return how files are named as plain data for ``report.json``; nothing where a public data set's names are."""
        if self.pattern is None:
            return {}
        named = {"label_name": self.label, "mask_name": self.mask}
        texts = {key: which.text if isinstance(which, NamePattern) else which for key, which in named.items()}
        return {"pattern": self.pattern.text, "contrast_words": dict(self.words), **texts}

    @property
    def patterns(self) -> tuple[NamePattern | None, Mapping[str, str], Which, Which | None]:
        """What :func:`medbundles.io.brats.find_contrasts` takes after the contrasts."""
        return self.pattern, self.words, self.label, self.mask


def read_wanted(
    pattern: str | None,
    contrasts: Mapping[str, str] | Sequence[str] | str | None,
    label_name: str,
    mask_name: str | None,
    labels: Mapping[int, str] | None,
    reference: str | None,
) -> Wanted:
    """Return the options of ``prepare brats`` that name files, contrasts and labels.

    Args:
        pattern: as given.
        contrasts: as given: a mapping of names to words, a list, or names separated by commas.
        label_name: a word or a pattern.
        mask_name: a word or a pattern.
        labels: as given.
        reference: the contrast to which the others shall be registered, if they shall.

    Raises:
        ConfigurationError: what cannot be meant, all at once (CFG002).
    """
    words = _words(contrasts)
    names = canonical(words)
    used = None if pattern is None else NamePattern(pattern)
    wrong = [f"contrast {name!r}: letters, digits and - only" for name in names if not CONTRAST_NAME.fullmatch(name)]
    if used is None:
        known = ", ".join(CONTRASTS)
        wrong += [f"contrast {n}: expected some of {known}, or a --pattern" for n in names if n not in CONTRASTS]
        wrong += [f"{option}: only with a --pattern" for option in _needless(words, label_name, mask_name)]
    elif not used.has_contrast:
        wrong.append(f"pattern {pattern!r}: it does not hold {{contrast}}")
    if not names:
        wrong.append("contrasts: at least one is needed")
    if reference is not None and reference not in names:
        wrong.append(f"reference {reference}: expected one of {', '.join(names)}")
    values = _labels(labels, wrong)
    if wrong:
        raise ConfigurationError(findings=[Finding("CFG002", "error", text, "correct the option") for text in wrong])
    return Wanted(names, used, words, _which(label_name), None if mask_name is None else _which(mask_name), values)


def _words(contrasts: Any) -> dict[str, str]:
    if contrasts is None:
        return {name: name for name in CONTRASTS}
    if isinstance(contrasts, str):
        contrasts = [name.strip() for name in contrasts.split(",") if name.strip()]
    if isinstance(contrasts, Mapping):
        return {str(name): str(word) for name, word in contrasts.items()}
    return {str(name): str(name) for name in contrasts}


def _needless(words: Mapping[str, str], label_name: str, mask_name: str | None) -> list[str]:
    given = {
        "contrasts with words of their own": any(name != word for name, word in words.items()),
        "label_name": label_name != LABEL,
        "mask_name": mask_name is not None,
    }
    return [name for name, needless in given.items() if needless]


def _which(text: str) -> Which:
    return NamePattern(text) if "{" in text else text


def _labels(labels: Any, wrong: list[str]) -> dict[int, str] | None:
    if labels is None:
        return None
    try:
        values = {int(value): str(name) for value, name in labels.items()}
    except (AttributeError, TypeError, ValueError):
        values = {}
    if not values or not all(1 <= value <= 255 for value in values):
        wrong.append(f"labels is {labels!r}: expected a name for each value from 1 to 255, {{1: 'lesion'}}")
    return values
