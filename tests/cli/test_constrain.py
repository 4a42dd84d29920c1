"""gale constrain against its contract. GALE in the environment is the tool's path; Python 3 alone is needed."""

import json
import os
import re
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GALE = os.path.abspath(os.environ.get("GALE", os.path.join(ROOT, "build/release/gale")))
TEXTS = os.path.join(ROOT, "tests/data/text")
TOKENIZERS = [os.path.join(TEXTS, name) for name in ("smollm.json", "tekken.json", "cut.model", "twin.json")]
TIMEOUT = 60


class Constrain(unittest.TestCase):
    def run_gale(self, *arguments, stdin=b""):
        return subprocess.run([GALE, "constrain", *arguments], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=TIMEOUT)

    def check(self, texts, *arguments, tokenizer=TOKENIZERS[0]):
        """The lines for texts."""
        lines = "".join(json.dumps(t) + "\n" for t in texts).encode()
        r = self.run_gale(tokenizer, *arguments, "--check", "-", stdin=lines)
        self.assertEqual((r.returncode, r.stderr), (0, b""))
        found = r.stdout.decode().splitlines()
        self.assertEqual(len(found), len(texts))
        return found

    def expect(self, verdicts, *arguments):
        """verdicts: text -> None, or the byte where it is refused. The same with every kind of tokenizer."""
        for tokenizer in TOKENIZERS:
            for (text, byte), line in zip(verdicts.items(), self.check(verdicts, *arguments, tokenizer=tokenizer)):
                with self.subTest(text=text, tokenizer=tokenizer):
                    if byte is None:
                        self.assertEqual(line, "accepted")
                    else:
                        self.assertTrue(line.startswith(f"refused at byte {byte}: "), line)

    def refuse(self, status, says, *arguments, stdin=b""):
        r = self.run_gale(*arguments, stdin=stdin)
        message = r.stderr.decode()
        self.assertEqual((r.returncode, r.stdout, message.count("\n")), (status, b"", 1), message)
        self.assertIn(says, message)
        return message

    def file(self, content):
        f = tempfile.NamedTemporaryFile()
        self.addCleanup(f.close)
        f.write(content if isinstance(content, bytes) else content.encode())
        f.flush()
        return f.name

    def test_regex(self):
        self.expect({"x1": None, "x": 1, "": 0, "x12y": None, "\u00e9": 0}, "--regex", "x[0-9]+y?")

    def test_regex_knows_characters(self):
        self.expect({"\u00e9\u4e2d": None, "\u00e9": 2}, "--regex", "..")

    def test_choice(self):
        self.expect({"yes": None, "no": None, "ye": 2, "": 0, "maybe": 0}, "--choice", "yes", "--choice", "no")

    def test_many_choices(self):
        choices = [x for i in range(1024) for x in ("--choice", f"c{i}")]
        self.expect({"c0": None, "c1023": None, "c": 1}, *choices)
        self.refuse(2, "more than 1024 times", TOKENIZERS[0], *choices, "--choice", "x", "--check", "-")

    def test_json(self):
        self.expect({'{"a": [1, null, {"b": "\\u00e9\\n"}]}': None, "{}": None, "{": 1, "[]": 0, "1": 0}, "--json")

    def test_schema(self):
        schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}, "age": {"type": "integer"}},
                  "required": ["name"]}
        self.expect({'{"name": "\u00e9t\u00e9", "age": 7}': None, '{"name":"x"}': None, '{"name": "abcd"}': 13, '{"age": 7}': 2,
                     '{"name": "x"': 12}, "--json-schema", self.file(json.dumps(schema)))  # fmt: skip

    def test_grammar(self):
        grammar = 'root ::= "(" root ")" | [a-z]+ # nested\n'
        self.expect({"((x))": None, "ab": None, "((x)": 4, "(1": 1, "": 0}, "--grammar", self.file(grammar))

    def test_a_refusal_names_the_token(self):
        line = self.check(["yes?"], "--choice", "yes")[0]
        self.assertRegex(line, r"^refused at byte 3: token \d+ \(\?\) may not come here$")
        self.assertEqual(self.check(["y"], "--choice", "yes")[0], "refused at byte 1: the text may not end here")

    def test_control_tokens_are_text(self):
        self.expect({"</s>": 0, "<|im_end|>": 0, "a": None}, "--regex", "[a-z]+")
        self.expect({"</s>": None}, "--regex", "</s>")

    def test_objects_have_times(self):
        lines = self.check(["aab", "aa", "c"], "--regex", "a*b", "--json")
        objects = [json.loads(line) for line in lines]
        self.assertEqual([o["accepted"] for o in objects], [True, False, False])
        self.assertEqual([o.get("byte") for o in objects], [None, 2, 0])
        self.assertNotIn("why", objects[0])
        self.assertIn("may not come here", objects[2]["why"])
        for o in objects:
            self.assertGreater(o["compile_us"], 0)
            self.assertTrue(o["mask_us"] and all(us >= 0 for us in o["mask_us"]), o)
        self.assertEqual(len(objects[2]["mask_us"]), 1)

    def test_what_does_not_compile(self):
        for says, arguments in [
            ("--regex: byte 0", ["--regex", "("]),
            ("--regex: byte", ["--regex", "(?=a)b"]),
            ("--regex: byte", ["--regex", r"(a)\1"]),
            ("twice", ["--choice", "a", "--choice", "a"]),
            ("/properties/a/pattern: byte 0", ["--json-schema", self.file('{"properties": {"a": {"pattern": "("}}}')]),
            ("/$ref", ["--json-schema", self.file('{"$ref": "https://example.com/x"}')]),
            ("byte", ["--json-schema", self.file('{"type": ')]),
            ("byte 0", ["--grammar", self.file('root ::= root "x" | "y"')]),
            ("byte 9", ["--grammar", self.file("root ::= other")]),
            ("No such file", ["--json-schema", "/does/not/exist"]),
            ("No such file", ["--grammar", "/does/not/exist"]),
        ]:
            with self.subTest(arguments=arguments):
                self.refuse(1, says, TOKENIZERS[0], *arguments, "--check", "-", stdin=b'"a"\n')

    def test_wrong_usage(self):
        for says, arguments in [
            ("none of", ["--check", "-"]),
            ("more than one of", ["--regex", "a", "--choice", "b", "--check", "-"]),
            ("more than one of", ["--json-schema", "x", "--grammar", "b", "--json", "--check", "-"]),
            ("--check FILE is missing", ["--regex", "a"]),
            ("the text is empty", ["--choice", "", "--check", "-"]),
        ]:
            with self.subTest(arguments=arguments):
                self.refuse(2, says, TOKENIZERS[0], *arguments)

    def test_wrong_lines(self):
        r = self.run_gale(TOKENIZERS[0], "--regex", "a", "--check", "-", stdin=b'"a"\n{}\n"a"\n')
        self.assertEqual((r.returncode, r.stdout), (1, b"accepted\n"))
        self.assertTrue(re.search(rb"line 2 is not a JSON string", r.stderr), r.stderr)


if __name__ == "__main__":
    unittest.main()
