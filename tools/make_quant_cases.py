#!/usr/bin/env python3
"""Makes tests/data/quant: blocks of each quantised type and their weights as the gguf package decodes them.

    python3 -m venv VENV && VENV/bin/pip install -r tools/requirements-reference.txt
    VENV/bin/python tools/make_quant_cases.py            writes tests/data/quant anew
    VENV/bin/python tools/make_quant_cases.py --check    compares with what is there

TYPE.bin holds n blocks in storage form, then their weights as float32. A block is random bytes but for its halves, which
are ordinary, subnormal, the largest there is, or negative.
"""

import argparse
import sys
from pathlib import Path

import gguf
import numpy as np

HOME = Path(__file__).resolve().parent.parent / "tests" / "data" / "quant"

# Where a block keeps its halves.
HALVES = {
    "Q8_0": [0],
    "Q4_0": [0],
    "Q4_1": [0, 2],
    "Q5_0": [0],
    "Q5_1": [0, 2],
    "Q2_K": [80, 82],
    "Q3_K": [108],
    "Q4_K": [0, 2],
    "Q5_K": [0, 2],
    "Q6_K": [208],
    "IQ4_NL": [0],
    "IQ4_XS": [0],
}
CHOICES = [[0x2E12, 0x0001, 0x7BFF, 0xA9C5], [0x3005, 0x83FF, 0x0213, 0x7BFF]]


def case(name):
    """The bytes of one file."""
    kind = gguf.GGMLQuantizationType[name]
    size = gguf.GGML_QUANT_SIZES[kind][1]
    blocks = np.random.default_rng([3, *name.encode()]).integers(0, 256, (4, size), dtype=np.uint8)
    for offset, halves in zip(HALVES[name], CHOICES):
        blocks[:, offset : offset + 2] = np.array(halves, "<u2").reshape(-1, 1).view(np.uint8)
    weights = gguf.quants.dequantize(blocks, kind).astype("<f4")
    return blocks.tobytes() + weights.tobytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the files in the repository")
    check = parser.parse_args().check
    HOME.mkdir(parents=True, exist_ok=True)
    status = 0
    for name in HALVES:
        file, data = HOME / f"{name}.bin", case(name)
        if not check:
            file.write_bytes(data)
        elif not file.exists() or file.read_bytes() != data:
            print(f"{file.name}: not as made now", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
