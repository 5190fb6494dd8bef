"""Synthetic data in the public data sets' own layouts: one module a bundle, named like it."""
