"""Write weights without pickle beside the .pt files they are in.

python benchmarks/to_safetensors.py models/*/*.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", help="state dictionaries")
    for path in parser.parse_args().files:
        save_file(torch.load(path, weights_only=True), path.with_suffix(".safetensors"))
        print(path.with_suffix(".safetensors"))


if __name__ == "__main__":
    main()
