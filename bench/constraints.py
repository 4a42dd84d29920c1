#!/usr/bin/env python3
"""Runs MaskBench: real schemas with valid and invalid instances, through gale and other engines on one vocabulary.

usage: constraints.py libgale.so DATA --tokenizer FILE [--every N] [--from K] [--engines gale,gale-any-order,llguidance,outlines]
                      [--outlines-every N] [--repeat N] [--limit SECONDS] [--failures FILE] [--result FILE]
                      [--add FILE]

DATA is the folder maskbench/data of the public repository guidance-ai/jsonschemabench; FILE any tokenizer that gale
opens (bench/llama_vocabulary.py makes Llama 3's). The engines are llguidance and outlines_core of PyPI; each is a
process with one thread, and they take turns schema by schema, so that what else the machine does falls on all. As in
MaskBench an instance is written by json.dumps() and its tokens are taken one by one: it is accepted where each is in the
mask before it, and here also only where the text may end behind the last. A schema passes if it compiles and all of its
instances get what they should.

Times are of the mask and of taking the token together, in microseconds; what an empty call takes is subtracted. With
--repeat, everything is done so many times, each time compiled anew, and the least time counts for each single step, which
takes other programs' disturbances out of the larger percentiles. --failures writes which schemas gale fails and why.
A long run can be taken in parts: --result FILE keeps the figures of one, --add FILE begins the next with them.
"""
import argparse
import collections
import json
import multiprocessing
import pathlib
import re
import sys

import constraint_engines

PUBLIC = {"gale": "gale", "gale-any-order": "gale, any order", "llguidance": "llguidance", "outlines": "outlines_core"}


class Worker:
    """One engine's process, which is started anew after a crash and when a schema takes too long."""

    def __init__(self, name, arguments, memory):
        self.name, self.arguments, self.memory, self.process = name, arguments, memory, None

    def start(self):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=constraint_engines.serve, daemon=True, args=(
            theirs, self.name, self.arguments.library, self.arguments.tokenizer, self.memory))  # fmt: skip
        self.process.start()
        theirs.close()
        self.overhead = self.pipe.recv()["overhead"]

    def run(self, path):
        if self.process is None:
            self.start()
        result = {"crashed": "took too long"}
        try:
            self.pipe.send(str(path))
            if self.pipe.poll(self.arguments.limit):
                return self.net(self.pipe.recv())
        except (EOFError, ConnectionError):
            self.process.join()
            result = {"crashed": f"ended with status {self.process.exitcode}"}
        self.stop()
        return result

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.join()
        self.process = None

    def net(self, result):
        for test in result.get("tests", []):
            test[1] = [max(0, ns - self.overhead) for ns in test[1]]
        return result


def least(a, b):
    """Two runs of a schema, with the least times of both."""
    if "tests" not in a or "tests" not in b:
        return a if "tests" not in a else b
    a["compile"] = min(a["compile"], b["compile"])
    for x, y in zip(a["tests"], b["tests"]):
        if x[0] != y[0]:
            x[0] = f"error: two runs differ: {x[0]}, {y[0]}"
        x[1] = [min(p, q) for p, q in zip(x[1], y[1])]
    return a


def percentile(values, p):
    return values[min(len(values) - 1, int(len(values) * p / 100))] / 1000 if values else float("nan")


