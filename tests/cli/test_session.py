"""Conversations that are kept in files: gale run --session."""

import os
import re

import unittest

from test_chat import CALLER, CONTROL_D, PLAIN, write_model
from test_cli import Case, Terminal

TINY = "shape:tiny@q8_0"
FEW = ["-n", "6", "--temp", "0", "-c", "256"]


class Session(Case):
    def model(self, chains=PLAIN):
        path = self.path("model")
        if not os.path.exists(path):
            write_model(path, chains)
        return path

    def run_it(self, *arguments):
        """Standard output, and tokens of the prompt that were reused."""
        r = self.gale("run", *arguments)
        self.assertEqual(r.returncode, 0, r.stderr.decode())
        reused = re.search(r"\((\d+) of them reused\)", r.stderr.decode())
        return r.stdout, int(reused[1]) if reused else 0

    def bytes_of(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def test_goes_on(self):
        model, session = self.model(), self.path("s")
        self.assertEqual(self.run_it(model, "Hi", "--session", session, *FEW), (b"OK\n", 0))
        out, reused = self.run_it(model, "More", "--session", session, *FEW)
        self.assertEqual(out, b"OK\n")
        self.assertGreater(reused, 3)
        before = reused
        out, reused = self.run_it(model, "And more", "--session", session, *FEW)
        self.assertGreater(reused, before + 4)
        self.assertEqual([n for n in os.listdir(self.folder) if "session" in n], [])
        self.assertEqual(os.stat(session).st_mode & 0o777, 0o600)

    def test_plain_text_is_what_it_is_in_one(self):
        """The texts put together, in two runs or in one with the same ids, go on alike."""
        for kv in ("f16", "f32", "q8"):
            with self.subTest(kv=kv):
                session = self.path("s" + kv)
                run = [TINY, "--raw", "-q", *FEW, "--kv", kv]
                first = self.good("run", *run, "Once upon a time", "--session", session)
                second = self.good("run", *run, "there was", "--session", session)
                whole = b"Once upon a time" + first.removesuffix(b"\n") + b"there was"
                try:
                    text = whole.decode()
                except UnicodeDecodeError:
                    self.skipTest("the tiny model's answer is no text")
                self.assertEqual(second, self.good("run", *run, text))

    def test_chat(self):
        model = self.model()
        for name in ("Ann", "Bob"):
            t = Terminal(self.environment, self.folder, "run", model, "--temp", "0", "--session", "s")
            t.wait(">>> ")
            t.send(f"I am {name}\n")
            t.wait("OK")
            t.wait(">>> ")
            t.send("/save chat.json\n")
            t.wait("saved ")
            t.wait(">>> ")
            t.send("/stats\n")
            shown = t.wait(">>> ")
            t.send(CONTROL_D)
            self.assertEqual(t.status(), 0)
        self.assertIn("reused", shown)
        saved = self.bytes_of("chat.json").decode()
        self.assertIn("I am Ann", saved)
        self.assertIn("I am Bob", saved)
        out, reused = self.run_it(model, "Who?", "--session", "s", *FEW)
        self.assertEqual(out, b"OK\n")
        self.assertGreater(reused, 10)

    def test_killed_chat(self):
        """What was answered is kept, though the chat never came to its end."""
        model = self.model()
        t = Terminal(self.environment, self.folder, "run", model, "--temp", "0", "--session", "s")
        t.wait(">>> ")
        t.send("I am Ann\n")
        t.wait("OK")
        t.wait(">>> ")
        os.kill(t.pid, 9)
        t.status()
        self.assertGreater(self.run_it(model, "Who?", "--session", "s", *FEW)[1], 4)

    def test_open_calls(self):
        model = self.model(CALLER)
        self.assertIn(b"fg", self.run_it(model, "Hi", "--session", "s", "--temp", "0", "-c", "512")[0])
        self.bad(1, "run", model, "Hi", "--session", "s", *FEW, says="calls tools")

    def test_bad_files(self):
        """Each is an error that says what is wrong, and the file stays."""
        model = self.model()
        self.run_it(model, "Hi", "--session", "s", *FEW)
        good = self.bytes_of("s")
        cases = [b"", b"text", good[:-1], good[1:], good[:len(good) // 2], good[:100] + b"x" + good[101:]]
        for bad in cases:
            self.write("bad", bad)
            self.bad(1, "run", model, "Hi", "--session", "bad", *FEW, says="bad: ")
            self.assertEqual(self.bytes_of("bad"), bad)
        self.bad(1, "run", model, "Hi", "--session", "s", *FEW, "--kv", "q8", says="of type f16, and this session's of q8")
        self.bad(1, "run", model, "Hi", "--session", "s", *FEW, "--window", "9", says="other windows")
        self.bad(1, "run", TINY, "Hi", "--session", "s", *FEW, says="another model")
        self.bad(1, "run", model, "Hi", "--session", "s", "-c", "3", says="exceed the context of 3")
        self.bad(1, "run", model, "Hi", "--session", self.folder, *FEW, says="not a regular file")
        self.assertEqual(self.bytes_of("s"), good)

    def test_not_written(self):
        model = self.model()
        r = self.gale("run", model, "Hi", "--session", "none/s", *FEW)
        self.assertEqual((r.returncode, r.stdout), (1, b"OK\n"))
        self.assertIn(b"none", r.stderr)


if __name__ == "__main__":
    unittest.main()
