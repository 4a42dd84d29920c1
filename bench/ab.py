#!/usr/bin/env python3
"""Which of several builds of gale is faster.

    python3 bench/ab.py A/bench_model B/bench_model ... [--model MODEL] [--tests decode:1,prefill:512@8192]
                        [--rounds 8] [--seconds 1] [-t 2] [--cpu avx2] [--kv q8]

Each build opens the model once and keeps it. A round runs each test for --seconds with each build in turn, in the order
A B C C B A, so that a machine that becomes faster or slower favours none. A test is decode:TEXTS or prefill:TOKENS,
with @DEPTH from that depth on, or uneven:TEXTS@DEPTH, which decodes texts whose depths lie between DEPTH / 128 and
DEPTH. Prints for each test and build the median of the rounds' speeds, and of their ratios to the first build's, with
the middle half of these. Give the same build twice to see what the machine's noise alone does.
Needs Python 3 alone.
"""

import argparse
import json
import re
import statistics
import subprocess


class Build:
    def __init__(self, program, a, context):
        command = [program, a.model, "--stretches", context, "-t", a.threads, "-k", a.kv]
        command += ["-c", a.cpu] if a.cpu else []
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def speed(self, kind, n, depth, seconds):
        """The median of a stretch's repeats."""
        self.process.stdin.write(f"{kind} {n} {depth} {seconds}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("bench_model ended")
        return statistics.median(json.loads(line))


def read_test(text):
    match = re.fullmatch(r"(decode|uneven|prefill):(\d+)(?:@(\d+))?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"not a test: {text}")
    return match[1], int(match[2]), int(match[3] or 0)


def name(test):
    kind, n, depth = test
    return f"{kind}:{n}" + (f"@{depth}" if depth else "")


def middle(values):
    """The quarters' limits."""
    if len(values) < 4:
        return min(values), max(values)
    quarters = statistics.quantiles(values, n=4)
    return quarters[0], quarters[2]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("builds", nargs="+", metavar="BENCH_MODEL")
    parser.add_argument("--model", default="shape:mistral-7b:layers=8@q4_0")
    parser.add_argument("--tests", type=lambda s: [read_test(t) for t in s.split(",")],
                        default="decode:1,decode:4,decode:8,prefill:512")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--cpu")
    parser.add_argument("--kv", default="f16")
    a = parser.parse_args()
    context = max(depth + (n if kind == "prefill" else 0) for kind, n, depth in a.tests)
    builds = [Build(b, a, context) for b in a.builds]
    speeds = {test: [] for test in a.tests}
    for test in a.tests:
        for b in builds:
            b.speed(*test, 0)
    for _ in range(a.rounds):
        for test in a.tests:
            there = [b.speed(*test, a.seconds) for b in builds]
            back = [b.speed(*test, a.seconds) for b in reversed(builds)]
            speeds[test].append([(x + y) / 2 for x, y in zip(there, reversed(back))])
    print("| test | build | tok/s | to the first | middle half |\n|---|---|---|---|---|")
    for test, rounds in speeds.items():
        for i, program in enumerate(a.builds):
            ratios = [r[i] / r[0] for r in rounds]
            low, high = middle(ratios)
            print(f"| {name(test)} | {program} | {statistics.median(r[i] for r in rounds):.1f} "
                  f"| {statistics.median(ratios):.3f} | {low:.3f} to {high:.3f} |")  # fmt: skip


if __name__ == "__main__":
    main()