class Row:
    """What an engine did, summed up."""

    def __init__(self, name):
        self.name, self.compiles, self.firsts, self.steps = name, [], [], []
        self.counts = collections.Counter()

    def add(self, result, tests):
        c = self.counts
        c["schemas"] += 1
        if "tests" not in result:
            c["crashed" if "crashed" in result else "refused"] += 1
            return
        self.compiles.append(result["compile"])
        wrong = set()
        for test, (verdict, steps, _, _, reordered) in zip(tests, result["tests"]):
            self.steps += steps
            if steps:
                self.firsts.append(result["compile"] + steps[0])
            if verdict is not test["valid"]:
                kind = "error" if isinstance(verdict, str) else "valid refused" if test["valid"] else "invalid accepted"
                c[kind + ", instances"] += 1
                wrong.add(kind)
            c["only in another order"] += bool(verdict is False and reordered)
        c.update(wrong)
        c["passing"] += not wrong

    def cells(self):
        c, steps, compiles = self.counts, sorted(self.steps), sorted(self.compiles)
        mean = sum(steps) / len(steps) / 1000 if steps else float("nan")
        both = lambda kind: f"{c[kind]} ({c[kind + ', instances']})"
        of = lambda values, *ps: " / ".join(f"{percentile(values, p):,.1f}" for p in ps)
        return [c["schemas"], c["passing"], c["refused"], c["crashed"], both("invalid accepted"), both("valid refused"),
                c["only in another order"], both("error"), f"{mean:,.1f} / {of(steps, 50, 99, 100)}", of(compiles, 50, 99, 100),
                of(sorted(self.firsts), 50, 99), f"{len(steps):,}"]  # fmt: skip


LINES = ["schemas", "passing", "refused at compiling", "crashed or took too long",
         "schemas with an invalid instance accepted (instances)", "with a valid one refused (instances)",
         "valid instances taken in another order of members alone", "with an error in a mask (instances)", "mask and token, us: mean / p50 / p99 / max",
         "compile, us: p50 / p99 / max", "compile and first mask, us: p50 / p99", "masks"]  # fmt: skip


def print_table(rows):
    print("| | " + " | ".join(PUBLIC[r.name] for r in rows) + " |")
    print("|---|" + "---|" * len(rows))
    for label, cells in zip(LINES, zip(*(r.cells() for r in rows))):
        print(f"| {label} | " + " | ".join(str(c) for c in cells) + " |")


# ---- Why schemas fail ----


def cause_of(message):
    """A message without the place in front and without its names and numbers."""
    message = re.sub(r"^\S*?[#/]\S*: ", "", message)
    return re.sub(r"'[^']{13,}'|\b\d+\b", "_", message)


def broken_keyword(schema, instance):
    try:
        import jsonschema
    except ImportError:
        return "?"
    try:
        kind = jsonschema.validators.validator_for(schema)
        errors = list(kind(schema, format_checker=kind.FORMAT_CHECKER).iter_errors(instance))
        return ", ".join(sorted({str(e.validator) for e in errors})) or "nothing, says jsonschema"
    except Exception as e:
        return f"jsonschema: {type(e).__name__}"


def failures(path, result, data):
    """Pairs of cause and detail."""
    if "tests" not in result:
        kind = "crashed" if "crashed" in result else "refused"
        return [(f"{kind}: {cause_of(result[kind])}", f"{path.name}: {result[kind]}")]
    found = []
    for i, (test, (verdict, _, at, text, reordered)) in enumerate(zip(data["tests"], result["tests"])):
        if verdict is test["valid"]:
            continue
        encoded = text.encode()
        around = f"{encoded[max(0, at - 60):at].decode(errors='replace')} >>> {encoded[at:at + 40].decode(errors='replace')}"
        if isinstance(verdict, str):
            found.append((cause_of(verdict), f"{path.name} test {i}, byte {at}: {verdict}: {around}"))
        elif test["valid"]:
            cause = "valid instance refused" + (", but taken with its members in another order" if reordered else "")
            found.append((cause, f"{path.name} test {i}, byte {at}: {around}"))
        else:
            broken = broken_keyword(data["schema"], test["data"])
            found.append((f"invalid instance accepted: {broken}", f"{path.name} test {i}: {test.get('python_error', '')[:150]!r}"))
    return found


def slow_steps(path, result, least_us):
    """Each step that took longest of its schema, with the text around, and the schema's compiling."""
    found = [(result["compile"] / 1000, f"{path.name}: compiling")] if "compile" in result else []
    for i, (_, steps, *_) in enumerate(result.get("tests", [])):
        if steps:
            worst = max(range(len(steps)), key=steps.__getitem__)
            found.append((steps[worst] / 1000, f"{path.name} test {i}, token {worst} of {len(steps)}"))
    return [f for f in found if f[0] >= least_us]


