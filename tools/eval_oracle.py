#!/usr/bin/env python3
"""Compares the prompts of gale eval --dry-run with those of lm-evaluation-harness 0.4.13, item by item, on whole files.

usage: eval_oracle.py GALE TASK PATH [--shots N] [--fewshot FILE] [--limit N] [--seed S]

PATH is JSONL as tools/eval_data.py makes it, or for mmlu the folder with dev.jsonl and test.jsonl. Needs the PyPI
packages lm-eval==0.4.13 and datasets. Prints how many items are equal, with a SHA-256 of all prompts; exits 1 if one is
not equal.
"""
import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import datasets
import lm_eval
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

FOLDER = Path(lm_eval.__file__).parent / "tasks"
YAML = {
    "gsm8k": "gsm8k/gsm8k.yaml",
    "gsm8k-cot": "gsm8k/gsm8k-cot.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "arc-easy": "arc/arc_easy.yaml",
    "arc-challenge": "arc/arc_challenge.yaml",
    "winogrande": "winogrande/default.yaml",
    "piqa": "piqa/piqa.yaml",
    "boolq": "super_glue/boolq/default.yaml",
    "truthfulqa-mc1": "truthfulqa/truthfulqa_mc1.yaml",
    "truthfulqa-mc2": "truthfulqa/truthfulqa_mc2.yaml",
}
DEFAULT_SHOTS = {"mmlu": 5, "gsm8k": 5, "gsm8k-cot": 8}


def read(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f.read().split("\n") if line.strip()]


def boolq(row):
    return {**{k: row[k] for k in ("question", "passage")}, "label": int(row.get("label", row.get("answer")))}


def make_task(config, splits, shots, seed):
    class Local(ConfigurableTask):
        def download(self, *args, **kwargs):
            self.dataset = datasets.DatasetDict({k: datasets.Dataset.from_list(v) for k, v in splits.items()})

    config = {k: v for k, v in config.items() if k not in ("tag", "group", "metadata")}
    task = Local(config=config)
    task.set_config(key="num_fewshot", value=shots)
    task.set_fewshot_seed(seed=seed)
    return task


def prompts(task, shots, limit):
    docs = list(task.eval_docs)
    for doc in docs[:limit] if limit else docs:
        context = task.fewshot_context(doc, num_fewshot=shots)
        requests = task.construct_requests(doc, context)
        if isinstance(requests, list):
            yield [r.args for r in requests]
        else:
            yield [(requests.args[0], None)]


def subjects(a):
    """One task for each subject of MMLU, in order of name."""
    kind = "default" if a.task == "mmlu" else "continuation"
    rows = {split: read(Path(a.path) / f"{split}.jsonl") for split in ("dev", "test")}
    for subject in sorted({r["subject"] for r in rows["test"]}):
        config = load_yaml(FOLDER / "mmlu" / kind / f"mmlu_{subject}.yaml", resolve_func=True)
        yield config, {split: [r for r in all if r["subject"] == subject] for split, all in rows.items()}


def tasks(a):
    if a.task.startswith("mmlu"):
        yield from subjects(a)
        return
    config = load_yaml(FOLDER / YAML[a.task], resolve_func=True)
    rows, pool = read(a.path), read(a.fewshot) if a.fewshot else []
    if a.task == "boolq":
        rows, pool = map(boolq, rows), map(boolq, pool)
    tested = config.get("test_split") or config["validation_split"]
    splits = {tested: list(rows)}
    splits[config.get("training_split") or "train"] = list(pool) or splits[tested][:1]
    yield config, splits


def ours(a):
    command = [a.gale, "eval", "--dry-run", f"{a.task}={a.path}", "--shots", str(a.shots), "-s", str(a.seed)]
    command += ["--fewshot", a.fewshot] if a.fewshot else []
    command += ["--limit", str(a.limit)] if a.limit else []
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode().split("\n")
    for item in map(json.loads, lines[1:-1]):
        contexts = item.get("contexts") or [item["context"]] * len(item.get("continuations", [None]))
        yield list(zip(contexts, item.get("continuations", [None])))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("gale")
    p.add_argument("task")
    p.add_argument("path")
    p.add_argument("--shots", type=int)
    p.add_argument("--fewshot")
    p.add_argument("--limit", type=int, default=0)
    p.add_argument("--seed", type=int, default=1234)
    a = p.parse_args()
    if a.shots is None:
        a.shots = DEFAULT_SHOTS.get(a.task, 0)
    found, n, differ, digest = ours(a), 0, 0, hashlib.sha256()
    for config, splits in tasks(a):
        for want in prompts(make_task(config, splits, a.shots, a.seed), a.shots, a.limit):
            got = next(found, None)
            digest.update(json.dumps(want, ensure_ascii=False).encode())
            n += 1
            if got != [tuple(x[:2]) for x in want]:
                differ += 1
                if differ <= 3:
                    print(f"item {n - 1}:\n  lm-eval {want!r}\n  gale    {got!r}", file=sys.stderr)
    surplus = sum(1 for _ in found)
    print(f"{a.task}, {a.shots}-shot: {n - differ} of {n} items equal, SHA-256 {digest.hexdigest()[:16]}"
          + (f"; {surplus} items too many" if surplus else ""))
    sys.exit(bool(differ or surplus))


if __name__ == "__main__":
    main()
