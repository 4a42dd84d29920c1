#!/usr/bin/env python3
"""Compares gale's next-token distributions and greedy text on a GGUF model with llama.cpp's.

    VENV/bin/python tools/compare_logits.py MODEL.gguf --gale build/release/gale --peer LLAMA_CPP/build/bin \\
        --text TEXT [--chunks 5] [--context 1024] [--exact]

TEXT is ordinary English of at least chunks * context tokens. For the published figures it is the manifesto and
the constitution in Debian's package doc-debian:

    apt-get download doc-debian && dpkg-deb -x doc-debian_*.deb x
    zcat x/usr/share/doc/debian/debian-manifesto.gz x/usr/share/doc/debian/constitution.txt.gz > TEXT

llama.cpp's llama-perplexity cuts the text into chunks of `context` tokens, runs each from an empty cache, and with
--kl-divergence-base writes the distributions at positions context / 2 to context - 2 of each, with which ours at
the same positions of the same ids are compared. The layout of that file, little-endian:

    8 bytes "_logits_", int32 context, int32 vocab_size, int32 n_chunks, int32 ids[n_chunks][context]
    then for each chunk and each such position: float32 scale, float32 lowest, uint16 level[vocab_size], and one
    more uint16 where vocab_size is odd

A log-probability is scale * level + lowest. The levels span at most 16 nats below the likeliest token, so the scale
is at most 2.4e-4, which adds a KL of about 5e-9. All that lies lower is raised to the lowest, and in a large
vocabulary that tail gets a mass of some thousandths, enough to triple the KL; so every distribution here is cut
off at the same 16 nats before it is compared.

--exact also runs transformers in float32 on the dequantised weights, and says how far either engine is from that.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np

from reference_logits import log_softmax

SPAN = 16

PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea, there lived",
    "The three laws of thermodynamics state that",
    "To make a good cup of tea, first",
    "In 1969, the first humans landed on",
    "The main difference between a list and a tuple in Python is",
]


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed ({done.returncode}):\n{done.stderr[-2000:]}")
    return done.stdout


class PeerLogits:
    """What llama-perplexity wrote."""

    def __init__(self, path):
        self.bytes = np.memmap(path, dtype=np.uint8, mode="r")
        if bytes(self.bytes[:8]) != b"_logits_":
            sys.exit(f"{path}: not a file of llama-perplexity's distributions")
        self.context, self.vocab_size, self.n_chunks = (int(x) for x in self.bytes[8:20].view("<i4"))
        ids_end = 20 + 4 * self.n_chunks * self.context
        self.ids = self.bytes[20:ids_end].view("<i4").reshape(self.n_chunks, self.context)
        self.positions = range(self.context // 2, self.context - 1)
        row_bytes = 8 + 2 * (self.vocab_size + self.vocab_size % 2)
        self.rows = self.bytes[ids_end:].reshape(self.n_chunks, len(self.positions), row_bytes)

    def log_probabilities(self, chunk):
        rows = np.ascontiguousarray(self.rows[chunk])
        scale, lowest = (rows[:, at : at + 4].copy().view("<f4").astype(np.float64) for at in (0, 4))
        levels = rows[:, 8 : 8 + 2 * self.vocab_size].copy().view("<u2")
        return log_softmax(scale * levels + lowest)


def cut_log_softmax(logits):
    """As log_softmax, with what is more than SPAN below the likeliest raised to there, as llama-perplexity does."""
    return log_softmax(np.maximum(logits, logits.max(axis=-1, keepdims=True) - SPAN))


def kl(p, q):
    return (np.exp(p) * (p - q)).sum(axis=-1)


class Tally:
    """Figures of one pair of distributions over all positions."""

    def __init__(self, title):
        self.title, self.kl, self.same = title, [], []

    def add(self, p, q):
        self.kl.extend(kl(p, q))
        self.same.extend(p.argmax(axis=-1) == q.argmax(axis=-1))

    def __str__(self):
        return (
            f"{self.title}: mean KL {np.mean(self.kl):.2e}, median {np.median(self.kl):.2e}, largest "
            f"{np.max(self.kl):.2e}; top-1 agreement {100 * np.mean(self.same):.2f}% of {len(self.kl)} positions"
        )


def gale_logits(arguments, ids, folder):
    (folder / "ids.txt").write_text(" ".join(map(str, ids)))
    out = folder / "ours.npy"
    run(arguments.gale, "logits", arguments.model, "--ids", folder / "ids.txt", "--out", out,
        "--threads", arguments.threads, *arguments.gale_option)  # fmt: skip
    return np.load(out, mmap_mode="r")


def exact_reference(model, folder):
    from reference_logits import Reference
    from reference_models import hf_from_gguf

    hf_from_gguf(model, folder / "exact")
    return Reference(folder / "exact")


def compare_distributions(arguments, folder):
    base = folder / "peer.bin"
    run(arguments.peer / "llama-perplexity", "-m", arguments.model, "-f", arguments.text, "-c", arguments.context,
        "--chunks", arguments.chunks, "--kl-divergence-base", base, "-t", arguments.threads)  # fmt: skip
    peer = PeerLogits(base)
    exact = exact_reference(arguments.model, folder) if arguments.exact else None
    tallies = [Tally("llama.cpp from gale"), Tally("float32 from gale"), Tally("float32 from llama.cpp")]
    nll = np.zeros(2)
    bos = bos_of(arguments.model)
    for chunk in range(peer.n_chunks):
        ids = peer.ids[chunk].tolist()
        ids[0] = ids[0] if bos is None else bos
        theirs = peer.log_probabilities(chunk)
        ours = cut_log_softmax(gale_logits(arguments, ids, folder)[peer.positions])
        following = np.array(ids)[np.array(peer.positions) + 1]
        for i, p in enumerate((ours, theirs)):
            nll[i] -= p[np.arange(len(following)), following].sum()
        tallies[0].add(theirs, ours)
        if exact:
            truth = cut_log_softmax(exact.logits(ids)[peer.positions])
            tallies[1].add(truth, ours)
            tallies[2].add(truth, theirs)
    for tally in tallies if exact else tallies[:1]:
        print(tally)
    ours, theirs = np.exp(nll / len(tallies[0].kl))
    print(f"perplexity: gale {ours:.4f}, llama.cpp {theirs:.4f}")
    return peer.ids.reshape(-1).tolist()


def bos_of(model):
    """The id that llama-perplexity puts in the place of each chunk's first, or None."""
    reader = gguf.GGUFReader(model)
    adds, bos = (reader.get_field("tokenizer.ggml." + key) for key in ("add_bos_token", "bos_token_id"))
    return bos.contents() if adds and adds.contents() and bos else None


