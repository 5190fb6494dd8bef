"""Transforms that MONAI lacks."""

from medbundles.components.transforms.brain_mask import BrainMaskd
from medbundles.components.transforms.clamp_intensity import ClampIntensityd
from medbundles.components.transforms.clean_regions import CleanRegionsd
from medbundles.components.transforms.contrast_dropout import RandContrastDropoutd
from medbundles.components.transforms.crop_to_object import CropToObjectd
from medbundles.components.transforms.find_sites import FindSitesd
from medbundles.components.transforms.label_points import LabelPointsd
from medbundles.components.transforms.labels_to_regions import LabelsToRegionsd
from medbundles.components.transforms.load_contrasts import LoadContrastsd
from medbundles.components.transforms.load_diffusion import LoadDiffusiond
from medbundles.components.transforms.load_volume import LoadVolumed
from medbundles.components.transforms.malignancy_channels import MalignancyChannelsd
from medbundles.components.transforms.most_likely_regions import MostLikelyRegionsd
from medbundles.components.transforms.normalize_channels import NormalizeChannelsd
from medbundles.components.transforms.normalize_contrasts import NormalizeContrastsd
from medbundles.components.transforms.perturbation import Perturbationd
from medbundles.components.transforms.rand_axis_mirror import RandAxisMirrord
from medbundles.components.transforms.rand_block import RandBlockd
from medbundles.components.transforms.rand_cubes import RandCubesd
from medbundles.components.transforms.rand_mirror import RandMirrorLeftRightd
from medbundles.components.transforms.rand_shading import RandShadingd
from medbundles.components.transforms.rescore_findings import RescoreFindingsd
from medbundles.components.transforms.save_prediction import SavePredictiond
from medbundles.components.transforms.save_preview import SavePreviewd
from medbundles.components.transforms.save_regions import SaveRegionsd
from medbundles.components.transforms.save_synthesis import SaveSynthesisd
from medbundles.components.transforms.segmentation_augmentation import SegmentationAugmentation
from medbundles.components.transforms.slice_stack import RandSliceStackd, stack_indices
from medbundles.components.transforms.smooth_probability import SmoothProbabilityd
from medbundles.components.transforms.spaced_voxels import SpacedVoxelsd
from medbundles.components.transforms.tissue_points import TissuePointsd

__all__ = [
    "BrainMaskd",
    "ClampIntensityd",
    "CleanRegionsd",
    "CropToObjectd",
    "FindSitesd",
    "LabelPointsd",
    "LabelsToRegionsd",
    "LoadContrastsd",
    "LoadDiffusiond",
    "LoadVolumed",
    "MalignancyChannelsd",
    "MostLikelyRegionsd",
    "NormalizeChannelsd",
    "NormalizeContrastsd",
    "Perturbationd",
    "RandAxisMirrord",
    "RandBlockd",
    "RandContrastDropoutd",
    "RandCubesd",
    "RandMirrorLeftRightd",
    "RandShadingd",
    "RandSliceStackd",
    "RescoreFindingsd",
    "SavePredictiond",
    "SavePreviewd",
    "SaveRegionsd",
    "SaveSynthesisd",
    "SegmentationAugmentation",
    "SmoothProbabilityd",
    "SpacedVoxelsd",
    "TissuePointsd",
    "stack_indices",
]
