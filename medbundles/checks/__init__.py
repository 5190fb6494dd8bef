"""Small check functions that return findings; the caller decides what to do with them."""