def compare_tokens(arguments, ids):
    ours = [int(i) for i in run(arguments.gale, "tokenize", arguments.model, "-f", arguments.text).split()]
    same = next((i for i, (a, b) in enumerate(zip(ours, ids)) if a != b), min(len(ours), len(ids)))
    print(f"tokens: the first {same} of {len(ids)} ids are llama.cpp's")


def compare_greedy(arguments):
    n, same = 64, 0
    for prompt in PROMPTS:
        ours = run(arguments.gale, "run", arguments.model, prompt, "--raw", "--temp", 0, "-n", n, "-q",
                   "--threads", arguments.threads, *arguments.gale_option).strip()  # fmt: skip
        theirs = run(arguments.peer / "llama-completion", "-m", arguments.model, "-p", prompt, "--temp", 0, "-n", n,
                     "-no-cnv", "--no-display-prompt", "-t", arguments.threads)  # fmt: skip
        theirs = theirs.removesuffix(" [end of text]\n\n").removesuffix("\n\n").strip()
        ours = ours.removeprefix(prompt).strip()
        common = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
        whole = ours == theirs
        same += whole
        print(f"greedy, {prompt!r}: " + ("the same" if whole else f"the same for {common} of {len(theirs)} characters"))
        if not whole:
            print(f"    gale:      ...{ours[max(0, common - 20) : common + 60]!r}")
            print(f"    llama.cpp: ...{theirs[max(0, common - 20) : common + 60]!r}")
    print(f"greedy text: {same} of {len(PROMPTS)} prompts the same over {n} tokens")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--gale", type=Path, required=True, help="gale's program")
    parser.add_argument("--gale-option", action="append", default=[], help="a word for gale: --gale-option=--kv=f32")
    parser.add_argument("--peer", type=Path, required=True, help="the folder of llama.cpp's programs")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=5)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--exact", action="store_true", help="also compare both with transformers in float32")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ids = compare_distributions(arguments, Path(folder))
    compare_tokens(arguments, ids)
    compare_greedy(arguments)


if __name__ == "__main__":
    main()
