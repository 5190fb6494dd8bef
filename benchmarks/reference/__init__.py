"""The reference systems, rebuilt from their published descriptions: what ours is measured against."""
