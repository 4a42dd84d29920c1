"""/v1/completions and /v1/embeddings: lists of prompts, echo, log-probabilities against gale logits, streams, errors. GALE in the
environment is the tool's path."""

import base64
import math
import os
import re
import struct
import subprocess
import tempfile
import unittest

import test_constrained_answers as random_models
from serving import GALE, ROOT, Server

PATH = "/v1/completions"
TEXT = "The quick brown fox"


def read_npy(path):
    """Rows of 32-bit floats."""
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<H", data[8:10])[0]
    header = eval(data[10 : 10 + n])  # noqa: S307 - a Python literal by definition of the format
    rows, columns = header["shape"]
    floats = struct.unpack(f"<{rows * columns}f", data[10 + n :])
    return [floats[i * columns : (i + 1) * columns] for i in range(rows)]


class Completions(unittest.TestCase):
    tokenizer, name, bos = "smollm.json", "tokenizer.json", ()

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="gale-serve-")
        tokenizer = os.path.join(ROOT, "tests/data/text", cls.tokenizer)
        cls.model = random_models.Answers.make_model(tokenizer, os.path.join(cls.folder.name, "random"), cls.name)
        cls.server = Server(cls.model, "-q")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.folder.cleanup()

    def good(self, **body):
        r = self.server.post(PATH, {"prompt": TEXT, "temperature": 0, "max_tokens": 6, **body})
        self.assertEqual(r.status, 200, r.body)
        return r.json

    def ids(self, text):
        out = subprocess.run([GALE, "tokenize", self.model, text, *self.bos], capture_output=True, check=True).stdout
        return [int(i) for i in out.split()]

    def test_form(self):
        answer = self.good()
        self.assertEqual(answer["object"], "text_completion")
        self.assertEqual(set(answer["choices"][0]), {"index", "text", "logprobs", "finish_reason"})
        self.assertEqual(answer["usage"]["completion_tokens"], 6)
        self.assertEqual(self.good(max_tokens=None, ignore_eos=True)["usage"]["completion_tokens"], 16)

    def test_prompts(self):
        ids = self.ids(TEXT)
        alone = [self.good(seed=5 + i, temperature=1)["choices"][0]["text"] for i in range(4)]
        several = self.good(prompt=[TEXT, TEXT], n=2, seed=5, temperature=1)["choices"]
        self.assertEqual([c["text"] for c in several], alone)
        self.assertEqual([c["index"] for c in several], [0, 1, 2, 3])
        for prompt in (ids, [ids], [TEXT]):
            self.assertEqual(self.good(prompt=prompt, seed=5, temperature=1)["choices"][0]["text"], alone[0])

    def test_streams(self):
        for body in ({}, {"echo": True}, {"echo": True, "logprobs": 2}, {"n": 2, "logprobs": 0}, {"prompt": [TEXT, "b"], "echo": True}):
            whole = self.good(seed=1, temperature=1.5, **body)
            r = self.server.post(PATH, {"prompt": TEXT, "temperature": 1.5, "max_tokens": 6, "seed": 1, "stream": True, **body})
            for c in whole["choices"]:
                mine = [e["choices"][0] for e in r.events if e["choices"][0]["index"] == c["index"]]
                self.assertEqual("".join(m["text"] for m in mine), c["text"])
                self.assertEqual(mine[-1]["finish_reason"], c["finish_reason"])
                for key in c["logprobs"] or {}:
                    pieces = [m["logprobs"][key] for m in mine if m["logprobs"]]
                    self.assertEqual([x for piece in pieces for x in piece], c["logprobs"][key])

    def test_scores_are_those_of_logits(self):
        ids = self.ids(TEXT)
        out = os.path.join(self.folder.name, "logits.npy")
        given = os.path.join(self.folder.name, "ids.txt")
        with open(given, "w") as f:
            f.write(" ".join(map(str, ids)))
        subprocess.run([GALE, "logits", self.model, "--ids", given, "--out", out], check=True, capture_output=True)
        # Rows beyond the tokenizer's words, which this model has too many of, are never drawn.
        r = self.server.post(PATH, {"prompt": "x", "logit_bias": {"999999": 0}})
        drawable = int(re.search(r'to "(\d+)"', r.json["error"]["message"])[1]) + 1
        rows = [row[:drawable] for row in read_npy(out)]
        answer = self.good(prompt=ids, max_tokens=0, echo=True, logprobs=3)["choices"][0]
        lists = answer["logprobs"]
        self.assertEqual(answer["text"], TEXT)
        self.assertEqual({len(v) for v in lists.values()}, {len(ids)})
        self.assertIsNone(lists["token_logprobs"][0])
        self.assertIsNone(lists["top_logprobs"][0])
        for i in range(1, len(ids)):
            row = rows[i - 1]
            most = max(row)
            total = most + math.log(math.fsum(math.exp(x - most) for x in row))
            self.assertAlmostEqual(lists["token_logprobs"][i], row[ids[i]] - total, places=9)
            self.assertAlmostEqual(max(lists["top_logprobs"][i].values()), most - total, places=9)
            self.assertIn(lists["token_logprobs"][i], lists["top_logprobs"][i].values())
        offsets, at = [], 0
        for i, token in enumerate(lists["tokens"]):
            offsets.append(at)
            at += 0 if self.bos and i == 0 else len(token)
        self.assertEqual(lists["text_offset"], offsets)
        # Generated behind echoed ones, in one list; a greedy token is the best.
        lists = self.good(echo=True, logprobs=1)["choices"][0]["logprobs"]
        self.assertEqual(len(lists["tokens"]), len(ids) + 6)
        for number, top in list(zip(lists["token_logprobs"], lists["top_logprobs"]))[len(ids) :]:
            self.assertEqual(number, max(top.values()))

    def test_errors(self):
        for param, values in {
            "prompt": [None, "", [], 3, {}, ["a"] * 129],
            "prompt[1]": [["a", ""], ["a", 3], ["a", []]],
            "prompt[0]": [[-1], [10**9], [[]]],
            "prompt[1][0]": [[[1], [-1]]],
        }.items():
            for value in values:
                r = self.server.post(PATH, {"prompt": value})
                with self.subTest(prompt=str(value)[:40]):
                    self.assertEqual((r.status, r.json["error"]["param"]), (400, param), r.body)
        for body in ({"logprobs": 21}, {"logprobs": True}, {"echo": "x"}, {"max_tokens": -2}, {"suffix": 3}):
            r = self.server.post(PATH, {"prompt": TEXT, **body})
            self.assertEqual((r.status, r.json["error"]["param"]), (400, next(iter(body))), r.body)
        r = self.server.post(PATH, {"prompt": [1] * 1024})
        self.assertEqual((r.status, r.json["error"]["code"]), (400, "context_length_exceeded"))

    def test_suffix(self):
        """With what lies between; a vocabulary without the marks cannot."""
        r = self.server.post(PATH, {"prompt": TEXT, "suffix": "x", "max_tokens": 2})
        self.assertEqual(r.status, 200 if self.bos else 400, r.body)
        r = self.server.post("/v1/fim/completions", {"prompt": TEXT, "suffix": "x", "max_tokens": 2})
        self.assertEqual((r.status, r.json["object"]), (200, "chat.completion") if self.bos else (400, "error"))

    def test_text_is_whole_characters(self):
        for seed in range(8):
            r = self.good(temperature=3, seed=seed, max_tokens=30, logprobs=2)["choices"][0]
            r["text"].encode()
            for token in r["logprobs"]["tokens"]:
                token.encode()

    def test_echo_of_ids_that_are_no_text(self):
        for token in range(0, 600, 7):
            self.assertEqual(self.good(prompt=[token, 5, token], echo=True, logprobs=1, max_tokens=0)["choices"][0]["index"], 0)

    def test_embeddings(self):
        ask = lambda **b: self.server.post("/v1/embeddings", {"input": [TEXT, "b"], **b})  # noqa: E731
        r = ask()
        self.assertEqual(r.status, 200, r.body)
        for given, coded in zip(r.json["data"], ask(encoding_format="base64").json["data"]):
            raw = base64.b64decode(coded["embedding"])
            self.assertEqual(list(struct.unpack(f"<{len(raw) // 4}f", raw)), [struct.unpack("<f", struct.pack("<f", x))[0] for x in given["embedding"]])
            self.assertAlmostEqual(sum(x * x for x in given["embedding"]), 1, places=5)
        alone = ask(input=TEXT, encoding_format="base64").json["data"][0]
        self.assertEqual(alone, ask(encoding_format="base64").json["data"][0])
        self.assertEqual(ask(input=self.ids(TEXT), encoding_format="base64").json["data"][0], alone)
        for param, body in {"input": {"input": None}, "dimensions": {"dimensions": 3}, "encoding_format": {"encoding_format": "x"}}.items():
            self.assertEqual((ask(**body).status, ask(**body).json["error"]["param"]), (400, param))


class SentencePiece(Completions):
    """The same with a vocabulary whose texts begin with a space that is not there."""

    tokenizer, name, bos = "cut.model", "tokenizer.model", ("--bos",)


if __name__ == "__main__":
    unittest.main()
