"""gale run with a constraint: answers satisfy it at any temperature, whatever the model would say. Python 3 alone is
needed."""

import json
import re
import shutil
import subprocess
import tempfile
import unittest

from test_chat import THINKER, write_model
from test_cli import GALE

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": -3, "maximum": 12}, "s": {"enum": ["a\u00e9", "b"]},
                   "l": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2}},
    "required": ["n", "s"],
}


def run(model, *arguments, seed=1, tokens=200):
    r = subprocess.run([GALE, "run", model, "Hello", "--temp", "2", "--top-k", "0", "--top-p", "1", "--min-p",
                        "0", "--seed", str(seed), "-n", str(tokens), "-c", "512", "-q", "--threads", "1", *arguments],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    if r.returncode:
        raise AssertionError(r.stderr.decode())
    return r.stdout.decode().removesuffix("\n")


class RunConstrained(unittest.TestCase):
    """The model thinks "hm" and says "OK" where it may; all other tokens are as likely as one another."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.model = cls.folder + "/model"
        write_model(cls.model, THINKER)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def each(self):
        """Ways to ask, and seeds."""
        for how in (["--raw"], []):
            for seed in range(8):
                with self.subTest(how=how, seed=seed):
                    yield how, seed

    def answer(self, how, *arguments, seed, tokens=300):
        """The content of an answer, which thinking may come before."""
        return re.sub(r"\A\[THINK\].*?\[/THINK\]\n*", "", run(self.model, *how, *arguments, seed=seed, tokens=tokens), flags=re.S)

    def test_regex(self):
        for how, seed in self.each():
            text = self.answer(how, "--regex", "[a-c]{2,5}-\\d\\d", seed=seed)
            self.assertRegex(text, r"\A[a-c]{2,5}-\d\d\Z")

    def test_choice(self):
        found = set()
        for how, seed in self.each():
            found.add(self.answer(how, "--choice", "yes", "--choice", "no way", seed=seed))
        self.assertLessEqual(found, {"yes", "no way"})

    def test_schema(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            json.dump(SCHEMA, f)
            f.flush()
            for how, seed in self.each():
                value = json.loads(self.answer(how, "--json-schema", f.name, seed=seed))
                self.assertLessEqual(set(value), {"n", "s", "l"})
                self.assertIn(value["s"], ("a\u00e9", "b"))
                self.assertTrue(-3 <= value["n"] <= 12)
                self.assertTrue(all(isinstance(x, bool) for x in value.get("l", [])))

    def test_grammar(self):
        with tempfile.NamedTemporaryFile("w", suffix=".gbnf") as f:
            f.write('root ::= "(" root ")" | [0-9]{1,3}')
            f.flush()
            for how, seed in self.each():
                text = self.answer(how, "--grammar", f.name, seed=seed, tokens=400)
                self.assertTrue(re.fullmatch(r"\(*(\d{1,3}(\)*))?", text), text)
                if re.search(r"\d\)*$", text) and text.count("(") == text.count(")"):
                    continue
                self.assertGreater(text.count("("), text.count(")"))  # -n has cut it

    def test_thinking(self):
        """Thinking is not bound by the constraint, and comes before what is."""
        text = run(self.model, "--temp", "0", "--choice", "no", tokens=20)
        self.assertEqual(text.replace("\n", ""), "[THINK]hm[/THINK]no")

    def test_refusals(self):
        r = subprocess.run([GALE, "run", self.model, "x", "-q", "--regex", "("], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual((r.returncode, r.stdout), (1, b""))
        self.assertIn(b"--regex: byte 0", r.stderr)
        r = subprocess.run([GALE, "run", self.model, "x", "--regex", "a", "--choice", "b"], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
        self.assertEqual((r.returncode, r.stdout), (2, b""))


if __name__ == "__main__":
    unittest.main()
