"""Small functions that look at data and return findings; whoever calls them decides (see :func:`refuse`)."""

from medbundles.checks.verdict import refuse

__all__ = ["refuse"]
