#!/usr/bin/env python3
"""Generates random answers under random constraints, and has each checked by something that knows nothing of gale.

usage: random_answers.py libgale.so MODEL... [--answers N] [--constraints N] [--seed N] [--tokens N] [--temperature X]

A third of the constraints each are JSON schemas (checked by jsonschema), regular expressions (by PCRE2) and grammars (by
an Earley parser): constraint_oracles.py makes them. "random:TOKENIZER" as MODEL is a tiny one with random weights and
that tokenizer. Answers are drawn at the temperature from the model's logits under the masks. Prints each answer that is
not valid, and a table; exits with 1 if there was one. Answers that --tokens cut off are counted apart; the
constraint must take their text byte by byte.

Needs numpy, jsonschema and rfc3339-validator from PyPI, and libpcre2-8.
"""
import argparse
import collections
import ctypes
import json
import pathlib
import random
import sys
import tempfile
from ctypes import POINTER, byref, c_float, c_int, c_int32, c_size_t, c_void_p

import numpy

import constraint_oracles as oracles
import gale_constraint
from gale_library import Refusal, Tokenizer

TESTS = pathlib.Path(__file__).parent.parent / "tests"
TOGETHER = 16


class Input(ctypes.Structure):
    _fields_ = [("sequence", c_int32), ("tokens", POINTER(c_int32)), ("n_tokens", c_int32), ("logits", c_int)]


class SessionOptions(ctypes.Structure):
    """The first fields of gale_session_options."""

    _fields_ = [("size", c_size_t), ("threads", c_int), ("context", c_int32), ("window", c_int32), ("chunk", c_int32),
                ("max_sequences", c_int32)]  # fmt: skip


class Model:
    def __init__(self, library, path, n_tokens):
        call = gale_constraint.call
        self.library, self.model, self.session = library, c_void_p(), c_void_p()
        library.gale_logits.restype = POINTER(c_float)
        library.gale_model_tokenizer.restype = c_void_p
        call(library.gale_model_open, str(path).encode(), None, byref(self.model))
        self.tokenizer = Tokenizer.__new__(Tokenizer)
        self.tokenizer.library, self.tokenizer.handle = library, c_void_p(library.gale_model_tokenizer(self.model))
        options = SessionOptions()
        library.gale_session_defaults_sized(byref(options), c_size_t(ctypes.sizeof(options)))
        options.context, options.max_sequences = n_tokens + 64, TOGETHER
        call(library.gale_session_open, self.model, byref(options), byref(self.session))
        self.size = library.gale_tokenizer_size(self.tokenizer.handle)
        library.gale_tokenizer_is_end.restype = ctypes.c_bool
        self.ends = {i for i in range(self.size) if library.gale_tokenizer_is_end(self.tokenizer.handle, c_int32(i))}

    def open(self):
        sequence = c_int32()
        gale_constraint.call(self.library.gale_sequence_open, self.session, byref(sequence))
        return sequence.value

    def close(self, sequence):
        gale_constraint.call(self.library.gale_sequence_close, self.session, c_int32(sequence))

    def step(self, texts):
        """texts: sequence -> new ids. Returns sequence -> logits."""
        arrays = {s: (c_int32 * len(ids))(*ids) for s, ids in texts.items()}
        inputs = (Input * len(texts))(*(Input(s, a, len(a), 1) for s, a in arrays.items()))
        gale_constraint.call(self.library.gale_step, self.session, inputs, c_size_t(len(inputs)))
        rows = {s: self.library.gale_logits(self.session, c_int32(s), c_size_t(0)) for s in texts}
        return {s: numpy.ctypeslib.as_array(row, (self.size,)) for s, row in rows.items()}


def random_model(folder, tokenizer, library):
    """A Hugging Face directory with random weights and a copy of the tokenizer."""
    sys.path.insert(0, str(TESTS / "cli"))
    import test_quantize

    opened = Tokenizer(library, tokenizer)
    config = test_quantize.LLAMA | {"architectures": ["LlamaForCausalLM"], "vocab_size": library.gale_tokenizer_size(opened.handle),
                                    "max_position_embeddings": 4096}  # fmt: skip
    opened.close()
    test_quantize.save_hf(folder, config)
    name = "tokenizer.json" if tokenizer.suffix == ".json" else "tokenizer.model"
    (folder / name).write_bytes(tokenizer.read_bytes())
    return folder