def write_failures(path, causes, slow, n):
    with open(path, "w") as out:
        out.write(f"Of {n} schemas, gale fails these, by cause; a name, where, and what.\n\n## The slowest, us\n")
        out.writelines(f"- {us:,.0f} {what}\n" for us, what in sorted(slow, reverse=True)[:40])
        for cause, details in sorted(causes.items(), key=lambda item: -len(item[1])):
            out.write(f"\n## {len(details)}: {cause}\n")
            out.writelines(f"- {d}\n" for d in details[:40])
            if len(details) > 40:
                out.write(f"- and {len(details) - 40} more\n")


# ---- Parts of a run ----


def save(path, rows, common, causes, slow):
    packed = lambda row: vars(row) | {"counts": dict(row.counts)}
    content = {"rows": list(map(packed, rows)), "common": list(map(packed, common)), "causes": causes, "slow": slow}
    pathlib.Path(path).write_text(json.dumps(content))


def restore(path, rows, common, causes, slow):
    content = json.loads(pathlib.Path(path).read_text())
    for row, saved in zip(rows + common, content["rows"] + content["common"]):
        assert row.name == saved["name"], f"{path} is of other engines"
        vars(row).update(saved | {"counts": collections.Counter(saved["counts"])})
    causes.update(content["causes"])
    slow += map(tuple, content["slow"])


def run(arguments, paths, workers):
    rows, common, slow = [Row(w.name) for w in workers], [Row(w.name) for w in workers if w.name != "outlines"], []
    causes = collections.defaultdict(list)
    if arguments.add:
        restore(arguments.add, rows, common, causes, slow)
    for i, path in enumerate(paths):
        data = json.loads(path.read_bytes())
        results = []
        for worker, row in zip(workers, rows):
            if worker.name == "outlines" and i % arguments.outlines_every:
                continue
            result = worker.run(path)
            for _ in range(arguments.repeat - 1 if "tests" in result and worker.name != "outlines" else 0):
                result = least(result, worker.run(path))
            row.add(result, data["tests"])
            results += [result] if worker.name != "outlines" else []
            if worker.name == "gale-any-order" or (worker.name == "gale" and len(workers) == 1):
                for cause, detail in failures(path, result, data):
                    causes[cause].append(detail)
                slow += slow_steps(path, result, 300)
        if all("tests" in r for r in results):
            for row, result in zip(common, results):
                row.add(result, data["tests"])
        if sys.stderr.isatty():
            print(f"\r{i + 1} of {len(paths)}", end="", file=sys.stderr, flush=True)
    return rows, common, causes, slow


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=lambda p: str(pathlib.Path(p).resolve()))
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--every", type=int, default=1, help="run each N-th schema")
    parser.add_argument("--from", dest="first", type=int, default=0, help="begin with the K-th")
    parser.add_argument("--engines", default="gale,gale-any-order,llguidance")
    parser.add_argument("--outlines-every", type=int, default=20, help="give outlines each N-th of those that run")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--limit", type=float, default=60, help="seconds that a schema may take")
    parser.add_argument("--failures")
    parser.add_argument("--result", help="write all figures as JSON")
    parser.add_argument("--add", help="go on from the figures in such a file")
    arguments = parser.parse_args()
    paths = sorted(arguments.data.glob("*.json"))[arguments.first :: arguments.every]
    if not paths:
        parser.error(f"{arguments.data}: no schemas")
    workers = [Worker(name, arguments, 8 << 30 if name == "outlines" else 0) for name in arguments.engines.split(",")]
    rows, common, causes, slow = run(arguments, paths, workers)
    for worker in workers:
        worker.stop()
    print_table(rows)
    if len(workers) > 1:
        print("\nOf the schemas that all of these compile:\n")
        print_table(common)
    if arguments.failures:
        write_failures(arguments.failures, causes, slow, rows[0].counts["schemas"])
    if arguments.result:
        save(arguments.result, rows, common, causes, slow)


if __name__ == "__main__":
    main()
