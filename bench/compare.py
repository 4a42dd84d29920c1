#!/usr/bin/env python3
"""Speed of gale as a ratio to ik_llama.cpp and llama.cpp on the same GGUF files, and as a share of the machine's limits.

    cmake --build --preset release --target bench_model
    bench/compare.sh --gale build/release/gale --ik DIR --llama DIR --models DIR > table.md

--ik and --llama are folders with the programs of each engine (llama-bench; of ik also llama-sweep-bench and llama-cli).
bench_model beside gale probes the machine; without it gale bench does, which takes longer. Models that --models lacks
are written there by `gale synth`. First each setting of each engine is tried once; for each test the best one goes on
(--both: the best of each engine). A round is ours, peer, peer, ours in stretches of some seconds with a probe of the
machine around each; its ratio is the mean of our two stretches over the mean of the peer's. A test drops the rounds in
which the probes of its own limit lie more than 15% apart, and others take their place while --budget lasts. The result
is the median of the ratios with its lowest and highest. Run nothing else meanwhile. docs/PERFORMANCE.md says what the
limits are. Needs Python 3 alone.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

TOLERANCE = 0.15
READS, INT8 = PROBED = ("read_bytes_per_second", "int8_ops_per_second")
FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm")
WINDOW = 4096
DEEP_STEPS = 256  # decoded at a depth: at most 512, which llama-sweep-bench has room for


class Failed(Exception):
    pass


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- Programs ----


def execute(command, folder):
    """Standard output, standard error and peak memory in bytes."""
    command = [str(c) for c in command]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            child = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=folder)
        except OSError as e:
            raise Failed(f"{command[0]}: {e.strerror}") from e
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for f in (out, err):
            f.seek(0)
            texts.append(f.read().decode(errors="replace"))
    if child.returncode != 0:
        raise Failed(f"{' '.join(command)} failed ({child.returncode}):\n{texts[1][-1500:]}")
    return texts[0], texts[1], usage.ru_maxrss * 1024


def first_json(text):
    # What an engine says of itself may come before the JSON.
    starts = [i for i in (text.find("[\n"), text.find("{")) if i >= 0]
    if not starts:
        raise Failed(f"no JSON in:\n{text[-1500:]}")
    return json.loads(text[min(starts) :])


class Bench:
    """The engines' programs, on this machine."""

    def __init__(self, a, folder):
        self.a, self.folder = a, folder
        self.threads = ["-t", a.threads]
        self.probes = []
        self.prober = None
        program = a.gale.parent / "bench_model"
        if program.exists():
            # One process for all probes: its memory is large, and taking it costs more than reading it.
            self.prober = subprocess.Popen([program, "--probes", "-t", str(a.threads)], stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, text=True)  # fmt: skip

    def gale(self, model, *options, cpu=None):
        """The report of gale bench."""
        cap = ["--cpu", cpu or self.a.cpu] if cpu or self.a.cpu else []
        out, _, _ = execute([self.a.gale, "bench", model, "--json", *self.threads, *cap, *options], self.folder)
        return first_json(out)

    def probe(self):
        """Medians of several, each of which is the median of a tenth of a second."""
        if self.prober:
            several = []
            for _ in range(3):
                self.prober.stdin.write("\n")
                self.prober.stdin.flush()
                several.append(json.loads(self.prober.stdout.readline()))
            machine = several[0] | {k: statistics.median(p["sustained"][k] for p in several) for k in PROBED}
        else:
            machine = self.gale("shape:tiny@q8_0", "-p", "0", "-n", "0", "-b", "1", "-d", "0", "-r", "1")["machine"]
            machine.pop("probes")
            machine |= machine["sustained"]
        self.probes.append(machine)
        return machine

    def llama_bench(self, programs, model, *options):
        out, _, _ = execute([programs / "llama-bench", "-m", model, "-o", "json", *self.threads, *options], self.folder)
        return first_json(out)

    def sweep(self, programs, model, depth, *options):
        """Of ik: decoding at depth, then a prompt of 512 there; the same at no depth."""
        command = [programs / "llama-sweep-bench", "-m", model, *self.threads, "-c", depth + 512, "-ub", "512"]
        command += ["--sweep-stride", depth // 512, "-n", DEEP_STEPS, "--output-format", "jsonl", *options]
        out, err, _ = execute(command, self.folder)
        lines = [json.loads(line) for line in (out + err).splitlines() if line.startswith('{"n_kv_max"')]
        return {line["n_kv"]: line for line in lines}

    def model(self, shape, kind):
        name = re.sub(r"\W+", "-", shape)
        path = self.a.models / f"{name}-{kind}.gguf"
        if not path.exists():
            say(f"writing {path}")
            self.a.models.mkdir(parents=True, exist_ok=True)
            execute([self.a.gale, "synth", shape, path, "--type", kind], self.folder)
        return path


def speeds(report):
    """By (test, depth, batch): the median of the samples, of gale bench's report."""
    found = {}
    for r in report["results"]:
        if not r["test"].startswith("load"):
            found[r["test"], r["depth"], r["batch"]] = statistics.median(r["samples"])
    return found


# ---- Groups: tests that one process of each engine measures together ----


@dataclass
class Test:
    name: str
    ours: str  # key in what the group's ours() returns
    peer: str  # key in what a setting's run() returns
    unit: str = "tok/s"
    lower: bool = False  # a time, where less is better
    target: str = ""
    limit: str = READS  # what the machine must keep to while it is measured

    def better(self, a, b):
        return a < b if self.lower else a > b

    def ratio(self, ours, peer):
        return peer / ours if self.lower else ours / peer


@dataclass
class Setting:
    engine: str
    label: str
    run: object  # (repeats) -> {key: figure}


@dataclass
class Group:
    name: str
    what: str  # is measured on which model
    tests: list
    ours: object  # (repeats) -> {key: figure}
    settings: list = field(default_factory=list)
    seconds: object = None  # ({key: figure}) -> seconds of one repeat


def median_of(result):
    return statistics.median(result["samples_ts"])


def plain_peer(b, programs, model, n, options):
    def run(repeats):
        results = b.llama_bench(programs, model, "-p", 512, "-n", n, "-r", repeats, *options)
        return {"prefill" if r["n_prompt"] else "decode": median_of(r) for r in results}

    return run


def plain_settings(b, model, n, ik=None):
    found = []
    if ik or b.a.ik:
        for label, options in (("as it is", []), ("-rtr 1", ["-rtr", 1]), ("-rtr 1 -thp 1", ["-rtr", 1, "-thp", 1])):
            found.append(Setting("ik", label, plain_peer(b, ik or b.a.ik, model, n, options)))
    if b.a.llama and not ik:
        for fa in (0, 1):
            found.append(Setting("llama.cpp", f"-fa {fa}", plain_peer(b, b.a.llama, model, n, ["-fa", fa])))
    return found


def plain(b, name, what, model, n, targets, ik=None, cpu=None):
    """A prompt of 512 and n decoded tokens."""

    def ours(repeats):
        s = speeds(b.gale(model, "-p", 512, "-n", n, "-b", 1, "-d", 0, "-r", repeats, cpu=cpu))
        return {"prefill": s["prefill", 0, 1], "decode": s["decode", 0, 1]}

    tests = [Test(f"{t} {what}", t, t, target=f">= {goal}") for t, goal in zip(("prefill", "decode"), targets)]
    tests[0].name, tests[0].limit = f"prefill 512 {what}", INT8
    return Group(name, what, tests, ours, plain_settings(b, model, n, ik),
                 lambda s: 512 / s["prefill"] + n / s["decode"])  # fmt: skip


def attention(shallow, deep, layers):
    """Milliseconds a token and layer that the depth adds, from two speeds."""
    return 1000 * (1 / deep - 1 / shallow) / layers


def deep_ours(b, model, layers):
    def ours(repeats):
        found = {}
        for cache in ("f16", "q8"):
            s = speeds(b.gale(model, "-p", 512, "-n", DEEP_STEPS, "-b", 1, "-d", f"0,{b.a.deep}", "--window", 0, "--kv", cache,
                              "-r", repeats))  # fmt: skip
            found |= {f"prefill {cache}": s["prefill", b.a.deep, 1], f"decode {cache}": s["decode", b.a.deep, 1],
                      f"attention {cache}": attention(s["decode", 0, 1], s["decode", b.a.deep, 1], layers)}  # fmt: skip
        return found

    return ours


def deep_ik(b, model, layers, options):
    def run(repeats):
        rows = b.sweep(b.a.ik, model, b.a.deep, *options)
        shallow, deep = rows[0], rows[b.a.deep]
        return {"prefill": deep["speed_pp"], "decode": deep["speed_tg"],
                "attention": attention(shallow["speed_tg"], deep["speed_tg"], layers)}  # fmt: skip

    return run


def deep_llama(b, model, layers, options):
    def run(repeats):
        results = b.llama_bench(b.a.llama, model, "-p", 512, "-n", DEEP_STEPS, "-d", f"0,{b.a.deep}", "-r", repeats, *options)
        s = {(bool(r["n_prompt"]), r["n_depth"]): median_of(r) for r in results}
        return {"prefill": s[True, b.a.deep], "decode": s[False, b.a.deep],
                "attention": attention(s[False, 0], s[False, b.a.deep], layers)}  # fmt: skip

    return run


def deep(b):
    layers = b.a.deep_layers
    model = b.model(f"{b.a.shape}:layers={layers}", "q4_0")
    settings = []
    for cache in ("f16", "q8_0"):
        kv = ["-fa", "1", "-ctk", cache, "-ctv", cache]
        if b.a.ik:
            settings.append(Setting("ik", f"-rtr, {cache} cache", deep_ik(b, model, layers, [*kv, "-rtr"])))
        if b.a.llama:
            settings.append(Setting("llama.cpp", f"-fa 1, {cache} cache", deep_llama(b, model, layers, kv)))
    if b.a.ik:
        settings.append(Setting("ik", "f16 cache", deep_ik(b, model, layers, ["-fa", "1"])))
    at = f"at depth {b.a.deep:,}"
    tests = []
    for cache, prefill, alone in (("f16", ">= 1.4", ">= 1.8"), ("q8", ">= 1.8", ">= 1.8")):
        tests += [Test(f"prefill 512 {at}, ours {cache}", f"prefill {cache}", "prefill", target=prefill,
                       limit=INT8),
                  Test(f"decode {at}, ours {cache}", f"decode {cache}", "decode"),
                  Test(f"attention alone, a layer and token {at}, ours {cache}", f"attention {cache}", "attention", "ms",
                       lower=True, target=alone)]  # fmt: skip
    return Group("depth", f"{layers} layers, Q4_0, no window", tests, deep_ours(b, model, layers), settings,
                 lambda s: 4)  # fmt: skip


def saved_state(b, model, cache):
    """A text of --deepest tokens and ik's state after it: computed once for a cache type, and kept with the models."""
    words = "the cat sat on a mat and"
    text = b.a.models / f"words-{b.a.deepest}.txt"
    text.write_text(" ".join((words.split() * b.a.deepest)[: b.a.deepest - 2]))
    state = b.a.models / f"{model.stem}-{b.a.deepest}-{cache}.state"
    common = [b.a.ik / "llama-cli", "-m", model, *b.threads, "-c", b.a.deepest + 512, "-f", text, "-fa", "1", "-ctk", cache,
              "-ctv", cache, "--temp", 0, "--ignore-eos", "--no-display-prompt", "--prompt-cache"]  # fmt: skip
    if not state.exists():
        say(f"  computing ik's state after {b.a.deepest:,} tokens, {cache} cache: minutes, once")
        part = state.with_suffix(".part")
        execute([*common, part, "-n", 1, "-rtr"], b.folder)
        part.rename(state)
    return [*common, state, "--prompt-cache-ro"]


def windowed(b):
    layers, n = b.a.deep_layers, DEEP_STEPS
    model = b.model(f"{b.a.shape}:layers={layers}", "q4_0")

    def ours(repeats):
        s = speeds(b.gale(model, "-p", 0, "-n", n, "-b", 1, "-d", b.a.deepest, "--window", WINDOW, "-r", repeats))
        return {"decode": s["decode", b.a.deepest, 1]}

    def peer(cache, options):
        def run(repeats):
            command = [*saved_state(b, model, cache), "-n", n, *options]
            out, err, _ = execute(command, b.folder)
            steps = re.findall(r"[^ \w]\s+eval time =\s*([\d.]+) ms /\s*(\d+)", out + err)
            if not steps or float(steps[-1][0]) == 0 or int(steps[-1][1]) < n - 1:
                raise Failed(f"ik decoded nothing:\n{err[-1500:]}")
            return {"decode": 1000 * int(steps[-1][1]) / float(steps[-1][0])}

        return run

    settings = []
    if b.a.ik:
        for cache in ("f16", "q8_0"):
            for options in ([], ["-rtr"]):
                settings.append(Setting("ik", " ".join([*options, f"{cache} cache"]), peer(cache, options)))
    test = Test(f"decode at depth {b.a.deepest:,}, our window {WINDOW:,}, theirs all", "decode", "decode", target=">= 1.7")
    return Group("window", f"{layers} layers, Q4_0", [test], ours, settings, lambda s: n / s["decode"])


def mistral(b, kind):
    whole = kind in b.a.whole.split(",")
    shape = b.a.shape if whole else f"{b.a.shape}:layers={b.a.layers}"
    return b.model(shape, kind), kind.upper() + ("" if whole else f", {b.a.layers} layers")


def synthetic(kind, prefill, decode):
    def make(b):
        model, what = mistral(b, kind)
        return plain(b, kind, what, model, 32, (prefill, decode))

    return make


def smollm2(b):
    model = b.a.smollm2 or b.model("smollm2-135m", "q4_1")
    return plain(b, "smollm2", "SmolLM2 135M Q4_1", model, 64, (2.5, 1.6))


def avx2(b):
    if not b.a.ik_avx2:
        return None
    model = b.model(f"{b.a.shape}:layers={b.a.layers}", "q4_0")
    what = f"Q4_0, {b.a.layers} layers, AVX2 only"
    return plain(b, "avx2", what, model, 32, (1.2, 1.0), ik=b.a.ik_avx2, cpu="avx2")


GROUPS = {
    "q4_0": synthetic("q4_0", 1.6, 1.1),
    "q8_0": synthetic("q8_0", 1.5, 1.1),
    "q4_k_m": synthetic("q4_k_m", 1.5, 1.1),
    "smollm2": smollm2,
    "depth": deep,
    "window": windowed,
    "avx2": avx2,
}


# ---- Rounds ----


def apart(probes):
    """How far the probes of a round lie apart, as a share of each limit."""
    return {k: max(p[k] for p in probes) / min(p[k] for p in probes) - 1 for k in PROBED}


def counts(test, r):
    return r["apart"][test.limit] <= TOLERANCE


def try_settings(b, group):
    """Each setting once: [(setting, figures)]. One that an engine refuses is left out."""
    tried = []
    for setting in group.settings:
        try:
            figures = setting.run(1)
        except Failed as failure:
            say(f"  {setting.engine} {setting.label}: left out: {str(failure)[:300]}")
            continue
        shown = ", ".join(f"{k} {v:.4g}" for k, v in figures.items())
        say(f"  {setting.engine} {setting.label}: {shown}")
        tried.append((setting, figures))
    return tried


def best_settings(b, group, tried):
    """[(test, index into tried)]: what each test is compared with."""
    chosen = []
    for test in group.tests:
        engines = {tried[i][0].engine for i in range(len(tried))} if b.a.both else {None}
        for engine in sorted(engines, key=str):
            best = None
            for i, (setting, figures) in enumerate(tried):
                # A difference of two times that the machine's unrest made negative says nothing.
                if engine not in (None, setting.engine) or figures[test.peer] <= 0:
                    continue
                if best is None or test.better(figures[test.peer], tried[best][1][test.peer]):
                    best = i
            if best is not None:
                chosen.append((test, best))
    return chosen


def repeats_for(b, seconds):
    return max(1, min(100, round(b.a.seconds / seconds)))


def one_round(b, group, tried, used, ours_repeats):
    """Ours, every setting in use, the same backwards, ours."""
    order = ["ours", *used, *reversed(used), "ours"]
    figures, probes = {who: [] for who in order}, [b.probe()]
    for who in order:
        if who == "ours":
            figures[who].append(group.ours(ours_repeats))
        else:
            setting, first = tried[who]
            figures[who].append(setting.run(repeats_for(b, group.seconds(first))))
        probes.append(b.probe())
    means = {who: {k: statistics.mean(f[k] for f in runs) for k in runs[0]} for who, runs in figures.items()}
    return {"figures": {str(k): v for k, v in means.items()}, "probes": [{k: p[k] for k in PROBED} for p in probes],
            "apart": apart(probes)}  # fmt: skip


def rounds_of(b, group, tried, used, ours_repeats):
    rounds, start = [], time.monotonic()
    while True:
        kept = min(sum(counts(t, r) for r in rounds) for t, _ in b.chosen)
        late = time.monotonic() - start > b.a.budget
        if len(rounds) >= b.a.rounds and (kept >= b.a.rounds or late):
            return rounds
        rounds.append(one_round(b, group, tried, used, ours_repeats))
        r = rounds[-1]
        shown = "; ".join(f"{t.name.split(',')[0]} {t.ratio(r['figures']['ours'][t.ours], r['figures'][str(i)][t.peer]):.3f}"
                          for t, i in b.chosen)  # fmt: skip
        say(f"  round {len(rounds)}: {shown}; reads within {100 * r['apart'][READS]:.0f}%, "
            f"int8 within {100 * r['apart'][INT8]:.0f}%")  # fmt: skip


def summary(test, setting, index, rounds):
    kept = [r for r in rounds if counts(test, r) and
            min(r["figures"]["ours"][test.ours], r["figures"][str(index)][test.peer]) > 0]  # fmt: skip
    result = {"test": test.name, "engine": setting.engine, "setting": setting.label, "unit": test.unit,
              "target": test.target, "kept": len(kept), "rounds": len(rounds)}  # fmt: skip
    if kept:
        ours = [r["figures"]["ours"][test.ours] for r in kept]
        peer = [r["figures"][str(index)][test.peer] for r in kept]
        ratios = [test.ratio(o, p) for o, p in zip(ours, peer)]
        result |= {"ours": statistics.median(ours), "peer": statistics.median(peer), "ratio": statistics.median(ratios),
                   "lowest": min(ratios), "highest": max(ratios), "ratios": ratios}  # fmt: skip
    return result


def compare(b, name):
    group = GROUPS[name](b)
    if group is None or not group.settings:
        say(f"{name}: no engine to compare with, left out")
        return None
    say(f"{name}: {group.what}")
    tried = try_settings(b, group)
    if not tried:
        return None
    b.chosen = best_settings(b, group, tried)
    used = sorted({i for _, i in b.chosen})
    first = group.ours(1)
    ours_repeats = 2 if name == "depth" else repeats_for(b, group.seconds(first))
    rounds = rounds_of(b, group, tried, used, ours_repeats)
    return {"group": name, "model": group.what, "rounds": rounds,
            "tried": [{"engine": s.engine, "setting": s.label, "figures": f} for s, f in tried],
            "results": [summary(t, tried[i][0], i, rounds) for t, i in b.chosen]}  # fmt: skip


# ---- gale alone, against the machine's limits ----


def limit_row(name, value, spread, target):
    return {"test": name, "value": value, "spread": spread, "target": target}


def share_row(r, name, limit, target):
    """Samples are speeds, so that the spread of the share follows theirs. limit: memory or arithmetic."""
    share = r[f"of_{limit}_limit"]
    low, high = (share * f(r["samples"]) / r["tokens_per_second"] for f in (min, max))
    return limit_row(name, f"{100 * share:.0f}% of {limit}", f"{100 * low:.0f}% to {100 * high:.0f}%", target)


def find(report, test, batch=1, depth=0):
    for r in report["results"]:
        if (r["test"], r.get("batch"), r.get("depth")) == (test, batch, depth):
            return r
    raise Failed(f"gale bench printed no {test} of {batch} at depth {depth}")


def batch_rows(report, what):
    rows, one = [], find(report, "decode")["tokens_per_second"]
    for batch, target in ((4, "<= 1.10"), (8, "<= 1.25")):
        r = find(report, "decode", batch)
        cost = [batch * one / s for s in r["samples"]]
        rows.append(limit_row(f"a step of {batch} tokens against 1, {what}", f"{statistics.median(cost):.2f}",
                              f"{min(cost):.2f} to {max(cost):.2f}", target))  # fmt: skip
        rows.append(limit_row(f"time of a step of {batch} over the larger of memory's and arithmetic's, {what}",
                              f"{1 / r['of_limit']:.2f}", "", "<= 1.35 where arithmetic binds"))  # fmt: skip
    return rows


def load_rows(b, model, what):
    """Loading without the packed weights of an earlier run, and with them; peak memory."""
    report = b.gale(model, "-p", 0, "-n", 0, "-b", 1, "-d", 0, "-r", 1)
    first, again = (find(report, test, None, None) for test in ("load", "load_from_cache"))
    rows = [limit_row(f"load, {what}: first run, next run", f"{first['seconds']:.2f} s, {again['seconds']:.2f} s", "",
                      "<= 4 s, <= 0.5 s")]  # fmt: skip
    program = b.a.gale.parent / "bench_model"
    if program.exists():
        # gale bench holds the memory that its probe reads as well.
        _, _, peak = execute([program, model, *b.threads, "-p", 0, "-n", 8, "-s", 0], b.folder)
        rows.append(limit_row(f"peak memory over packed weights, {what}, {again['bytes'] / 1e9:.2f} GB",
                              f"{peak / again['bytes']:.3f}", "", "<= 1.10"))  # fmt: skip
    return rows


def limits_of_type(b, kind):
    model, what = mistral(b, kind)
    prompts = "512" if kind == "q4_0" else "0"
    batches = "1,4,8" if kind == "q4_0" else "1"
    report = b.gale(model, "-p", prompts, "-n", 32, "-b", batches, "-d", 0, "-r", b.a.repeats)
    rows = [share_row(find(report, "decode"), f"decode {what}", "memory", ">= 90%")]
    if kind == "q4_0":
        rows.append(share_row(find(report, "prefill"), f"prefill 512 {what}", "arithmetic", ">= 60%"))
        rows += batch_rows(report, what)
        rows += load_rows(b, model, what)
    return rows


def limits(b):
    rows = []
    b.probe()
    for kind in ("q4_0", "q8_0", "q4_k_m", "bf16"):
        rows += limits_of_type(b, kind)
    model, what = mistral(b, "q4_0")
    for cache in ("f16", "q8"):
        report = b.gale(model, "-p", 0, "-n", 32, "-b", 1, "-d", b.a.deep, "--window", 0, "--kv", cache, "-r", b.a.repeats)
        rows.append(share_row(find(report, "decode", 1, b.a.deep), f"decode {what} at depth {b.a.deep:,}, {cache} cache",
                              "memory", ">= 80%"))  # fmt: skip
    model = b.model("mixtral-8x7b:layers=2", "q4_0")
    report = b.gale(model, "-p", 0, "-n", 64, "-b", 1, "-d", 0, "-r", b.a.repeats)
    rows.append(share_row(find(report, "decode"), "decode Mixtral 8x7B Q4_0, 2 layers", "memory", ">= 85%"))
    return rows


# ---- Printing ----


def cpu_line():
    with open("/proc/cpuinfo") as f:
        lines = dict(line.split(":", 1) for line in f.read().split("\n\n")[0].splitlines() if ":" in line)
    values = {k.strip(): v.strip() for k, v in lines.items()}
    flags = values.get("flags", values.get("Features", "")).split()
    family, model = values.get("cpu family", "?"), values.get("model", "?")
    name = f"{values.get('model name', platform.machine())}, family {family}, model {model}"
    return name + ", " + " ".join(f for f in FLAGS if f in flags)


def machine_line(b):
    if not b.probes:
        return cpu_line()
    read, ints = ([p[k] for p in b.probes] for k in PROBED)
    return (f"{cpu_line()}; {b.a.threads} threads; gale at {b.probes[0]['cpu']}; reads {statistics.median(read) / 1e9:.1f} "
            f"GB/s ({min(read) / 1e9:.1f} to {max(read) / 1e9:.1f} in {len(read)} probes), int8 "
            f"{statistics.median(ints) / 1e9:.0f} GOPS ({min(ints) / 1e9:.0f} to {max(ints) / 1e9:.0f})")  # fmt: skip


def digits(value, unit):
    return f"{value:.3f} {unit}" if unit == "ms" else f"{value:.{1 if value < 100 else 0}f} {unit}"


def print_results(b, groups, limit_rows):
    print(machine_line(b) + "\n")
    results = [r for g in groups for r in g["results"]]
    if results:
        print("| test | gale | best peer | its setting | ratio | spread | rounds kept | target |")
        print("|---|---|---|---|---|---|---|---|")
    for r in results:
        kept = f"{r['kept']} of {r['rounds']} | {r['target']} |"
        if not r["kept"]:
            print(f"| {r['test']} | | {r['engine']} | {r['setting']} | none: the machine was unsteady | | {kept}")
            continue
        print(f"| {r['test']} | {digits(r['ours'], r['unit'])} | {r['engine']} {digits(r['peer'], r['unit'])} | "
              f"{r['setting']} | {r['ratio']:.2f} | {r['lowest']:.2f} to {r['highest']:.2f} | {kept}")  # fmt: skip
    if limit_rows:
        print("\n| gale alone | figure | spread | target |\n|---|---|---|---|")
        for r in limit_rows:
            print(f"| {r['test']} | {r['value']} | {r['spread']} | {r['target']} |")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gale", type=Path, required=True, help="the gale command")
    parser.add_argument("--ik", type=Path, help="folder of ik_llama.cpp's programs")
    parser.add_argument("--llama", type=Path, help="folder of llama.cpp's programs")
    parser.add_argument("--ik-avx2", type=Path, help="the same of an ik_llama.cpp built without AVX-512")
    parser.add_argument("--models", type=Path, required=True, help="folder of the GGUF files; what it lacks is written")
    parser.add_argument("--smollm2", type=Path, help="SmolLM2 in Q4_1 (default: a synthetic one)")
    parser.add_argument("--tests", default="all", help="with commas between: " + ", ".join([*GROUPS, "limits"]))
    parser.add_argument("--whole", default="q4_0", help="types measured with all 32 layers (default q4_0)")
    parser.add_argument("--layers", type=int, default=8, help="of the other types (8)")
    parser.add_argument("--deep-layers", type=int, default=2, help="of the tests at a depth (2)")
    parser.add_argument("--deep", type=int, default=8192, help="depth of the tests at a depth: a multiple of 512 (8192)")
    parser.add_argument("--deepest", type=int, default=32768, help="depth of the test with a window (32768)")
    parser.add_argument("--shape", default="mistral-7b", help="of the synthetic models (mistral-7b)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5, help="length of a stretch (5)")
    parser.add_argument("--budget", type=float, default=420, help="seconds a group may take for rounds in place of dropped ones")
    parser.add_argument("--repeats", type=int, default=5, help="of gale bench in the test limits (5)")
    parser.add_argument("--both", action="store_true", help="compare with the best setting of each engine")
    parser.add_argument("--cpu", help="cap gale's instruction set, e.g. avx512")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="every figure of every round, written after each group")
    a = parser.parse_args()
    names = [*GROUPS, "limits"]
    a.tests = names if a.tests == "all" else a.tests.split(",")
    for name in a.tests:
        if name not in names:
            parser.error(f"no test {name}; there are {', '.join(names)}")
    for key in ("gale", "ik", "llama", "ik_avx2", "models", "smollm2"):
        if getattr(a, key):
            setattr(a, key, getattr(a, key).resolve())
    return a


def main():
    a = arguments()
    groups, limit_rows = [], []
    # The engines leave logs where they run.
    with tempfile.TemporaryDirectory() as folder:
        b = Bench(a, folder)
        try:
            for name in a.tests:
                try:
                    if name == "limits":
                        limit_rows = limits(b)
                    elif done := compare(b, name):
                        groups.append(done)
                except Failed as failure:
                    say(f"{name}: {failure}")
                if a.json:
                    a.json.write_text(json.dumps({"machine": machine_line(b), "groups": groups, "limits": limit_rows,
                                                  "probes": b.probes}, indent=1))  # fmt: skip
        except KeyboardInterrupt:
            say("interrupted")
    if b.prober:
        b.prober.stdin.close()
        b.prober.wait()
    print_results(b, groups, limit_rows)


if __name__ == "__main__":
    main()
