#!/usr/bin/env python3
"""Makes the tiny random checkpoints of tests/data/models and their reference logits.

    python3 -m venv VENV && VENV/bin/pip install -r tools/requirements-reference.txt
    VENV/bin/python tools/make_checkpoints.py            writes tests/data/models anew
    VENV/bin/python tools/make_checkpoints.py --check    makes them elsewhere and compares

A case is a line of cases.txt: NAME MODEL REFERENCE KIND F16 Q8
    MODEL      the model's path below tests/data/models
    REFERENCE  the folder with ids.txt (token ids), logits.npy (float32 [rows, vocab_size]) and, where not
               every position is kept, rows.txt (the positions of its rows)
    KIND       float: errors as a share of the largest logit; kl: mean KL from the reference's distributions
    F16, Q8    bounds on the error that a cache of that type adds, as a share of the largest logit: twice the
               largest of several draws of random errors of the size of its rounding (see reference_logits.py)
Cases that share a reference are one model in several kinds of file, and gale gives the same bytes for all of them
(tests/engine/test_twins.c). family_cases.py has the families beyond Llama's and Mistral's plain block.
Weights depend on the case's seed alone; logits differ in their last bits from one processor to another, which
--check allows for.
"""

import argparse
import filecmp
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

import family_cases
import reference_logits
import reference_models as models
from reference_models import Shape

HOME = Path(__file__).resolve().parent.parent / "tests" / "data" / "models"
LIMIT_BYTES = 4_000_000
NOISE_DRAWS = 6


@dataclass(frozen=True)
class HfCase:
    """A Hugging Face directory, read by transformers as it stands."""

    name: str
    shape: Shape
    n_ids: int
    family: str = "mistral"
    type_name: str = "F32"
    shards: int = 1
    rows: tuple = ()  # positions to keep; empty: all
    config: dict = field(default_factory=dict)


SMALL = Shape()
LONG = Shape(dim=16, n_heads=2, n_kv_heads=1, head_dim=32, hidden_dim=24, vocab_size=48, context=32768)
ROPE = {"rope_theta": ...}
CROSSING = (0, 1, 63, 64, 511, 512, 1000, 4000, 4094, 4095, 4096, 4097, 4098, 4159, 4160, 4200, 4250, 4298, 4299)
EVERY_SEVENTH = tuple(range(0, 600, 7)) + (599,)

HF_CASES = [
    HfCase("mistral-window-8", SMALL, 50, config={"sliding_window": 8}),
    HfCase("mistral-window-1", SMALL, 30, type_name="BF16", config={"sliding_window": 1}),
    HfCase("mistral-window-length", SMALL, 40, type_name="BF16", config={"sliding_window": 40}),
    HfCase("mistral-window-null", replace(SMALL, rope_theta=1e6), 40, type_name="F16",
           config={"sliding_window": None, "head_dim": None}),
    HfCase("mistral-window-100", replace(SMALL, n_heads=6, head_dim=6), 600, type_name="BF16", rows=EVERY_SEVENTH,
           config={"sliding_window": 100}),
    HfCase("mistral-window-4096", LONG, 4300, type_name="BF16", rows=CROSSING, config={"sliding_window": 4096}),
    HfCase("mistral-window-missing", LONG, 4300, type_name="BF16", rows=CROSSING),
    HfCase("mistral-kv-heads-missing", replace(SMALL, n_heads=16, n_kv_heads=8, head_dim=2), 24, type_name="F16",
           config={"sliding_window": None, "num_key_value_heads": ...}),
    HfCase("mistral-head-dim", replace(SMALL, dim=24, n_heads=6, head_dim=12, rope_theta=1e6), 40, type_name="F16",
           config={"sliding_window": 12}),
    HfCase("mistral-head-dim-128", Shape(n_layers=1, n_heads=2, n_kv_heads=1, head_dim=128, rope_theta=1e6), 40,
           type_name="BF16", config={"sliding_window": None}),
    HfCase("mistral-odd", Shape(dim=30, n_heads=3, n_kv_heads=3, head_dim=10, hidden_dim=50, vocab_size=77), 40,
           config={"sliding_window": 9}),
    HfCase("mistral-odder", Shape(dim=33, n_heads=5, n_kv_heads=1, head_dim=14, hidden_dim=45, vocab_size=65), 40,
           type_name="BF16", config={"sliding_window": None}),
    HfCase("llama-mha", replace(SMALL, n_kv_heads=4), 40, family="llama", type_name="F16",
           config={"num_key_value_heads": ..., "head_dim": ..., "torch_dtype": "float16"}),
    HfCase("llama-mqa", replace(SMALL, n_kv_heads=1, rope_theta=5e5), 40, family="llama", type_name="BF16",
           config=ROPE | {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}, "dtype": "bfloat16"}),
    HfCase("llama-tied", Shape(dim=36, n_heads=6, head_dim=6, rope_theta=1e5, tied=True), 40, family="llama",
           type_name="BF16"),
    HfCase("llama-long", SMALL, 600, family="llama", type_name="F16", rows=EVERY_SEVENTH,
           config={"rope_scaling": None}),
    HfCase("llama-sharded", SMALL, 40, family="llama", type_name="F32", shards=3),
    HfCase("llama-defaults", replace(SMALL, norm_eps=1e-6, rope_theta=1e4), 24, family="llama", type_name="F16",
           config=ROPE | {"rms_norm_eps": ..., "tie_word_embeddings": ..., "sliding_window": 4}),
]  # fmt: skip

