#!/usr/bin/env python3
"""How much of its decode speed gale keeps while another program occupies one processor.

    python3 bench/busy.py [MODEL ...] --ours BUILD/bench_model [--threads 2] [--rounds 3] [--seconds 2]

A round measures decode alone, then with a loop pinned to one of the processors, then alone again; its ratio is the
second figure over the mean of the other two. Rounds whose two figures alone differ by more than 15% are dropped: the
machine was not quiet. Prints the median ratio of the rest with its spread. One thread alone on another processor is
measured as well, for comparison: what is left if the busy processor is not used at all. Needs Python 3 alone.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

MODELS = ["shape:smollm2-135m@q4_1", "shape:mistral-7b:layers=4@q4_0"]
TOLERANCE = 0.15


def decode(arguments, model, threads, processors):
    """Tokens per second: the median of the repeats."""
    command = [arguments.ours, model, "-t", threads, "-p", 0, "-n", 32, "-s", arguments.seconds]
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, processors)
    )
    if done.returncode != 0:
        sys.exit(f"{arguments.ours} failed ({done.returncode}):\n{done.stderr[-2000:]}")
    return statistics.median(json.loads(done.stdout)["decode"])


def occupied(processor, measure):
    """What measure() gives while a loop occupies the processor."""
    loop = subprocess.Popen(
        [sys.executable, "-c", "while True: pass"], preexec_fn=lambda: os.sched_setaffinity(0, {processor})
    )
    try:
        return measure()
    finally:
        loop.kill()
        loop.wait()


def measure(arguments, model):
    processors = sorted(os.sched_getaffinity(0))[: arguments.threads]
    everything, first, last = set(processors), {processors[0]}, processors[-1]
    ratios, singles = [], []
    for number in range(arguments.rounds):
        before = decode(arguments, model, arguments.threads, everything)
        busy = occupied(last, lambda: decode(arguments, model, arguments.threads, everything))
        single = decode(arguments, model, 1, first)
        after = decode(arguments, model, arguments.threads, everything)
        kept = abs(before - after) <= TOLERANCE * max(before, after)
        alone = (before + after) / 2
        print(
            f"{model}: alone {before:.1f} and {after:.1f}, busy {busy:.1f} ({busy / alone:.2f}), "
            f"one thread {single:.1f} ({single / alone:.2f}) tok/s{'' if kept else ' - not quiet, dropped'}",
            flush=True,
        )
        if kept:
            ratios.append(busy / alone)
            singles.append(single / alone)
    if not ratios:
        print(f"{model}: no round was quiet")
        return
    print(
        f"{model}: busy keeps {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), "
        f"one thread is {statistics.median(singles):.2f}, {len(ratios)} of {arguments.rounds} rounds"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    arguments = parser.parse_args()
    if len(os.sched_getaffinity(0)) < arguments.threads:
        sys.exit(f"{arguments.threads} threads need as many processors")
    for model in arguments.models:
        measure(arguments, model)


if __name__ == "__main__":
    main()
