"""Data sets: preprocessed once into memory-mapped files, drawn reproducibly."""

from medbundles.components.datasets.case_dataset import CaseDataset
from medbundles.components.datasets.case_loader import CaseLoader
from medbundles.components.datasets.mapped_cache import MappedCache
from medbundles.components.datasets.mapped_dataset import MappedDataset
from medbundles.components.datasets.site_dataset import Draw, SiteDataset
from medbundles.components.datasets.site_sampler import MixedSiteSampler

__all__ = ["CaseDataset", "CaseLoader", "Draw", "MappedCache", "MappedDataset", "MixedSiteSampler", "SiteDataset"]
