#!/usr/bin/env python3
"""Clients that ask again when they are answered: gale's engine beside the HTTP servers of other engines, on one file.

    bench/serve_peers.py --gale build/release/gale --model MODEL.gguf --clients 1,4,8,32 --save FILE \\
        --peer "llama.cpp=LLAMA/llama-server -m {model} --port {port} -np {clients} -c {context} -t 2 -fa on -cram 0" \\
        --peer "ik -rtr=IK/llama-server -m {model} --port {port} -np {clients} -c {context} -t 2 -fa on -rtr -cram 0"
    bench/serve_peers.py --report FILE

A turn has each engine answer the same requests of a scenario clients-N of `gale bench --serve`, which says how many they
are: prompts of 200 to 1,000 random ids, drawn as gale draws them, answers of 128 tokens, greedy, ends ignored. Every
second turn (--turns) goes backwards. gale is measured in its process by gale bench, the others through POST
/v1/completions of OpenAI's protocol, streaming, by threads of this process, which share the processors with the server.
A server is started for each measurement, gets one short request first, and is ended after it. --url NAME=URL measures
one that runs already, such as gale's own; --gale may then be left out, with --vocabulary in its place. Each measurement
is a line of JSON in --save; --report prints the medians of all that a file holds, and the ratios of gale to each other
engine turn by turn. Run nothing else meanwhile. Needs Python 3 alone.
"""

import argparse
import http.client
import json
import math
import shlex
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

SEED = 0
REQUESTS = {1: 4, 4: 8, 8: 16, 32: 32}  # as in gale's table of scenarios
LEAST_PROMPT, MOST_PROMPT, ANSWER = 200, 1000, 128
START_SECONDS, ANSWER_SECONDS = 120, 1800


class Failed(Exception):
    pass


def say(text):
    print(text, file=sys.stderr, flush=True)


class SplitMix64:
    """The generator of gale bench --serve."""

    def __init__(self, seed):
        self.state = seed

    def draw(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        z = self.state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)


def scaled(size, scale):
    return max(4, math.floor(size * scale + 0.5))


def prompts(n, vocabulary, scale):
    random = SplitMix64(SEED)
    least, most = scaled(LEAST_PROMPT, scale), scaled(MOST_PROMPT, scale)
    lengths_and_ids = []
    for _ in range(n):
        length = least + random.draw() % (most - least + 1)
        lengths_and_ids.append([random.draw() % vocabulary for _ in range(length)])
    return lengths_and_ids


def percentile(samples, percent):
    """The smallest sample that at least so many per cent of all do not exceed."""
    return sorted(samples)[(len(samples) * percent + 99) // 100 - 1] if samples else 0


# ---- A server ----


class Server:
    """A server by its URL."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.host, self.port = parts.hostname, parts.port or 80

    def ask(self, prompt, n):
        """Times at which pieces of the answer came, and the number of tokens if the server tells it."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=ANSWER_SECONDS)
        body = {"model": "default", "prompt": prompt, "max_tokens": n, "temperature": 0, "ignore_eos": True,
                "stream": True, "stream_options": {"include_usage": True}}  # fmt: skip
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise Failed(f"{response.status}: {response.read(500).decode(errors='replace')}")
        times, told = [], None
        for line in iter(response.readline, b""):
            now = time.monotonic()
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            event = json.loads(line[6:])
            if event.get("usage"):
                told = event["usage"]["completion_tokens"]
            # The last piece says why the answer ended; it can be empty.
            if event.get("choices") and (event["choices"][0].get("text") or not event["choices"][0].get("finish_reason")):
                times.append(now)
        connection.close()
        return times, told


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Started(Server):
    """A server that lives as long as the `with`."""

    def __init__(self, command, values):
        self.port = free_port()
        self.command = [word.format(port=self.port, **values) for word in shlex.split(command)]
        super().__init__(f"http://127.0.0.1:{self.port}")

    def __enter__(self):
        self.child = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.child.poll() is None:
            try:
                connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.2)
        self.__exit__()
        raise Failed(f"{shlex.join(self.command)} did not get ready")

    def __exit__(self, *_):
        self.child.terminate()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def closed_loop(server, asked, clients, answer):
    """Each client takes the next request when it is answered. Figures as gale bench --serve prints them."""
    server.ask(asked[0][:64], 4)
    left, lock = list(reversed(asked)), threading.Lock()
    answers, failures = [], []

    def client():
        while True:
            with lock:
                if not left or failures:
                    return
                prompt = left.pop()
            submitted = time.monotonic()
            try:
                times, told = server.ask(prompt, answer)
                if told not in (None, answer) or not times:
                    raise Failed(f"an answer of {told} tokens in {len(times)} pieces, where {answer} were asked for")
                answers.append((submitted, times))
            except (OSError, ValueError, http.client.HTTPException, Failed) as e:
                failures.append(e)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    start = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise Failed(str(failures[0]))
    seconds = max(times[-1] for _, times in answers) - start
    first = [times[0] - submitted for submitted, times in answers]
    between = [b - a for _, times in answers for a, b in zip(times, times[1:])]
    return {"tokens_per_second": len(asked) * answer / seconds, "seconds": seconds,
            "first_token": [percentile(first, p) for p in (50, 99)],
            "between_tokens": [percentile(between, p) for p in (50, 99)]}  # fmt: skip


# ---- Measuring ----


