"""The medbundles command, except that models of the reference system's network may be rebuilt: for comparisons only."""

from __future__ import annotations

from medbundles.cli import main
from medbundles.components.networks import builder

if __name__ == "__main__":
    builder.ALLOWED_PACKAGES = (*builder.ALLOWED_PACKAGES, "reference")
    main()
