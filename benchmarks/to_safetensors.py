"""Write weights without pickle beside the .pt files they are in.

python benchmarks/to_safetensors.py models/*/*.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from medbundles.formats import write_safetensors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", help="state dictionaries")
    for path in parser.parse_args().files:
        write_safetensors(path.with_suffix(".safetensors"), torch.load(path, weights_only=True))
        print(path.with_suffix(".safetensors"))


if __name__ == "__main__":
    main()
