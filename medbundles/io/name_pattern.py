"""Files that a user's pattern names: ``{case}/{case}_{contrast}.nii.gz``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from medbundles.errors import ConfigurationError, Finding
from medbundles.io.grids import IMAGE_SUFFIXES, has_image_suffix

CONTRAST = "contrast"
# What a pattern may hold besides: these make a case's name, the first of them alone where it is there.
NAMES = ("case", "subject", "session")
TOKEN = re.compile(r"(\{[^{}]*\}|\*\*/|\*)")
ANY_SUFFIX = "(?:" + "|".join(re.escape(suffix) for suffix in IMAGE_SUFFIXES) + ")"
# What a user sees of a case: its name and its person's.
Key = tuple[str, str]


class NamePattern:
    """How the files of a data set are named, as a path below its folder.

    ``{case}`` stands for the case's name, ``{subject}`` for the person's and ``{session}`` for one of a person's scans;
    each for a part of a folder's or a file's name, the same wherever it stands. ``{contrast}`` stands for the word that
    names the contrast, ``*`` for anything within a name and ``**/`` for any folders. Without an ending every format
    fits.

    Args:
        text: such as ``{case}/{case}_{contrast}.nii.gz``.

    Raises:
        ConfigurationError: it names no case, or holds another word in braces (CFG002).
    """

    def __init__(self, text: str) -> None:
        self.text = text
        names = [token[1:-1] for token in TOKEN.findall(text) if token.startswith("{")]
        unknown = [name for name in names if name not in (*NAMES, CONTRAST)]
        if unknown:
            raise _wrong(text, f"{{{unknown[0]}}} means nothing", f"use {', '.join(f'{{{n}}}' for n in NAMES)}")
        if not {"case", "subject"} & set(names):
            raise _wrong(text, "it names no case", "put {case} where the case's name stands")
        self.has_contrast = CONTRAST in names

    def find(self, root: Path, files: Iterable[Path], word: str = "") -> dict[Key, list[Path]]:
        """Return the files that fit, by the names of case and person.

        Args:
            root: the data set's folder.
            files: what to look through, below it.
            word: what stands for ``{contrast}``; it may hold ``*``.
        """
        expression = self._compile(word)
        found: dict[Key, list[Path]] = {}
        for path in files:
            match = expression.fullmatch(path.relative_to(root).as_posix())
            if match:
                found.setdefault(_names(match.groupdict()), []).append(path)
        return found

    def _compile(self, word: str) -> re.Pattern[str]:
        parts: list[str] = []
        seen: set[str] = set()
        for token in TOKEN.split(self.text.replace(f"{{{CONTRAST}}}", word)):
            name = token[1:-1]
            if token == "**/":
                parts.append("(?:.*/)?")
            elif token == "*":
                parts.append("[^/]*")
            elif token.startswith("{"):
                parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+)")
                seen.add(name)
            else:
                parts.append(re.escape(token))
        return re.compile("".join(parts) + ("" if has_image_suffix(self.text) else ANY_SUFFIX))


def _names(groups: dict[str, str]) -> Key:
    case = groups.get("case") or "_".join(groups[name] for name in NAMES if name in groups)
    return case, groups.get("subject", case)


def _wrong(text: str, message: str, fix: str) -> ConfigurationError:
    return ConfigurationError(findings=[Finding("CFG002", "error", f"pattern {text!r}: {message}", fix)])
