"""MedBundles: MONAI bundles that work, and the components they share."""

__version__ = "0.1.0"
