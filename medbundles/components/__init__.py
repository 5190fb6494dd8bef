"""Everything a bundle's configuration may name."""