KINDS = [("schemas", gale_constraint.JSON_SCHEMA, lambda rng: json.dumps(oracles.random_schema(rng)), oracles.schema_oracle),
         ("regular expressions", gale_constraint.REGEX, oracles.random_regex, oracles.regex_oracle),
         ("grammars", gale_constraint.GRAMMAR, oracles.random_grammar, oracles.grammar_oracle)]  # fmt: skip


def random_constraints(table, rng, n, counts):
    """(kind's name, text, constraint, oracle) of those that gale takes."""
    found = []
    while len(found) < n:
        name, kind, make, oracle = KINDS[len(found) % len(KINDS)]
        text = make(rng)
        try:
            constraint = table.compile(kind, text, open=rng.random() < 0.5, any_order=rng.random() < 0.5)
        except Refusal as refusal:
            counts[name, "refused constraints"] += 1
            if counts[name, "refused constraints"] > 100 * n:
                sys.exit(f"{name}: nothing is taken: {refusal}")
            continue
        counts[name, "constraints"] += 1
        found.append((name, text, constraint, oracle(text)))
    return found


class Answer:
    def __init__(self, model, constraint):
        self.name, self.text, self.constraint, self.valid = constraint
        self.model, self.state, self.sequence = model, self.constraint.begin(), model.open()
        self.ids, self.next, self.ended = [], model.tokenizer.encode("Answer:"), False

    def take(self, logits, draw, temperature):
        mask = numpy.frombuffer(self.state.mask(), numpy.uint8)
        allowed = numpy.flatnonzero(numpy.unpackbits(mask, bitorder="little")[: self.model.size])
        if not len(allowed):
            raise RuntimeError(f"{self.text!r}: no token may come behind {self.ids}")
        scores = logits[allowed].astype(numpy.float64) / temperature
        weights = numpy.exp(scores - scores.max()).cumsum()
        token = int(allowed[numpy.searchsorted(weights, draw * weights[-1])])
        if token in self.model.ends:
            self.ended = True
        else:
            self.state.accept(token)
            self.ids.append(token)
            self.next = [token]

    def takes(self, data):
        state = self.constraint.begin()
        taken = state.accept_bytes(data)
        state.close()
        return taken == len(data)

    def close(self):
        self.state.close()
        self.model.close(self.sequence)


def judge(answer, counts):
    data = answer.model.tokenizer.decode(answer.ids)
    try:
        fine = answer.valid(data.decode()) if answer.ended else answer.takes(data)
    except (UnicodeDecodeError, RecursionError) as e:
        fine = False
        print(f"{type(e).__name__}:", end=" ")
    kind = "cut off" if not answer.ended else "valid" if fine else "wrong"
    counts[answer.name, kind] += 1
    if not fine:
        print(f"{answer.name}: {answer.text!r} is not satisfied by {data!r}", flush=True)


def generate(model, constraints, n, rng, arguments, counts):
    """n answers, some at a time; as one ends, the next begins."""
    waiting, running = [constraints[i % len(constraints)] for i in range(n)], []
    while waiting or running:
        while waiting and len(running) < TOGETHER:
            running.append(Answer(model, waiting.pop()))
        rows = model.step({a.sequence: a.next for a in running})
        for a in list(running):
            a.take(rows[a.sequence], rng.random(), arguments.temperature)
            if a.ended or len(a.ids) == arguments.tokens:
                judge(a, counts)
                a.close()
                running.remove(a)


COLUMNS = ("constraints", "refused constraints", "valid", "wrong", "cut off")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--answers", type=int, default=10000, help="for each model")
    parser.add_argument("--constraints", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--temperature", type=float, default=2)
    arguments = parser.parse_args()
    library, wrong = ctypes.CDLL(str(pathlib.Path(arguments.library).resolve())), 0
    for name in arguments.models:
        rng, counts = random.Random(arguments.seed), collections.Counter()
        with tempfile.TemporaryDirectory() as folder:
            path = name
            if name.startswith("random:"):
                path = random_model(pathlib.Path(folder) / "m", pathlib.Path(name.removeprefix("random:")), library)
            model = Model(library, path, arguments.tokens)
        table = gale_constraint.MaskTable(library, model.tokenizer)
        constraints = random_constraints(table, rng, arguments.constraints, counts)
        generate(model, constraints, arguments.answers, rng, arguments, counts)
        print(f"| {name} | " + " | ".join(COLUMNS) + " |")
        print("|---|" + "---|" * len(COLUMNS))
        for kind, *_ in KINDS:
            print(f"| {kind} | " + " | ".join(str(counts[kind, c]) for c in COLUMNS) + " |")
            wrong += counts[kind, "wrong"]
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
