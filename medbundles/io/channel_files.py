"""Which of a case's files is which channel: told by the ends of their names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.errors import ConfigurationError, Finding
from medbundles.io.grids import case_name

# What may stand between a case's and a channel's name: CASE_t1.nii.gz, CASE-t1.nii.gz, CASE t1.nii.gz.
SEPARATORS = ("_", "-", ".", " ")


class ChannelFiles:
    """Choose the files of a case by their names, upper and lower case being the same.

    Args:
        channels: names in the network's order.
        optional: whether channels may be absent, as long as one is there.
        aliases: other words that a channel's file may end in, by channel; those of other channels are ignored.

    Raises:
        ConfigurationError: one word for two channels, or no lists of words (CFG002).
    """

    def __init__(
        self, channels: Sequence[str], optional: bool = False, aliases: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self.channels = tuple(map(str, channels))  # what a damaged model.json names is refused with all else
        self.may_lack_some = optional and len(self.channels) > 1
        self.words = {channel: (channel, *_words(aliases, channel)) for channel in self.channels}
        owners: dict[str, str] = {}
        for channel, words in self.words.items():
            for word in words:
                if owners.setdefault(word.casefold(), channel) != channel:
                    raise _misconfigured(f'"{word}" names two channels: {owners[word.casefold()]} and {channel}')

    def split(self, name: str) -> tuple[str | None, str]:
        """Return the channel that a name ends in, None for none, and what stands before it.

        The longest ending counts: ``P1_gd_t1`` belongs to the channel called ``gd_t1`` rather than to ``t1``.
        """
        ends = [
            (len(word), channel)
            for channel, words in self.words.items()
            for word in words
            if _ends_in(name, word.casefold())
        ]
        if not ends:
            return None, name
        length, channel = max(ends)
        return channel, name[: max(0, len(name) - length - 1)]

    def sorted_by_channel(self, files: Sequence[Path]) -> dict[str, list[Path]]:
        """Return the files of each channel; those called as the channel alone go before all others of it."""
        found: dict[str, list[Path]] = {channel: [] for channel in self.channels}
        for file in files:
            channel, _ = self.split(case_name(file))
            if channel is not None:
                found[channel].append(file)
        for channel, matches in found.items():
            found[channel] = [file for file in matches if self._is_word(file, channel)] or matches
        return found

    def grouped(self, files: Sequence[Path]) -> dict[str, list[Path]]:
        """Return the files that belong to a channel by what stands before its name: by case, in a folder of many."""
        groups: dict[str, list[Path]] = defaultdict(list)
        for file in files:
            channel, before = self.split(case_name(file))
            if channel is not None:
                groups[before].append(file)
        return dict(groups)

    def are_one_case(self, files: Sequence[Path]) -> bool:
        """Tell whether files beside each other are those of one case: their names end in the channels alone."""
        if len(self.channels) == 1:
            return any(self._is_word(file, self.channels[0]) for file in files)
        if all(len(matches) == 1 for matches in self.sorted_by_channel(files).values()):
            return True
        # Some of the contrasts of two cases must not become one case.
        return self.may_lack_some and list(self.grouped(files)) == [""]

    def choose(self, case: str, files: Sequence[Path]) -> tuple[dict[str, Any] | None, list[Finding]]:
        """Return a case's record of its files, or NII008 where a channel is missing or ambiguous.

        Args:
            case: its name.
            files: those to choose from; what ends in no channel's name is left alone.
        """
        found = self.sorted_by_channel(files)
        if len(files) == 1 and not (self.may_lack_some and any(found.values())):
            # The only file is the only channel, or a 4D file with all of them (what it holds is for the checks to say).
            return {"case": case, "image": str(files[0])}, []
        if self.may_lack_some and not any(found.values()):
            return None, [self._unknown(case, files)]
        wrong = [channel for channel, of in found.items() if len(of) > 1 or not (of or self.may_lack_some)]
        if wrong:
            return None, [self._ambiguous(case, channel, found[channel], files) for channel in wrong]
        paths = [str(of[0]) if of else None for of in found.values()]
        return {"case": case, "image": paths if len(paths) > 1 else paths[0]}, []

    def _unknown(self, case: str, files: Sequence[Path]) -> Finding:
        there = ", ".join(file.name for file in files)
        message = f"no file for any channel: {there}; expected files ending in {self._expected()}, one or more of them"
        channel = self.channels[0]
        fix = (
            f"name them like {case}_{channel}.nii.gz, or say how they end, --contrast_endings::{channel} \"['ENDING']\""
        )
        return Finding("NII008", "error", message, fix, case=case)

    def _ambiguous(self, case: str, channel: str, matches: Sequence[Path], files: Sequence[Path]) -> Finding:
        there = ", ".join(file.name for file in matches or files)
        what = f"{'several files' if matches else 'no file'} for channel {channel}"
        message = f"{what}: {there}; expected one file ending in each of {self._expected()}, in this order"
        return Finding("NII008", "error", message, f"name it {case}_{channel}.nii.gz", case=case)

    def _expected(self) -> str:
        others = {channel: " or ".join(words[1:]) for channel, words in self.words.items()}
        return ", ".join(f"{channel} (or {other})" if other else channel for channel, other in others.items())

    def _is_word(self, file: Path, channel: str) -> bool:
        return case_name(file).casefold() in {word.casefold() for word in self.words[channel]}


def _ends_in(name: str, word: str) -> bool:
    name = name.casefold()
    return name == word or any(name.endswith(f"{separator}{word}") for separator in SEPARATORS)


def _words(aliases: Mapping[str, Sequence[str]] | None, channel: str) -> tuple[str, ...]:
    if aliases is not None and not isinstance(aliases, Mapping):
        raise _misconfigured(f"{aliases!r} is no list of words for each channel")
    words = (aliases or {}).get(channel, ())
    if isinstance(words, str) or not all(isinstance(word, str) and word for word in words):
        raise _misconfigured(f"{channel}: {words!r} is no list of words")
    return tuple(words)


def _misconfigured(message: str) -> ConfigurationError:
    fix = "give each channel its own list, such as {t1c: [t1ce, t1gd]}"
    return ConfigurationError(findings=[Finding("CFG002", "error", f"channel_aliases: {message}", fix)])
