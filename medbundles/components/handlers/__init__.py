"""Handlers for training and validation engines; each is constructible from a configuration."""

from medbundles.components.handlers.early_stop import EarlyStop
from medbundles.components.handlers.epoch_reseed import EpochReseed
from medbundles.components.handlers.events import TrainingEvents
from medbundles.components.handlers.gradient_clip import GradientClip
from medbundles.components.handlers.handler_group import HandlerGroup
from medbundles.components.handlers.hard_negative_table import HardNegativeTable
from medbundles.components.handlers.history import History
from medbundles.components.handlers.load_weights import LoadWeights
from medbundles.components.handlers.metric_tables import MetricTables
from medbundles.components.handlers.model_record import ModelRecord
from medbundles.components.handlers.nodule_tables import NoduleTables
from medbundles.components.handlers.progress_line import ProgressLine
from medbundles.components.handlers.region_preview import RegionPreview
from medbundles.components.handlers.region_tables import RegionTables
from medbundles.components.handlers.resumable_checkpoint import ResumableCheckpoint
from medbundles.components.handlers.run_status import RunStatus
from medbundles.components.handlers.scheduled_validation import ScheduledValidation
from medbundles.components.handlers.segmentation_preview import SegmentationPreview
from medbundles.components.handlers.stop_on_nan import StopOnNan
from medbundles.components.handlers.stop_on_signal import StopOnSignal
from medbundles.components.handlers.store_cleaning import StoreCleaning
from medbundles.components.handlers.synthesis_preview import SynthesisPreview
from medbundles.components.handlers.weight_average import WeightAverage

__all__ = [
    "EarlyStop",
    "EpochReseed",
    "GradientClip",
    "HandlerGroup",
    "HardNegativeTable",
    "History",
    "LoadWeights",
    "MetricTables",
    "ModelRecord",
    "NoduleTables",
    "ProgressLine",
    "RegionPreview",
    "RegionTables",
    "ResumableCheckpoint",
    "RunStatus",
    "ScheduledValidation",
    "SegmentationPreview",
    "StopOnNan",
    "StopOnSignal",
    "StoreCleaning",
    "SynthesisPreview",
    "TrainingEvents",
    "WeightAverage",
]