GGUF_SHAPE = Shape(dim=64, n_heads=4, n_kv_heads=2, head_dim=16, hidden_dim=96, vocab_size=64)
GGUF_TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]
K_SHAPE = Shape(n_layers=1, dim=256, n_heads=4, n_kv_heads=1, head_dim=64, hidden_dim=256)
K_TYPES = {"q_proj": "Q2_K", "k_proj": "Q3_K", "v_proj": "Q4_K", "o_proj": "Q5_K", "gate_proj": "Q6_K",
           "up_proj": "IQ4_NL", "down_proj": "IQ4_XS", "embed_tokens": "Q4_K"}  # fmt: skip


def ids_of(name, n, vocab_size):
    return np.random.default_rng([7, *name.encode()]).integers(0, vocab_size, n).tolist()


def seed_of(name):
    return [11, *name.encode()]


def up_to_two_digits(x):
    """x rounded up, so that the last bits of another processor don't change the figure's file much."""
    power = 10.0 ** (np.floor(np.log10(x)) - 1) if x > 0 else 1.0
    return float(np.ceil(x / power) * power)


class Maker:
    ids_of = staticmethod(ids_of)
    seed_of = staticmethod(seed_of)

    def __init__(self, home):
        self.home = home
        self.lines = []

    def keep_reference(self, name, directory, ids, rows=()):
        """Computes and keeps logits; returns the largest error that each kind of cache should add."""
        reference = reference_logits.Reference(directory)
        logits = reference.logits(ids)
        folder = self.home / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ids.txt").write_text(" ".join(map(str, ids)) + "\n")
        if rows:
            (folder / "rows.txt").write_text(" ".join(map(str, rows)) + "\n")
        np.save(folder / "logits.npy", (logits[list(rows)] if rows else logits).astype(np.float32))
        draws = 2 if len(ids) > 1000 else NOISE_DRAWS
        noises = (reference_logits.relative_noise, reference_logits.block_noise)
        bounds = [up_to_two_digits(2 * reference.cache_noise(ids, noise, draws, seed=5)) for noise in noises]
        print(f"{name}: {len(ids)} ids, logits' deviation {logits.std():.2f}, f16 {bounds[0]:.1e}, q8 {bounds[1]:.1e}")
        return reference, bounds

    def line(self, name, model, reference, kind, bounds):
        self.lines.append(f"{name} {model} {reference} {kind} {bounds[0]:.1e} {bounds[1]:.1e}")

    def hf(self, case):
        shared = "mistral-window-4096" if case.name == "mistral-window-missing" else case.name
        weights = models.random_weights(case.shape, seed_of(shared))
        config = models.hf_config(case.shape, case.family, **case.config)
        directory = self.home / case.name
        models.write_hf(directory, config, weights, case.type_name, case.shards)
        ids = ids_of(shared, case.n_ids, case.shape.vocab_size)
        _, bounds = self.keep_reference(shared, directory, ids, case.rows)
        self.line(case.name, case.name, shared, "float", bounds)
        return weights, bounds

    def twins_of_window_8(self, weights, bounds):
        """The same model as Mistral's own directory and as GGUF: same logits."""
        name = "mistral-window-8"
        models.write_mistral(self.home / "native-window-8", SMALL, weights, sliding_window=8)
        self.line("native-window-8", "native-window-8", name, "float", bounds)
        models.write_gguf(self.home / "gguf-window-8" / "model.gguf", SMALL, weights, "F32", window=8)
        self.line("gguf-window-8", "gguf-window-8/model.gguf", name, "float", bounds)

    def native_layer_windows(self):
        """Windows that differ by layer: a list in params.json, layer_types in the Hugging Face twin."""
        name, shape = "native-layer-windows", replace(SMALL, n_layers=3, rope_theta=1e6)
        weights = models.random_weights(shape, seed_of(name))
        windows = [6, None, 6]
        models.write_mistral(self.home / name, shape, weights, "BF16", sliding_window=windows)
        kinds = ["sliding_attention" if w else "full_attention" for w in windows]
        config = models.hf_config(shape, "ministral", sliding_window=6, layer_types=kinds)
        with tempfile.TemporaryDirectory() as twin:
            models.write_hf(Path(twin), config, weights, "BF16")
            _, bounds = self.keep_reference(name, twin, ids_of(name, 50, shape.vocab_size))
        self.line(name, name, name, "float", bounds)

    def gguf(self, name, shape, type_name, **options):
        """A GGUF file; its reference is computed from the weights that the file holds, dequantised."""
        weights = models.random_weights(shape, seed_of("gguf"))
        held = models.write_gguf(self.home / name / "model.gguf", shape, weights, type_name, **options)
        with tempfile.TemporaryDirectory() as twin:
            models.write_hf(Path(twin), models.hf_config(shape, "llama"), held)
            ids = ids_of("gguf", 40, shape.vocab_size)
            reference, bounds = self.keep_reference(name, twin, ids)
        floating = type_name in models.TORCH_TYPES
        if not floating:
            print(f"    8-bit activations alone: mean KL {reference.activation_kl(ids):.1e}")
        self.line(name, f"{name}/model.gguf", name, "float" if floating else "kl", bounds)

    def all(self):
        for case in HF_CASES:
            weights, bounds = self.hf(case)
            if case.name == "mistral-window-8":
                self.twins_of_window_8(weights, bounds)
        self.native_layer_windows()
        for type_name in GGUF_TYPES:
            self.gguf("gguf-" + type_name.lower(), GGUF_SHAPE, type_name)
        tied = replace(GGUF_SHAPE, tied=True, rope_theta=1e5)
        self.gguf("gguf-q4_1-tied-q8_0", tied, "Q4_1", types={"embed_tokens": "Q8_0"})
        self.gguf("gguf-k", K_SHAPE, "Q6_K", types=K_TYPES)
        family_cases.all_cases(self)
        header = "# Made by tools/make_checkpoints.py, which says what the columns mean.\n"
        (self.home / "cases.txt").write_text(header + "\n".join(self.lines) + "\n")


def differs(kept, made):
    if kept.name == "logits.npy":
        a, b = np.load(kept), np.load(made)
        return a.shape != b.shape or np.abs(a - b).max() > 2e-5 * np.abs(b).max()
    if kept.name == "cases.txt":
        a, b = (f.read_text().splitlines() for f in (kept, made))
        figures = [[float(x) for line in lines[1:] for x in line.split()[4:]] for lines in (a, b)]
        words = [[line.split()[:4] for line in lines] for lines in (a, b)]
        return words[0] != words[1] or not np.allclose(*figures, rtol=0.05)
    return not filecmp.cmp(kept, made, shallow=False)


def files_below(folder):
    return {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}


def check(home):
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        Maker(made).all()
        ours, theirs = files_below(home), files_below(made)
        wrong = sorted(ours ^ theirs) + [n for n in sorted(ours & theirs) if differs(home / n, made / n)]
    for name in wrong:
        print(f"{name}: not as made now", file=sys.stderr)
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the files in the repository")
    arguments = parser.parse_args()
    if arguments.check:
        return check(HOME)
    Maker(HOME).all()
    size = sum(p.stat().st_size for p in HOME.rglob("*") if p.is_file())
    print(f"{size} bytes in all")
    return 0 if size <= LIMIT_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
