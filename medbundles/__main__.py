"""``python -m medbundles``."""

from medbundles.cli import main

if __name__ == "__main__":
    main()
