"""Metrics with a row a case, empties stated and intervals."""

from medbundles.components.metrics.case_metric import CaseMetric, CaseRow
from medbundles.components.metrics.cleaning_search import CleaningRow, CleaningSearch, choose_cleaning
from medbundles.components.metrics.froc import Froc, OperatingPoint
from medbundles.components.metrics.lesion_detection import LesionDetection, LesionRow
from medbundles.components.metrics.lesion_wise import LesionWise, LesionWiseRow
from medbundles.components.metrics.malignancy_roc import MalignancyRoc, VerdictRow
from medbundles.components.metrics.masked_pair import MaskedPair, MaskedPairMetric
from medbundles.components.metrics.nodule_detection import NoduleDetection, NoduleRow
from medbundles.components.metrics.pixel_confusion import PixelConfusion, PixelRow
from medbundles.components.metrics.probability_metric import ProbabilityMetric, ScoredCase
from medbundles.components.metrics.region_quality import RegionQuality, RegionRow
from medbundles.components.metrics.synthesis_quality import QualityRow, SynthesisQuality
from medbundles.components.metrics.thresholds import choose_thresholds
from medbundles.components.metrics.tissue_agreement import TissueAgreement, TissueRow

__all__ = [
    "CaseMetric",
    "CaseRow",
    "CleaningRow",
    "CleaningSearch",
    "Froc",
    "LesionDetection",
    "LesionRow",
    "LesionWise",
    "LesionWiseRow",
    "MalignancyRoc",
    "MaskedPair",
    "MaskedPairMetric",
    "NoduleDetection",
    "NoduleRow",
    "OperatingPoint",
    "PixelConfusion",
    "PixelRow",
    "ProbabilityMetric",
    "QualityRow",
    "RegionQuality",
    "RegionRow",
    "ScoredCase",
    "SynthesisQuality",
    "TissueAgreement",
    "TissueRow",
    "VerdictRow",
    "choose_cleaning",
    "choose_thresholds",
]
