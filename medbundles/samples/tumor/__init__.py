"""Synthetic brains with tumors in four MRI contrasts."""
