#!/usr/bin/env python3
"""Speed of gale as a ratio to other engines, on the same GGUF file and the same machine at the same time.

    python3 bench/compare_smollm2.py MODEL.gguf --ours BUILD/bench_model --peers DIRECTORY

DIRECTORY holds llama.cpp/build/bin and ik/build/bin. Each engine is measured by its own llama-bench; ik also with
its repacked weights (-rtr 1). A round is ours, peer, peer, ours in stretches of some seconds, with a probe of the
machine before and after; its ratio is the mean of our two stretches over the mean of the peer's. Rounds whose
probes differ by more than 15% are dropped; the result is the median of the rest with its spread. Run nothing else
meanwhile. Needs Python 3 alone.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path

PEERS = {
    "llama.cpp": ("llama.cpp", []),
    "ik": ("ik", []),
    "ik -rtr 1": ("ik", ["-rtr", "1"]),
}
TOLERANCE = 0.15


def run_json(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed ({done.returncode}):\n{done.stderr[-2000:]}")
    # What an engine says of itself may come before the JSON.
    starts = [i for i in (done.stdout.find("[\n"), done.stdout.find("{")) if i >= 0]
    return json.loads(done.stdout[min(starts) :])


class Test:
    def __init__(self, name, n_prompt, n_decoded):
        self.name, self.n_prompt, self.n_decoded = name, n_prompt, n_decoded
        self.n = n_prompt or n_decoded

    def ours(self, a):
        command = [a.ours, a.model, "-t", a.threads, "-p", self.n_prompt, "-n", self.n_decoded, "-s", a.seconds]
        return statistics.mean(run_json(command)[self.name])

    def peer(self, a, peer, repeats):
        folder, options = PEERS[peer]
        program = a.peers / folder / "build" / "bin" / "llama-bench"
        command = [program, "-m", a.model, "-t", a.threads, "-p", self.n_prompt, "-n", self.n_decoded, "-r", repeats,
                   "-o", "json", *options]  # fmt: skip
        (result,) = run_json(command)
        return statistics.mean(result["samples_ts"])


def probe(a):
    return run_json([a.ours, "--probe", "-t", a.threads])


def unsteady(probes):
    """How far the probes of a round lie apart, as a share."""
    return max(max(p[k] for p in probes) / min(p[k] for p in probes) - 1 for k in ("read_gb_per_s", "gflops"))


def one_round(a, test, peer, repeats):
    stretches = {"ours": lambda: test.ours(a), "peer": lambda: test.peer(a, peer, repeats)}
    speeds, probes = {"ours": [], "peer": []}, [probe(a)]
    for who in ("ours", "peer", "peer", "ours"):
        speeds[who].append(stretches[who]())
        probes.append(probe(a))
    ours, theirs = (statistics.mean(speeds[who]) for who in ("ours", "peer"))
    return {"ours": ours, "peer": theirs, "ratio": ours / theirs, "unsteady": unsteady(probes), "probes": probes}


def compare(a, test, peer):
    speed = test.peer(a, peer, 2)
    repeats = max(2, round(a.seconds * speed / test.n))
    rounds = []
    for i in range(a.rounds):
        rounds.append(one_round(a, test, peer, repeats))
        r = rounds[-1]
        print(f"  {test.name} against {peer}, round {i + 1}: {r['ours']:.1f} / {r['peer']:.1f} = {r['ratio']:.3f}, "
              f"probes within {100 * r['unsteady']:.0f}%", file=sys.stderr)  # fmt: skip
    kept = [r for r in rounds if r["unsteady"] <= TOLERANCE]
    result = {"test": test.name, "tokens": test.n, "peer": peer, "kept": len(kept), "rounds": rounds}
    if kept:
        ratios = sorted(r["ratio"] for r in kept)
        result |= {"ratio": statistics.median(ratios), "lowest": ratios[0], "highest": ratios[-1],
                   "ours": statistics.median(r["ours"] for r in kept),
                   "theirs": statistics.median(r["peer"] for r in kept)}  # fmt: skip
    return result


def processor():
    with open("/proc/cpuinfo") as f:
        lines = dict(line.split(":", 1) for line in f.read().split("\n\n")[0].splitlines() if ":" in line)
    values = {k.strip(): v.strip() for k, v in lines.items()}
    return f"{values.get('model name', platform.machine())}, family {values.get('cpu family', '?')}"


def print_table(results):
    print("| test | against | ours, tok/s | theirs, tok/s | ratio | spread | rounds kept |")
    print("|---|---|---|---|---|---|---|")
    for r in results:
        what = f"{r['test']} {r['tokens']}"
        if not r["kept"]:
            print(f"| {what} | {r['peer']} | | | none: the machine was unsteady | | 0 of {len(r['rounds'])} |")
            continue
        print(f"| {what} | {r['peer']} | {r['ours']:.1f} | {r['theirs']:.1f} | {r['ratio']:.2f} | "
              f"{r['lowest']:.2f} to {r['highest']:.2f} | {r['kept']} of {len(r['rounds'])} |")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--ours", type=Path, required=True, help="the program bench_model")
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--against", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--tests", nargs="+", choices=["prefill", "decode"], default=["prefill", "decode"])
    parser.add_argument("-p", "--prompt", type=int, default=512)
    parser.add_argument("-n", "--decoded", type=int, default=64)
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    a = parser.parse_args()
    sizes = {"prefill": (a.prompt, 0), "decode": (0, a.decoded)}
    results = [compare(a, Test(name, *sizes[name]), peer) for name in a.tests for peer in a.against]
    print(f"{processor()}, {a.threads} threads, {a.model.name}\n")
    print_table(results)
    if a.json:
        a.json.write_text(json.dumps({"processor": processor(), "threads": a.threads, "results": results}, indent=1))


if __name__ == "__main__":
    main()
