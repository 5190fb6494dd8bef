"""Synthetic heads: diffusion MRI and T1w of the same person, made from the ICBM152 template."""
