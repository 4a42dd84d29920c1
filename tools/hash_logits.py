#!/usr/bin/env python3
"""Hashes of all logits of the checkpoints in tests/data/models, to compare two versions of gale byte by byte.

    tools/hash_logits.py GALE [--model MODEL]... [--kv f16,f32,q8] [--cpu LEVEL] [-t THREADS] [--chunk N]  >hashes.txt

Prints a line for each checkpoint, weights as stored and quantised to q4_0, and each cache type: the SHA-256 of what `gale
logits` writes for the checkpoint's own ids, or of the error. The same lines from two versions, instruction sets, thread
counts or chunks mean the same bytes. With --model only these are run, over ids 3 to 102. Needs Python 3 alone.
"""
import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MODELS = Path(__file__).resolve().parent.parent / "tests/data/models"


def cases():
    """(model's path, file of ids) of each row of cases.txt."""
    for line in (MODELS / "cases.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            _, model, reference = line.split()[:3]
            yield MODELS / model, MODELS / reference / "ids.txt"


def digest(arguments, out):
    if os.path.exists(out):
        os.remove(out)
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode:
        return "error " + done.stderr.strip().splitlines()[-1]
    return hashlib.sha256(Path(out).read_bytes()).hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("gale")
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--kv", default="f16,f32,q8")
    parser.add_argument("--cpu")
    parser.add_argument("-t", "--threads")
    parser.add_argument("--chunk")
    a = parser.parse_args()
    more = [x for name in ("cpu", "threads", "chunk") if getattr(a, name) for x in (f"--{name}", getattr(a, name))]
    with tempfile.TemporaryDirectory() as folder:
        ids, out = f"{folder}/ids.txt", f"{folder}/out.npy"
        Path(ids).write_text(" ".join(map(str, range(3, 103))))
        for model, tokens in [(m, ids) for m in a.model] or cases():
            for quant in ([], ["--quant", "q4_0"]):
                for kv in a.kv.split(","):
                    command = [a.gale, "logits", model, "--ids", tokens, "--out", out, "--kv", kv, "-q", "--no-cache"]
                    name = os.path.relpath(model, MODELS) if str(model).startswith(str(MODELS)) else model
                    print(name, quant[1] if quant else "stored", kv, digest([*command, *quant, *more], out), flush=True)


if __name__ == "__main__":
    sys.exit(main())
