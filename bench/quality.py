#!/usr/bin/env python3
"""What gale's shortcuts cost in perplexity and KL divergence, against the exact path on the same weights.

    python3 bench/quality.py --gale BUILD/gale --model MODEL.gguf --text TEXT [--types q8_0,q4_0]

The exact path: the weights dequantised to F32, activations in float, a cache of F32. Against it, over TEXT in passages
of 512 tokens (docs/EVALUATION.md): F32 weights with caches in f16 and q8, which shows what a cache costs; then the
quantised weights with each cache, which shows what 8-bit activations cost, alone and with the cache. Each type of
--types is quantised from the dequantised MODEL and measured against its own weights dequantised; MODEL's own weights
come first. Prints a Markdown table. The figures are the same on any machine and for any number of threads.
Needs Python 3 alone, and 2.3 GB in the work folder for the distributions of 84 passages of a vocabulary of 49,152.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

CLAIM = 0.1  # per cent of perplexity


class Runner:
    def __init__(self, a, folder):
        self.a, self.folder = a, folder

    def gale(self, *arguments):
        command = [str(x) for x in (self.a.gale, *arguments, "-t", self.a.threads)]
        print("$ " + " ".join(command), file=sys.stderr)
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"failed ({done.returncode}):\n{done.stderr[-2000:]}")
        return done.stdout

    def perplexity(self, model, cache, *options):
        few = ["--chunks", self.a.chunks] if self.a.chunks else []
        return json.loads(self.gale("perplexity", model, "--kv", cache, "--json", *options, *few))

    def base(self, model):
        path = self.folder / "base"
        return path, self.perplexity(model, "f32", "-f", self.a.text, "--save", path)

    def quantize(self, model, to):
        path = self.folder / f"{model.stem}-{to}.gguf"
        self.gale("quantize", model, path, "--type", to)
        return path


def row(weights, cache, result):
    """The cost in per cent with its standard error, from the differences at the same tokens."""
    base = result["base"]
    ratio = base["ratio"]
    return {
        "weights": weights,
        "cache": cache,
        "perplexity": result["perplexity"]["value"],
        "cost": 100 * (ratio["value"] - 1),
        "error": 100 * ratio["standard_error"],
        "kl": base["kl_divergence"]["mean"]["value"],
        "same_top": 100 * base["same_top"]["value"],
    }


def measure(run, name, model, exact, caches_of_exact):
    base, reference = run.base(exact)
    rows = [{"weights": f"{name} as F32", "cache": "f32", "perplexity": reference["perplexity"]["value"]}]
    for cache in caches_of_exact:
        rows.append(row(f"{name} as F32", cache, run.perplexity(exact, cache, "--kl", base)))
    for cache in ("f32", "f16", "q8"):
        rows.append(row(name, cache, run.perplexity(model, cache, "--kl", base)))
    base.unlink()
    return rows, reference


def verdict(r):
    if "cost" not in r:
        return "exact"
    if r["cost"] <= CLAIM:
        return "yes"
    return "within the error" if r["cost"] - 2 * r["error"] <= CLAIM else "no"


def print_table(rows):
    print(f"| weights | cache | perplexity | cost, % | mean KL | same likeliest token | at most {CLAIM}% |")
    print("|---|---|---|---|---|---|---|")
    for r in rows:
        cells = "- | - | -"
        if "cost" in r:
            cells = f"{r['cost']:+.3f} ± {r['error']:.3f} | {r['kl']:.1e} | {r['same_top']:.2f}%"
        print(f"| {r['weights']} | {r['cache']} | {r['perplexity']:.4f} | {cells} | {verdict(r)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gale", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--name", default="Q4_1", help="of MODEL's type, for the table")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--types", default="", help="further types, with commas between")
    parser.add_argument("--chunks", type=int, default=0, help="the first N passages only")
    parser.add_argument("-t", "--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, help="folder for the files, removed afterwards (default: a temporary one)")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=a.work) as folder:
        run = Runner(a, Path(folder))
        exact = run.quantize(a.model, "f32")
        rows, first = measure(run, a.name, a.model, exact, ("f16", "q8"))
        for to in filter(None, a.types.split(",")):
            model = run.quantize(exact, to)
            again = run.quantize(model, "f32")
            rows += measure(run, to.upper(), model, again, ())[0]
            model.unlink()
            again.unlink()
    passages, context, scored = (first[k] for k in ("passages", "context", "tokens_scored"))
    print(f"{a.text.name}: {passages} passages of {context} tokens, {scored} scored\n")
    print_table(rows)
    if a.json:
        a.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