def gale_json(gale, *arguments):
    r = subprocess.run([gale, *map(str, arguments)], stdout=subprocess.PIPE, check=False)
    if r.returncode != 0:
        raise Failed(f"gale {' '.join(map(str, arguments))} failed")
    return json.loads(r.stdout)


def measure_gale(a, clients, asked):
    options = ["--serve", "--scenario", f"clients-{clients}", "-s", SEED, "--scale", a.scale, "-t", a.threads, "--json"]
    r = gale_json(a.gale, "bench", a.model, *options)["results"][0]
    if r["prompt_tokens"] != sum(map(len, asked)):
        raise Failed("gale's prompts are others")
    times = {k: [r[k]["p50"], r[k]["p99"]] for k in ("first_token", "between_tokens")}
    return {"tokens_per_second": r["tokens_per_second"], "seconds": r["seconds"][0], **times}


def named(words):
    """NAME=VALUE, ... as a dictionary."""
    return dict(word.split("=", 1) for word in words)


def measure(a, clients, turn, vocabulary):
    asked = prompts(REQUESTS[clients], vocabulary, a.scale)
    answer = scaled(ANSWER, a.scale)
    values = {"model": a.model, "clients": clients, "context": clients * (scaled(MOST_PROMPT, a.scale) + answer + 24)}
    engines = {"gale": lambda: measure_gale(a, clients, asked)} if a.gale else {}
    for name, url in named(a.url).items():
        engines[name] = lambda url=url: closed_loop(Server(url), asked, clients, answer)
    for name, command in named(a.peer).items():

        def run(command=command):
            with Started(command, values) as server:
                return closed_loop(server, asked, clients, answer)

        engines[name] = run
    for name in reversed(engines) if turn % 2 else engines:
        figures = engines[name]()
        say(f"{clients} clients, turn {turn}: {name}: {figures['tokens_per_second']:.1f} tok/s")
        line = {"model": Path(a.model).name, "clients": clients, "turn": turn, "engine": name, **figures}
        with open(a.save, "a", encoding="utf-8") as f:
            f.write(json.dumps(line) + "\n")


# ---- Reporting ----


def spread(numbers):
    text = f"{statistics.median(numbers):.2f}"
    return text if len(numbers) == 1 else f"{text} ({min(numbers):.2f} to {max(numbers):.2f})"


def row(lines, ours, key):
    """The lines of one engine as a row of the table."""
    model, clients, engine = key
    speeds = {line["turn"]: line["tokens_per_second"] for line in lines}
    both = [ours[turn] / speed for turn, speed in speeds.items() if turn in ours]
    ratio = spread(both) if both and engine != "gale" else ""
    times = [[1e3 * statistics.median(line[k][i] for line in lines) for i in (0, 1)]
             for k in ("first_token", "between_tokens")]  # fmt: skip
    cells = [model, clients, engine, f"{statistics.median(speeds.values()):.1f}", ratio]
    return "| " + " | ".join(map(str, cells + [f"{p50:.0f} / {p99:.0f}" for p50, p99 in times])) + " |"


def report(path):
    groups = {}
    for text in Path(path).read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        groups.setdefault((line["model"], line["clients"], line["engine"]), []).append(line)
    print("| model | clients | engine | tok/s | gale over it | first token, ms: median / p99 | between tokens |")
    print("|---|---|---|---|---|---|---|")
    for key in sorted(groups, key=lambda k: (k[0], k[1], k[2] != "gale", k[2])):
        ours = {line["turn"]: line["tokens_per_second"] for line in groups.get((*key[:2], "gale"), [])}
        print(row(groups[key], ours, key))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--gale", help="the gale command, for its engine without a network")
    p.add_argument("--model", help="a GGUF file, for {model} in commands and for gale")
    p.add_argument("--clients", default="1,4,8,32", help="of " + ", ".join(map(str, REQUESTS)))
    p.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND",
                   help="a server to start; {model}, {port}, {clients} and {context}, of all clients, are replaced")
    p.add_argument("--url", action="append", default=[], metavar="NAME=URL", help="a server that runs")
    p.add_argument("--threads", type=int, default=0, help="of gale (0: one for each processor)")
    p.add_argument("--vocabulary", type=int, help="ids that prompts may have; default: what gale says of the model")
    p.add_argument("--scale", type=float, default=1, help="prompts and answers so many times as long")
    p.add_argument("--turns", type=int, default=1)
    p.add_argument("--first-turn", type=int, default=0, help="number of the first turn, to go on with a file")
    p.add_argument("--save", metavar="FILE")
    p.add_argument("--report", metavar="FILE")
    a = p.parse_args()
    if a.report:
        return report(a.report)
    if not (a.save and a.model and (a.gale or a.vocabulary)):
        p.error("--model, --save, and --gale or --vocabulary are wanted")
    vocabulary = a.vocabulary
    if not vocabulary:
        info = gale_json(a.gale, "info", a.model, "--json")
        vocabulary = min(info["hyperparameters"]["vocab_size"], (info["tokenizer"] or {}).get("size", math.inf))
    for turn in range(a.first_turn, a.first_turn + a.turns):
        for clients in map(int, a.clients.split(",")):
            measure(a, clients, turn, vocabulary)
    return None


if __name__ == "__main__":
    try:
        main()
    except (Failed, OSError) as e:
        sys.exit(f"serve_peers.py: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
