"""The cases of an inference, each judged when it has been read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from monai.data import DataLoader, list_data_collate
from torch.utils.data import Dataset

from medbundles.checks.notices import noticing
from medbundles.components.datasets.case_dataset import CaseDataset
from medbundles.components.datasets.reading_journal import case_of
from medbundles.errors import DataError, Finding


class Session(Protocol):
    """The part of :class:`medbundles.components.workflows.RunSession` that judges cases."""

    @property
    def skip_bad_cases(self) -> bool:
        """Whether a case that cannot be read is left out."""

    def admit(self, findings: Sequence[Finding]) -> bool:
        """Judge what was found in a case; say whether the run goes on with it."""

    def refuse_all(self) -> None:
        """Refuse the run: every case was left out."""


@dataclass(frozen=True)
class Reading:
    """A case as it was read.

    Attributes:
        content: the item, later the batch of it; ``None`` where the case cannot be used.
        findings: what was found meanwhile, errors among them where the case cannot be used.
    """

    content: Any
    findings: tuple[Finding, ...] = ()


class CaseLoader(DataLoader):
    """MONAI's ``DataLoader``, one case at a time; the session judges what reading a case brings to light.

    Headers are checked before a run, voxels may show their faults only now: an empty mask, NaN in the head, a damaged
    file. Under ``skip_bad_cases`` such a case is left out like one that the checks refused; otherwise it ends the run.
    What a transform noticed (:func:`medbundles.checks.notices.notice`) reaches the run record, and ``strict`` judges
    it.

    Args:
        dataset: the cases.
        session: the run.
        num_workers: loader processes.
    """

    def __init__(self, dataset: CaseDataset, session: Session, num_workers: int = 0) -> None:
        self.session = session
        super().__init__(ReadCases(dataset, session.skip_bad_cases), num_workers=num_workers, collate_fn=as_batch)

    def __iter__(self) -> Any:
        """Yield a batch for each case that can be used.

        Raises:
            DataError: a case cannot be used and must not be left out, or none is left.
        """
        admitted = 0
        readings: Iterator[Reading] = super().__iter__()
        for reading in readings:
            if self.session.admit(reading.findings):
                admitted += 1
                yield reading.content
        if not admitted:
            self.session.refuse_all()


class ReadCases(Dataset[Reading]):
    """Cases with what was found while each was read.

    A loader worker hands on what an exception says but not its findings, so a refusal is returned.

    Args:
        cases: where they come from.
        skip_bad_cases: whether a refusal is returned; otherwise it is raised.
    """

    def __init__(self, cases: CaseDataset, skip_bad_cases: bool = False) -> None:
        self.cases = cases
        self.skip_bad_cases = skip_bad_cases

    def __len__(self) -> int:
        """Return the number of cases."""
        return len(self.cases)

    def __getitem__(self, index: int) -> Reading:
        """Return a case.

        Raises:
            DataError: it cannot be read, and nobody asked to leave such cases out.
        """
        case = case_of(self.cases.data[index])
        content = None
        with noticing() as noticed:
            try:
                content = self.cases[index]
            except DataError as error:
                if not self.skip_bad_cases:
                    raise
                noticed += error.findings or [Finding("TRN008", "error", error.message)]
        return Reading(content, tuple(replace(finding, case=finding.case or case) for finding in noticed))


def as_batch(readings: Sequence[Reading]) -> Reading:
    """Return the only case of a batch as a batch; a module-level function, because workers may be spawned."""
    (reading,) = readings
    return reading if reading.content is None else replace(reading, content=list_data_collate([reading.content]))
