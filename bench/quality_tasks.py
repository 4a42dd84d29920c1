#!/usr/bin/env python3
"""What types of the cache and of the weights cost in scores of tasks, paired item by item.

    python3 bench/quality_tasks.py --gale BUILD/gale --model MODEL.gguf --data FOLDER [--types q8_0,q4_0] [--limit N]

FOLDER is what `make eval-data` makes. MODEL with each type of the cache, then each type of --types (quantised from MODEL
as F32) with an f16 cache, on HellaSwag, PIQA and ARC, 0-shot. The first row, MODEL with an f32 cache, is what the others
are compared with. Prints a Markdown table: scores with standard errors, differences with theirs, in percent.
"""
import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

TASKS = [("hellaswag", "hellaswag.jsonl", "acc_norm"), ("piqa", "piqa.jsonl", "acc_norm"),
         ("arc-easy", "arc-easy-test.jsonl", "acc"), ("arc-challenge", "arc-challenge-test.jsonl", "acc_norm")]


def run(*command):
    print("$ " + " ".join(map(str, command)), file=sys.stderr)
    return subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE).stdout


def scores(a, model, cache, folder):
    """Of each task the scores of its items."""
    samples = folder / f"{Path(model).stem}-{cache}.jsonl"
    run(a.gale, "eval", model, *(f"{t}={a.data / f}" for t, f, _ in TASKS), "--kv", cache, "--limit", a.limit, "-t", a.threads,
        "--samples", samples)
    found = {t: [] for t, _, _ in TASKS}
    metric = {t: m for t, _, m in TASKS}
    with open(samples, encoding="utf-8") as f:
        for line in f.read().split("\n")[1:-1]:
            item = json.loads(line)
            found[item["task"]].append(item[metric[item["task"]]])
    return found


def estimate(values):
    n, mean = len(values), sum(values) / len(values)
    return 100 * mean, 100 * math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)


def cell(values, base):
    text = "%.2f ± %.2f" % estimate(values)
    return text if values is base else text + " (%+.2f ± %.2f)" % estimate([v - b for v, b in zip(values, base)])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--gale", default="build/release/gale")
    p.add_argument("--model", required=True)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--types", default="q8_0,q4_0")
    p.add_argument("--limit", type=int, default=0)
    p.add_argument("--threads", type=int, default=0)
    a = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="gale-quality-") as name:
        folder = Path(name)
        rows = [("as given", cache, scores(a, a.model, cache, folder)) for cache in ("f32", "f16", "q8")]
        types = [t for t in a.types.split(",") if t]
        if types:
            run(a.gale, "quantize", a.model, folder / "float.gguf", "--type", "f32")
        for to in types:
            run(a.gale, "quantize", folder / "float.gguf", folder / f"{to}.gguf", "--type", to)
            rows.append((to, "f16", scores(a, folder / f"{to}.gguf", "f16", folder)))
    print("| weights | cache | " + " | ".join(f"{t} {m}" for t, _, m in TASKS) + " |\n|---|---" + "|---" * len(TASKS) + "|")
    for weights, cache, found in rows:
        print(f"| {weights} | {cache} | " + " | ".join(cell(found[t], rows[0][2][t]) for t, _, _ in TASKS) + " |")


if __name__ == "__main__":
    main()
