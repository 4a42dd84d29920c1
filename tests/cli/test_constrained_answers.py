"""gale run under random constraints, with tiny random models of every kind of tokenizer at temperature 2: each answer that
ended satisfies its constraint, by judges that know nothing of gale (tools/constraint_oracles.py). tools/random_answers.py is
the same at length. GALE in the environment is the tool's path.
"""

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GALE = os.path.abspath(os.environ.get("GALE", os.path.join(ROOT, "build/release/gale")))
TEXTS = os.path.join(ROOT, "tests/data/text")
TOKENIZERS = {"smollm.json": "tokenizer.json", "cut.model": "tokenizer.model", "twin.json": "tokenizer.json"}
ANSWERS = int(os.environ.get("GALE_ANSWERS", "12"))  # of each kind, for each tokenizer
LIMIT = 150  # tokens
sys.path.insert(0, os.path.join(ROOT, "tools"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import constraint_oracles as oracles  # noqa: E402
import test_quantize as checkpoints  # noqa: E402


class Answers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="gale-answers-")
        cls.models = {}
        for tokenizer, name in TOKENIZERS.items():
            path = os.path.join(TEXTS, tokenizer)
            info = subprocess.run([GALE, "tokenize", path, "a"], capture_output=True, check=True)
            assert info.stdout
            cls.models[tokenizer] = cls.make_model(path, os.path.join(cls.folder.name, tokenizer), name)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def make_model(cls, tokenizer, folder, name):
        """Rows beyond the tokenizer's words are never drawn, so that a model may have some too many."""
        config = checkpoints.LLAMA | {"architectures": ["LlamaForCausalLM"], "vocab_size": 4096, "num_hidden_layers": 1,
                                      "max_position_embeddings": 1024}  # fmt: skip
        checkpoints.save_hf(folder, config)
        with open(tokenizer, "rb") as source, open(os.path.join(folder, name), "wb") as copy:
            copy.write(source.read())
        return folder

    def write(self, text):
        path = os.path.join(self.folder.name, "constraint")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def answer(self, model, seed, *constraint):
        """The answer, or None if it was cut off or the constraint is refused."""
        r = subprocess.run([GALE, "run", model, "Answer:", "--raw", "--temp", "2", "--top-k", "0", "--top-p", "1", "--min-p", "0",
                            "-s", str(seed), "-n", str(LIMIT), *constraint],
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=120)  # fmt: skip
        errors = r.stderr.decode()
        self.assertIn(r.returncode, (0, 1), errors)
        if r.returncode == 1:
            self.assertRegex(errors, r"^gale: [^\n]*(byte \d+|/)[^\n]*\n$")
            return None
        tokens = int(re.search(r"answer: (\d+) token", errors)[1])
        return r.stdout.decode() if tokens < LIMIT else None

    def check(self, option, make, oracle):
        judged = 0
        for seed, (tokenizer, model) in enumerate(self.models.items()):
            rng = random.Random(seed)
            for i in range(ANSWERS):
                text = make(rng)
                given = text if option == "--regex" else self.write(text)
                answer = self.answer(model, i, f"{option}={given}")
                if answer is None:
                    continue
                # The terminal's line end is no part of it.
                whole = [answer] + ([answer[:-1]] if answer.endswith("\n") else [])
                with self.subTest(text=text, tokenizer=tokenizer):
                    self.assertTrue(any(map(oracle(text), whole)), answer)
                judged += 1
        self.assertGreater(judged, ANSWERS)

    def test_schemas(self):
        self.check("--json-schema", lambda rng: json.dumps(oracles.random_schema(rng)), oracles.schema_oracle)

    def test_regular_expressions(self):
        try:
            oracles.Pcre2()
        except OSError:
            self.skipTest("libpcre2-8 is not there")
        self.check("--regex", oracles.random_regex, oracles.regex_oracle)

    def test_grammars(self):
        self.check("--grammar", oracles.random_grammar, oracles.grammar_oracle)

    def test_choices_and_json(self):
        for seed in range(ANSWERS):
            for model in self.models.values():
                answer = self.answer(model, seed, "--choice", "yes", "--choice", "no", "--choice", "nobody")
                self.assertIn(answer.rstrip("\n"), ("yes", "no", "nobody"))
                answer = self.answer(model, seed, "--json")
                self.assertTrue(answer is None or isinstance(json.loads(answer), dict), answer)


if __name__ == "__main__":
    unittest.main()
