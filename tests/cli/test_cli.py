"""The gale command against its contract. GALE in the environment is the tool's path; Python 3 alone is needed.

Cases that need text need a tokenizer, and so the demo model in the user's cache (make demo fetches it); without it
they are skipped. All others use the tiny checkpoints in tests/data/models and synthetic shapes.
"""

import array
import ast
import json
import os
import pty
import re
import resource
import select
import shlex
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GALE = os.path.abspath(os.environ.get("GALE", os.path.join(ROOT, "build/release/gale")))
TINY = os.path.join(ROOT, "tests/data/models/gguf-f32/model.gguf")
TINY_IDS = os.path.join(ROOT, "tests/data/models/gguf-f32/ids.txt")
TINY_DIRECTORY = os.path.join(ROOT, "tests/data/models/mistral-window-8")
CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
TIMEOUT = 120


def demo_model():
    folder = os.path.join(CACHE, "gale/models/smollm2")
    files = [f for f in os.listdir(folder) if f.endswith(".gguf")] if os.path.isdir(folder) else []
    return os.path.join(folder, files[0]) if len(files) == 1 else None


DEMO = os.environ.get("GALE_TEST_MODEL") or demo_model()
needs_demo = unittest.skipUnless(DEMO, "the demo model is not in the cache (make demo fetches it)")


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="gale-cli-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.environment = dict(os.environ, XDG_CACHE_HOME=self.path("cache"), XDG_STATE_HOME=self.path("state"),
                                HOME=self.folder, LC_ALL="C.UTF-8")

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, content):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return path

    def gale(self, *arguments, stdin=b"", stdout=subprocess.PIPE):
        stdin = stdin if isinstance(stdin, bytes) else stdin.encode()
        return subprocess.run([GALE, *arguments], input=stdin, stdout=stdout, stderr=subprocess.PIPE,
                              env=self.environment, timeout=TIMEOUT, cwd=self.folder)

    def good(self, *arguments, stdin=b""):
        """Runs what must succeed; returns standard output."""
        r = self.gale(*arguments, stdin=stdin)
        self.assertEqual(r.returncode, 0, r.stderr.decode())
        return r.stdout

    def bad(self, status, *arguments, stdin=b"", says=""):
        """Runs what must fail with one line on standard error and nothing on standard output; returns the line."""
        r = self.gale(*arguments, stdin=stdin)
        message = r.stderr.decode()
        self.assertEqual(r.returncode, status, message)
        self.assertEqual(r.stdout, b"")
        self.assertEqual(message.count("\n"), 1, message)
        self.assertTrue(message.startswith("gale"), message)
        self.assertIn(says, message)
        return message


def commands():
    text = subprocess.run([GALE, "help"], stdout=subprocess.PIPE, check=True, timeout=TIMEOUT).stdout.decode()
    return re.findall(r"^  ([a-z]+) +\S", text.split("Commands:")[1].split("\n\n")[0], re.M)


class Usage(Case):
    def test_wrong_usage_is_one_line_and_2(self):
        for says, arguments in [
            ("no command", []),
            ("did you mean 'run'", ["runn"]),
            ("unknown command 'xyzzy'", ["xyzzy"]),
            ("unknown option '--frobnicate'", ["--frobnicate"]),
            ("gale run MODEL [PROMPT]", ["run"]),
            ("unexpected argument 'words'", ["run", "m", "two", "words"]),
            ("did you mean '--temp'", ["run", "m", "p", "--tmep", "1"]),
            ("did you mean '--threads'", ["run", "m", "p", "--thread", "1"]),
            ("unknown option '-x'", ["run", "m", "p", "-x"]),
            ("unknown option '-n3'", ["run", "m", "p", "-n3"]),
            ("-n needs N", ["run", "m", "p", "-n"]),
            ("--raw takes no value", ["run", "m", "p", "--raw=1"]),
            ("--stop: the text is empty", ["run", "m", "p", "--stop="]),
            ("contradict", ["run", "m", "p", "-v", "-q"]),
            ("one is wanted", ["run", "m", "p", "-f", "x"]),
            ("--raw", ["run", "m", "p", "--raw", "--system", "x"]),
            ("--ids FILE is missing", ["logits", "m", "--out", "x"]),
            ("--out OUT.npy is missing", ["logits", "m", "--ids", "x"]),
            ("--type TYPE is missing", ["synth", "tiny", "x.gguf"]),
            ("more than one of", ["tokenize", "m", "text", "-f", "x"]),
            ("more than one of", ["tokenize", "m", "--lines", "x", "--chat", "y"]),
            ("--template goes with --chat", ["tokenize", "m", "text", "--template", "chatml"]),
            ("unexpected argument", ["detokenize", "m", "1"]),
            ("unexpected argument", ["list", "all"]),
            ("unknown option '--temp'", ["tokenize", "m", "text", "--temp", "1"]),
            ("did you mean 'info'", ["help", "imfo"]),
            ("not one of bash, zsh, fish", ["help", "--completion", "csh"]),
        ]:
            with self.subTest(arguments=arguments):
                self.bad(2, *arguments, says=says)

    def test_numbers_are_strict_and_the_message_has_the_range(self):
        for option, values, says in [
            ("-n", ["", "x", "1x", " 1", "1.5", "0x10", "-2", "2147483648", "99999999999999999999"], "from -1 to 2147483647"),
            ("-t", ["-1", "1025", "1e1"], "from 0 to 1024"),
            ("-c", ["-1"], "from 0 to 2147483647"),
            ("--window", ["-1", "w"], "from 0 to 2147483647"),
            ("--chunk", ["0", "1048577"], "from 1 to 1048576"),
            ("--temp", ["-0.1", "nan", "inf", "1e308", "0x1", "1,5", ""], "from 0 to 100"),
            ("--top-p", ["0", "1.01", "-1"], "above 0 and up to 1"),
            ("--min-p", ["-0.1", "1.1"], "from 0 to 1"),
            ("--repeat-penalty", ["0", "-1"], "above 0"),
            ("--top-k", ["-1"], "from 0"),
            ("--repeat-last-n", ["-2", "x"], "from -1 to 1048576"),
            ("--presence-penalty", ["101", "x"], "from -100 to 100"),
            ("--dry-allowed-length", ["0"], "from 1"),
            ("--typical", ["0"], "above 0 and up to 1"),
            ("--xtc-probability", ["1.5"], "from 0 to 1"),
            ("--mirostat", ["1"], "0, 2"),
            ("-s", ["-1", "18446744073709551616", "x"], "from 0 to 18446744073709551615"),
            ("--kv", ["f64", ""], "f16, f32, q8"),
            ("--cpu", ["sse"], "generic, avx2, avxvnni, avx512, amx, neon"),
        ]:
            for value in values:
                with self.subTest(option=option, value=value):
                    self.assertIn(f"'{value}'", self.bad(2, "run", "m", "p", option, value, says=says))

    def test_forms_of_options(self):
        # Each gets as far as the model, which is not there.
        for arguments in [["--temp=0", "m", "p"], ["m", "--temp", "0", "p"], ["-n", "-1", "m", "p"],
                          ["-s", "18446744073709551615", "m", "p"], ["-q", "--", "m", "--temp"], ["m", "--", "-n"],
                          ["m", "p", "--stop", "a", "--stop=b"], ["m", "p", "--threads=2", "-t", "1"]]:
            with self.subTest(arguments=arguments):
                self.bad(1, "run", *arguments, says="no model 'm'")
        self.bad(2, "run", "m", "p", *["--stop=x"] * 17, says="more than 16 times")


class Help(Case):
    def test_help_and_version(self):
        self.assertRegex(self.good("--version").decode(), r"\Agale \d+\.\d+\.\d+\n\Z")
        overview = self.good("help")
        self.assertEqual(overview, self.good("--help"))
        self.assertEqual(overview, self.good("-h"))
        for name in ("run", "info", "tokenize", "detokenize", "logits", "synth", "list", "help"):
            self.assertIn(name, commands())

    def test_help_of_every_command(self):
        for name in commands():
            with self.subTest(command=name):
                text = self.good("help", name)
                self.assertTrue(text.startswith(b"usage: gale "), text)
                self.assertLess(max(len(line) for line in text.decode().split("\n")), 81)
                for option in ("--help", "-h"):
                    self.assertEqual(self.good(name, option), text)

    def test_what_does_not_fit_into_memory_is_refused(self):
        line = self.bad(1, "run", "shape:mistral-large:layers=640@f32", "x", says="the weights take ")
        self.assertIn("--no-memory-check", line)

    def test_man_page_and_completions_are_current(self):
        for path, arguments in [("man/gale.1", ["--man"]), ("completions/gale.bash", ["--completion", "bash"]),
                                ("completions/_gale", ["--completion", "zsh"]),
                                ("completions/gale.fish", ["--completion", "fish"])]:
            with self.subTest(path=path), open(os.path.join(ROOT, "apps/gale", path), "rb") as f:
                self.assertEqual(f.read(), self.good("help", *arguments),
                                 f"make it anew: gale help {' '.join(arguments)} >apps/gale/{path}")

    def test_completions_are_valid(self):
        for shell in ("bash", "zsh", "fish"):
            if shutil.which(shell):
                with self.subTest(shell=shell):
                    script = self.write("script", self.good("help", "--completion", shell))
                    subprocess.run([shell, "-n", script], check=True, timeout=TIMEOUT)

    def test_bash_completes(self):
        if not shutil.which("bash"):
            self.skipTest("no bash")
        self.write("cache/gale/models/demo/model.gguf", b"")
        script = self.write("script", self.good("help", "--completion", "bash"))
        for words, wanted in [(["gale", "ru"], "run"), (["gale", "run", "--kv", "q"], "q8"),
                              (["gale", "info", "--ten"], "--tensors"), (["gale", "info", "de"], "demo")]:
            quoted = " ".join(f"'{w}'" for w in words)
            program = f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _gale; echo ${{COMPREPLY[@]}}"
            r = subprocess.run(["bash", "-c", program], stdout=subprocess.PIPE, env=self.environment, check=True,
                               timeout=TIMEOUT, cwd=self.folder)
            self.assertEqual(r.stdout.decode().split(), [wanted])

    def test_bash_completes_names_with_spaces(self):
        if not shutil.which("bash"):
            self.skipTest("no bash")
        self.write("My model (Q4).gguf", b"")
        script = self.write("script", self.good("help", "--completion", "bash"))
        for typed in ("My", "My\\ mo", "'My mo", '"My model (', "My\\ model\\ \\("):
            for words in (["gale", "info", typed], ["gale", "logits", "m", "--ids", typed]):
                program = (f"source {script}; COMP_WORDS=({' '.join(map(shlex.quote, words))}); "
                           f'COMP_CWORD={len(words) - 1}; _gale; printf "%s\\n" "${{COMPREPLY[@]}}"')
                r = subprocess.run(["bash", "-c", program], stdout=subprocess.PIPE, env=self.environment, check=True,
                                   timeout=TIMEOUT, cwd=self.folder)
                self.assertEqual(r.stdout.decode().splitlines(), ["My model (Q4).gguf"], words)

    @needs_demo
    def test_completed_values_are_accepted(self):
        text = self.good("help", "--completion", "bash").decode()
        values = {name: re.search(rf" --{name}\) COMPREPLY=.*compgen -W '([^']*)'", text).group(1).split()
                  for name in ("type", "template")}
        for t in values["type"]:
            with self.subTest(type=t):
                r = self.gale("synth", "smollm2-135m:layers=1", self.path("x.gguf"), "--type", t)
                if r.returncode:  # of these rows some are too short for blocks of 256
                    self.assertIn(b"has rows of 576", r.stderr)
        for t in values["template"]:
            with self.subTest(template=t):
                self.bad(1, "tokenize", DEMO, "--template", t, "--chat", self.write("r.json", b"{}"), says="messages")

    def test_lost_output_is_an_error(self):
        with open("/dev/full", "wb") as full:
            for arguments in (["help"], ["--version"], ["info", "shape:mistral-7b"], ["help", "--man"]):
                r = self.gale(*arguments, stdout=full)
                self.assertEqual(r.returncode, 1)
                self.assertIn(b"standard output: No space left on device", r.stderr)

    def test_closed_pipe_is_quiet(self):
        for ignored in (False, True):
            reader, writer = os.pipe()
            os.close(reader)
            restore = (lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN)) if ignored else None
            p = subprocess.Popen([GALE, "help"], stdout=writer, stderr=subprocess.PIPE, preexec_fn=restore,
                                 restore_signals=True)
            os.close(writer)
            message = p.communicate(timeout=TIMEOUT)[1]
            self.assertEqual(message, b"")
            self.assertIn(p.returncode, (1, 141, -signal.SIGPIPE))


class Models(Case):
    def test_unknown_model(self):
        message = self.bad(1, "info", "nothing", says="no model 'nothing'")
        self.assertIn("GGUF", message)
        self.bad(1, "info", "./nothing")
        self.write("cache/gale/models/anything/x.gguf", b"")
        self.bad(1, "info", "nothing", says=self.path("cache/gale/models"))
        self.bad(1, "info", "anythin", says="did you mean 'anything'")
        for name in ("", ".", "..", "../models"):
            self.assertEqual(self.gale("info", name).returncode, 1)
        self.bad(1, "run", "shape:nothing", "x")

    def test_list(self):
        r = self.gale("list")
        self.assertEqual((r.returncode, r.stdout), (0, b""))
        self.assertIn(b"no models", r.stderr)
        folder = self.path("cache/gale/models")
        os.makedirs(folder + "/tiny")
        shutil.copy(TINY, folder + "/tiny/model.gguf")
        shutil.copytree(TINY_DIRECTORY, folder + "/directory")
        self.write("cache/gale/models/broken/model.gguf", b"GGUF")
        os.makedirs(folder + "/empty")
        lines = self.good("list").decode().split("\n")
        self.assertEqual(lines[0].split(), ["NAME", "TYPE", "SIZE", "STORE", "PATH"])
        self.assertEqual([line.split()[0] for line in lines[1:-1]], ["broken", "directory", "empty", "tiny"])
        self.assertIn("GGUF F32", lines[4])
        self.assertIn(folder + "/tiny/model.gguf", lines[4])
        self.assertIn("Hugging Face", lines[2])
        for name in ("tiny", "directory"):
            self.assertEqual(json.loads(self.good("info", name, "--json"))["hyperparameters"]["n_heads"] > 0, True)
        self.bad(1, "info", "empty", says="no such GGUF")
        self.bad(1, "info", "broken")

    def test_of_two_files_a_tag_chooses_and_shards_are_one(self):
        folder = self.path("cache/gale/models/two")
        os.makedirs(folder)
        shutil.copy(TINY, folder + "/a.gguf")
        shutil.copy(os.path.join(ROOT, "tests/data/models/gguf-q4_0/model.gguf"), folder + "/b.gguf")
        self.assertIn(b"Q4_0", self.good("info", "two"))
        self.assertNotIn(b"Q4_0", self.good("info", "two:a"))
        os.remove(folder + "/b.gguf")
        os.rename(folder + "/a.gguf", folder + "/m-00001-of-00002.gguf")
        self.bad(1, "info", "two", says="m-00002-of-00002.gguf: the model is not complete")


class PackedWeights(Case):
    def setUp(self):
        super().setUp()
        self.environment["GALE_CACHE_LEAST"] = "0"
        self.packed = self.path("cache/gale/packed")

    def logits(self, *arguments):
        """What is said on standard error; the logits must be the same each time."""
        r = self.gale("logits", TINY, "--ids", TINY_IDS, "--out", "logits.npy", "-v", *arguments)
        self.assertEqual(r.returncode, 0, r.stderr.decode())
        with open(self.path("logits.npy"), "rb") as f:
            content = f.read()
        self.assertEqual(content, getattr(self, "content", content))
        self.content = content
        return r.stderr.decode()

    def kept(self):
        return sorted(os.listdir(self.packed)) if os.path.isdir(self.packed) else []

    def test_kept_and_taken(self):
        self.assertNotIn("cache:", self.logits("--no-cache"))
        self.assertEqual(self.kept(), [])
        self.assertIn("cache: kept for the next start", self.logits())
        names = self.kept()
        self.assertRegex(names[0], r"^[0-9a-f]{32}\.packed$")
        self.assertIn(self.path(self.packed, names[0]), self.logits())
        self.assertNotIn("cache:", self.logits("--no-cache"))
        self.assertEqual(self.kept(), names)
        self.assertRegex(self.logits(), r"opened in \d+\.\d\d s, peak memory \d")

    def test_list_and_prune(self):
        self.logits()
        self.good("logits", TINY, "--ids", TINY_IDS, "--out", "other.npy", "--quant", "q8_0")
        with open(self.path(self.packed, "0" * 32 + ".packed"), "wb") as f:
            f.write(b"x" * 100)
        table = self.good("list").decode().strip().split("\n")
        self.assertEqual(table[0].split("  ")[0], "PACKED, LAST USED")
        self.assertEqual(sorted(re.split("  +", line)[1] for line in table[1:]), ["as stored", "damaged", "q8_0"])
        self.assertEqual(sum(TINY in line for line in table), 2)
        r = self.gale("list", "--prune")
        self.assertEqual((r.returncode, r.stdout), (0, b""))
        self.assertRegex(r.stderr, rb"^\d.*removed\n$")
        self.assertEqual(self.kept(), [])
        self.assertEqual(self.gale("list", "--prune").returncode, 0)
        self.assertEqual(self.good("list"), b"")
        self.assertIn("kept for the next start", self.logits())

    def test_small_models_are_not_kept(self):
        del self.environment["GALE_CACHE_LEAST"]
        self.assertIn("cache: not kept: the model is small", self.logits())
        self.assertEqual(self.kept(), [])

    def test_settings_of_the_environment(self):
        self.environment["GALE_CACHE_LIMIT"] = "1K"
        self.assertIn("cache: not kept: ", self.logits())
        self.assertEqual(self.kept(), [])
        for value in ("x", "-1", "1X", "1KB", " 1", "99999999999999999999", "18446744073709551615K"):
            self.environment["GALE_CACHE_LIMIT"] = value
            self.bad(1, "run", TINY, "x", says=f"GALE_CACHE_LIMIT is '{value}'")
        self.environment["GALE_CACHE_LIMIT"] = "1G"
        self.assertIn("kept for", self.logits())

    def test_a_cache_that_cannot_be_written_is_none(self):
        self.write("cache/gale/packed", b"")
        self.assertIn("cache: not kept: ", self.logits())


class Info(Case):
    def test_kv_table_of_mistral_7b(self):
        text = self.good("info", "shape:mistral-7b").decode()
        tables = {t.split("\n")[0]: t for t in text.split("\n\n  ")}
        row = lambda title: re.search(r"^ +8,192 +(.*)$", tables[title], re.M).group(1)
        cells = lambda title: re.split(r"\s{2,}", row(title))
        self.assertEqual(cells("f16, all 32 layers"), ["512 MiB", "1 GiB", "2 GiB", "4 GiB"])
        self.assertEqual(cells("f32, all 32 layers")[1:], ["2 GiB", "4 GiB", "8 GiB"])
        self.assertEqual(cells("f32, one layer"), ["32 MiB", "64 MiB", "128 MiB", "256 MiB"])
        self.assertIn("q8, all 32 layers", tables)
        self.assertIn("q8, one layer", tables)
        self.assertIn("131,072 positions (window x layers = 4,096 x 32)", text)
        contexts = re.findall(r"^ +([\d,]+) ", tables["f16, all 32 layers"], re.M)
        self.assertEqual(contexts, [f"{1024 << i:,}" for i in range(8)])

    def test_json(self):
        d = json.loads(self.good("info", "shape:mistral-7b", "--json"))
        self.assertEqual(d["hyperparameters"]["n_kv_heads"], 8)
        self.assertEqual(d["hyperparameters"]["sliding_window"], 4096)
        self.assertEqual(d["receptive_field"], 131072)
        rows = [r for r in d["kv_cache"] if r["type"] == "f16" and r["context"] == 8192]
        self.assertEqual(rows[0]["bytes"], {"gqa_window": 2**29, "gqa": 2**30, "mha_window": 2**31, "mha": 2**32})
        self.assertGreater(len(d["tensors"]), 100)

    def test_files(self):
        text = self.good("info", TINY, "--tensors").decode()
        self.assertIn("token_embd.weight", text)
        self.assertNotIn("token_embd.weight", self.good("info", TINY).decode())
        json.loads(self.good("info", TINY_DIRECTORY, "--json"))
        self.bad(1, "info", self.write("x.gguf", b"GGUF\x03"))


class Logits(Case):
    def read_npy(self, path):
        with open(path, "rb") as f:
            data = f.read()
        self.assertEqual(data[:8], b"\x93NUMPY\x01\x00")
        n = struct.unpack("<H", data[8:10])[0]
        self.assertEqual((10 + n) % 64, 0)
        header = data[10:10 + n].decode()
        self.assertTrue(header.endswith("\n"))
        d = ast.literal_eval(header)
        self.assertEqual((d["descr"], d["fortran_order"]), ("<f4", False))
        values = array.array("f", data[10 + n:])
        self.assertEqual(len(values), d["shape"][0] * d["shape"][1])
        return d["shape"], values

    def test_all_and_last(self):
        with open(TINY_IDS) as f:
            n = len(f.read().split())
        self.assertEqual(self.good("logits", TINY, "--ids", TINY_IDS, "--out", "all.npy"), b"")
        self.good("logits", TINY, "--ids", TINY_IDS, "--out", "last.npy", "--last", "--chunk", "7", "-t", "1")
        (rows, vocab), values = self.read_npy(self.path("all.npy"))
        self.assertEqual(rows, n)
        shape, last = self.read_npy(self.path("last.npy"))
        self.assertEqual(shape, (1, vocab))
        self.assertEqual(last, values[-vocab:])
        with open(TINY_IDS, "rb") as f:
            self.good("logits", TINY, "--ids", "-", "--out", "stdin.npy", "--chunk=3", "--seed=1", stdin=f.read())
        self.assertEqual(self.read_npy(self.path("stdin.npy"))[1], values)
        self.assertEqual(sorted(os.listdir(self.folder)), ["all.npy", "last.npy", "stdin.npy"])

    def test_more_ids_than_the_model_was_made_for(self):
        context = json.loads(self.good("info", TINY, "--json"))["hyperparameters"]["context"]
        ids = self.write("ids", "1 " * (context + 1))
        r = self.gale("logits", TINY, "--ids", ids, "--out", "x.npy", "--last")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn(b"raised", r.stderr)
        self.bad(1, "logits", TINY, "--ids", ids, "--out", "y.npy", "--last", "-c", str(context))
        self.assertFalse(os.path.exists(self.path("y.npy")))

    def test_bad_ids(self):
        for content, says in [("", "no token ids"), ("1 x", "'x' at index 1"), ("1 2 -1", "'-1' at index 2"),
                              ("0 99999999", "'99999999' at index 1"), ("1 99999999999999999999999", "at index 1"),
                              ("1,2", "'1,2' at index 0"), ("+1", "'+1'"), ("1\0", "at index 0")]:
            with self.subTest(content=content):
                self.bad(1, "logits", TINY, "--ids", self.write("ids", content), "--out", "x.npy", says=says)
        self.bad(1, "logits", TINY, "--ids", "missing", "--out", "x.npy", says="missing: No such file")
        self.assertEqual(os.listdir(self.folder), ["ids"])

    def test_output_that_cannot_be_written(self):
        for out in (self.path("no/folder/x.npy"), "/dev/full", self.folder):
            self.bad(1, "logits", TINY, "--ids", TINY_IDS, "--out", out, says=out)
        self.assertEqual(os.listdir(self.folder), [])


class Synth(Case):
    def test_round_trip(self):
        shapes = re.findall(r"tiny", self.gale("synth", "no-such-shape", "x.gguf", "--type", "f32").stderr.decode())
        if not shapes:
            self.skipTest("there is no shape called tiny")
        self.assertEqual(self.good("synth", "tiny", "tiny.gguf", "--type", "f32"), b"")
        self.assertEqual(os.listdir(self.folder), ["tiny.gguf"])
        self.good("synth", "shape:tiny", "again.gguf", "--type", "f32")
        with open(os.path.join(self.folder, "tiny.gguf"), "rb") as a, open(os.path.join(self.folder, "again.gguf"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        wanted = json.loads(self.good("info", "shape:tiny@f32", "--json"))
        found = json.loads(self.good("info", "./tiny.gguf", "--json"))
        self.assertEqual(found["hyperparameters"], wanted["hyperparameters"])

    def test_refused(self):
        self.bad(1, "synth", "no-such-shape", "x.gguf", "--type", "q4_0")
        self.bad(1, "synth", "mistral-7b", "x.gguf", "--type", "q99")
        self.bad(1, "synth", "mistral-7b", "no/folder/x.gguf", "--type", "q4_0")
        self.assertEqual(os.listdir(self.folder), [])

    def test_interrupted(self):
        p = subprocess.Popen([GALE, "synth", "mistral-7b", "x.gguf", "--type", "q4_0"], cwd=self.folder,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(1)
        p.send_signal(signal.SIGINT)
        out, message = p.communicate(timeout=TIMEOUT)
        self.assertEqual((p.returncode, out, message), (130, b"", b""))
        self.assertEqual(os.listdir(self.folder), [])

    def test_hung_up(self):
        p = subprocess.Popen([GALE, "synth", "mistral-7b", self.path("x.gguf"), "--type", "q4_0"], stderr=subprocess.PIPE,
                             env=self.environment)
        while not [name for name in os.listdir(self.folder) if name.startswith("x.gguf")]:
            self.assertIsNone(p.poll())
            time.sleep(0.01)
        p.send_signal(signal.SIGHUP)
        self.assertEqual((p.communicate(timeout=TIMEOUT)[1], p.returncode), (b"", 128 + signal.SIGHUP))
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("x.gguf")], [])

    def test_limit_of_file_sizes(self):
        model = self.write("m.gguf", b"")
        self.good("synth", "smollm2-135m:layers=2", model, "--type", "q4_0")
        os.utime(model, (1e9, 1e9))  # what was changed right now is not kept
        self.environment["GALE_CACHE_LEAST"] = "0"
        self.write("ids", b"1 2 3")

        def limited(*arguments):
            return subprocess.run([GALE, *arguments], capture_output=True, env=self.environment, timeout=TIMEOUT, cwd=self.folder,
                                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))

        for arguments in (["synth", "smollm2-135m", "out.gguf", "--type", "q4_0"], ["quantize", model, "out.gguf", "--type", "q8_0"],
                          ["logits", model, "--ids", "ids", "--out", "out.npy", "-v"]):
            with self.subTest(command=arguments[0]):
                r = limited(*arguments)
                small = arguments[0] == "logits"  # what it writes is not, but what the cache would keep
                self.assertEqual(r.returncode, 0 if small else 1, r.stderr)
                self.assertEqual(b"File too large" in r.stderr, not small, r.stderr)
                self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("out.gguf")], [])
                packed = self.path("cache/gale/packed")
                self.assertEqual(os.listdir(packed) if os.path.isdir(packed) else [], [])


@needs_demo
class Text(Case):
    def ids(self, *arguments, stdin=b""):
        return [int(i) for i in self.good("tokenize", DEMO, *arguments, stdin=stdin).split()]

    def test_round_trips(self):
        for content in (b"", b"Hello, world!\n", "naïve 日本語 👩‍👩‍👧 \u00a0\n\n\t x".encode(), b"<|im_end|>", b"a\0b"):
            ids = self.ids(stdin=content)
            self.assertEqual(self.ids("-f", self.write("t", content)), ids)
            self.assertEqual(self.good("detokenize", DEMO, stdin=" ".join(map(str, ids))), content)

    def test_forms(self):
        ids = self.ids("Hello there")
        self.assertEqual(self.good("tokenize", DEMO, "Hello there").count(b"\n"), 1)
        self.assertEqual(self.ids("-", stdin=b"Hello there"), ids)
        self.assertEqual(self.ids("-f", "-", stdin=b"Hello there"), ids)
        self.assertEqual(self.ids("--bos", "Hello there")[1:], ids)
        self.assertEqual(self.ids("--", "--bos"), self.ids(stdin=b"--bos"))

    def test_lines(self):
        texts = ["Hello", "", "two\nlines", "nul \0", "😀", 'quote "'] * 2
        lines = "\n".join(json.dumps(t, ensure_ascii=i < 6) for i, t in enumerate(texts))
        output = self.good("tokenize", DEMO, "--lines", self.write("lines", lines)).decode().split("\n")
        self.assertEqual(len(output), len(texts) + 1)
        for line, text in zip(output, texts):
            self.assertEqual([int(i) for i in line.split()], self.ids(stdin=text.encode()))
        back = self.good("detokenize", DEMO, "--lines", self.write("ids", "\n".join(output))).decode().split("\n")
        for line, text, ids in zip(back, texts, output):
            pieces = json.loads(line)
            self.assertEqual("".join(pieces), text)
            self.assertEqual(len(pieces), len(ids.split()) + 1)

    def test_bad_lines(self):
        for line in ('"\\ud83d"', '"\\udc00x"', "1", "[]", "", '"a', '"a" "b"', b'"\xff"', "'a'"):
            lines = self.write("lines", (b'"ok"\n' + (line if isinstance(line, bytes) else line.encode()) + b"\n"))
            r = self.gale("tokenize", DEMO, "--lines", lines)
            self.assertEqual(r.returncode, 1, line)
            self.assertIn(b"line 2", r.stderr)

    def test_bad_ids(self):
        for ids in ("x", "-1", "49152", "1 2 99999999999"):
            self.bad(1, "detokenize", DEMO, stdin=ids, says="is not a token id (0 to 49151)")
        r = self.gale("detokenize", DEMO, "--lines", self.write("lines", "1\n2 y\n"))
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"line 2: 'y' at index 1", r.stderr)

    def test_special(self):
        end = self.ids("--chat", self.write("r", '{"messages": [{"role": "user", "content": "x"}]}'))[0]
        self.assertEqual(self.good("detokenize", DEMO, stdin=str(end)), b"")
        self.assertEqual(self.good("detokenize", DEMO, "--special", stdin=str(end)), b"<|im_start|>")

    def test_chat(self):
        plain = self.write("plain", json.dumps({"messages": [{"role": "system", "content": "Be kind."},
                                                             {"role": "user", "content": "a\n\nb"}]}))
        parts = self.write("parts", json.dumps({"model": "x", "temperature": 1, "tools": [], "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]}))
        ids = self.ids("--chat", plain)
        self.assertEqual(self.ids("--chat", parts), ids)
        self.assertEqual(self.ids("--chat", plain, "--template", "chatml"), ids)
        shown = self.good("detokenize", DEMO, "--special", stdin=" ".join(map(str, ids))).decode()
        self.assertEqual(shown, "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\na\n\nb<|im_end|>\n"
                                "<|im_start|>assistant\n")

    def test_refused_requests(self):
        user = '{"role": "user", "content": "x"}'
        for request in ("", "{", "[]", "{}", '{"messages": []}', '{"messages": {}}', '{"messages": [1]}',
                        '{"messages": [{"content": "x"}]}', '{"messages": [{"role": "user"}]}',
                        '{"messages": [{"role": "wizard", "content": "x"}]}',
                        '{"messages": [{"role": "user", "content": 1}]}',
                        '{"messages": [{"role": "user", "content": "\\ud800"}]}',
                        '{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}',
                        '{"messages": [%s], "tools": [{}]}' % user, '{"messages": [%s]} x' % user):
            with self.subTest(request=request):
                self.bad(1, "tokenize", DEMO, "--chat", self.write("r", request))
        good = self.write("r", '{"messages": [%s]}' % user)
        self.bad(1, "tokenize", DEMO, "--chat", good, "--template", "no-such-template")
        self.bad(1, "tokenize", DEMO, "--fim", good, good, says="no control token")


class Tekken(Case):
    def test_prompts(self):
        tekken = os.path.join(ROOT, "tests/data/text/tekken.json")
        request = self.write("r", json.dumps({"messages": [{"role": "user", "content": "Hi"}], "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]}))
        ids = self.good("tokenize", tekken, "--chat", request)
        self.assertEqual(self.good("detokenize", tekken, "--special", stdin=ids.decode()),
                         b'<s>[AVAILABLE_TOOLS][{"type": "function", "function": {"name": "f", "description": "", '
                         b'"parameters": {"type": "object"}}}][/AVAILABLE_TOOLS][INST]Hi[/INST]')
        prefix, suffix = self.write("prefix", "def f("), self.write("suffix", "")
        ids = self.good("tokenize", tekken, "--fim", prefix, suffix)
        self.assertEqual(self.good("detokenize", tekken, "--special", stdin=ids.decode()),
                         b"<s>[SUFFIX][PREFIX]def f(")
        self.assertEqual(self.gale("tokenize", tekken, "--fim", prefix, suffix, "--bos").returncode, 2)
        effort = self.write("r", '{"messages": [{"role": "user", "content": "x"}], "reasoning_effort": "high"}')
        self.bad(1, "tokenize", tekken, "--chat", effort, says="v15")


@needs_demo
class Run(Case):
    short = ["-n", "8", "--temp", "0", "-c", "512"]

    def test_ways_to_give_a_prompt(self):
        r = self.gale("run", DEMO, "Say hello.", *self.short)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertTrue(r.stdout.endswith(b"\n") and len(r.stdout) > 2)
        self.assertRegex(r.stderr.decode(), r"prompt: \d+ tokens.*answer: 8 tokens.*tokens/s; seed \d+")
        for arguments, stdin in [(["-"], b"Say hello."), ([], b"Say hello.\n"), (["-f", "-"], b"Say hello."),
                                 (["-f", self.write("p", "Say hello.\n")], b"")]:
            with self.subTest(arguments=arguments):
                again = self.gale("run", DEMO, *arguments, *self.short, "-q", stdin=stdin)
                self.assertEqual((again.stdout, again.stderr), (r.stdout, b""))

    def test_seeds(self):
        common = ["run", DEMO, "Tell me a story.", "-n", "16", "--temp", "1.5", "-c", "512"]
        one = self.gale(*common, "-s", "7")
        self.assertIn(b"seed 7\n", one.stderr)
        self.assertEqual(self.good(*common, "-s", "7", "-t", "1"), one.stdout)
        free = self.gale(*common)
        seed = re.search(r"seed (\d+)", free.stderr.decode()).group(1)
        self.assertEqual(self.good(*common, "--seed=" + seed), free.stdout)

    def test_sampling_options(self):
        run = ["run", DEMO, "--raw", "1, 2, 3, 1, 2, 3, 1, 2,", *self.short]
        usual = self.good(*run)
        self.assertTrue(usual.startswith(b" 3"))
        for arguments in [["--dry-multiplier", "5"], ["--presence-penalty", "9"], ["--frequency-penalty", "9"],
                          ["--repeat-penalty", "9"]]:
            with self.subTest(arguments=arguments):
                self.assertNotEqual(self.good(*run, *arguments), usual)
        for arguments in [["--repeat-penalty", "9", "--repeat-last-n", "0"], ["--dry-multiplier", "5", "--dry-penalty-last-n", "0"],
                          ["--dry-multiplier", "5", "--dry-allowed-length", "100"],
                          ["--dry-multiplier", "5", "--dry-sequence-breaker", " ", "--dry-sequence-breaker", ","]]:
            with self.subTest(arguments=arguments):
                self.assertEqual(self.good(*run, *arguments), usual)
        hot = ["--temp", "2", "-s", "5", "--top-k", "0", "--top-p", "1", "--min-p", "0"]
        for arguments in [["--typical", "0.01"], ["--top-nsigma", "0.5"], ["--mirostat", "2", "--mirostat-ent", "0.1"],
                          ["--xtc-probability", "1", "--xtc-threshold", "0.001"]]:
            with self.subTest(arguments=arguments):
                self.assertNotEqual(self.good(*run, *hot, *arguments), self.good(*run, *hot))

    def test_bias_and_ends(self):
        run = ["run", DEMO, "--raw", "1, 2, 3,", "-c", "512", "--temp", "0.8", "-n", "8"]
        letter = self.good("tokenize", DEMO, "a").decode().strip()
        self.assertEqual(self.good(*run, "--logit-bias", letter + "+100"), b"aaaaaaaa\n")
        greedy = self.good("run", DEMO, "--raw", "1, 2, 3, 4,", *self.short)
        first = self.good("tokenize", DEMO, greedy.decode()[:2]).decode().split()[0]
        self.assertNotEqual(self.good("run", DEMO, "--raw", "1, 2, 3, 4,", *self.short, "--logit-bias", first + "-100"), greedy)
        end = self.good("tokenize", DEMO, "--chat", self.write("r", '{"messages":[{"role":"user","content":"x"}]}'), "--template",
                        "chatml").decode().split()
        end = next(i for i in end if b"im_end" in self.good("detokenize", DEMO, "--special", stdin=i.encode()))
        for arguments, tokens in [([], 1), (["--min-tokens", "3"], 4), (["--ignore-eos"], 8)]:
            with self.subTest(arguments=arguments):
                r = self.gale(*run, "--logit-bias", end + "+100", *arguments)
                self.assertIn(f"answer: {tokens} tokens", r.stderr.decode())
        for value in ["", "x", "5", "5*1", "-1", "5+", "5+101", "99999999+1", "5+nan", "5+1x"]:
            with self.subTest(value=value):
                self.assertNotEqual(self.gale(*run, "--logit-bias", value).returncode, 0)

    def test_raw_system_stop(self):
        raw = self.good("run", DEMO, "--raw", "1, 2, 3, 4,", *self.short)
        self.assertIn(b"5", raw)
        self.assertEqual(self.good("run", DEMO, "--raw", "1, 2, 3, 4,", *self.short, "--stop", "5").strip(), b"")
        self.good("run", DEMO, "--system", "You are a pirate.", "Hi", *self.short)
        self.assertEqual(self.good("run", DEMO, "Hi", "-n", "0"), b"")

    def test_refused(self):
        self.bad(1, "run", DEMO, "", says="the prompt is empty")
        self.bad(1, "run", DEMO, stdin=b"", says="the prompt is empty")
        self.bad(1, "run", DEMO, stdin=b"a\0b", says="NUL byte at offset 1")
        self.bad(1, "run", DEMO, "-f", "missing", says="missing: No such file")
        self.bad(1, "run", DEMO, "x", "--template", "no-such-template")
        self.bad(1, "run", DEMO, "x " * 300, "-c", "64")
        self.bad(1, "run", TINY, "x", says="no tokenizer")

    def test_lost_output_stops_the_answer(self):
        with open("/dev/full", "wb") as full:
            r = self.gale("run", DEMO, "Tell me a long story.", "--temp", "0", "-q", "-c", "2048", stdout=full)
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"standard output: No space left on device", r.stderr)

    def test_a_context_beyond_the_models_is_said(self):
        self.assertIn(b"was made for 8192 positions", self.gale("run", DEMO, "Hi", "-n", "1", "-c", "9000").stderr)
        self.assertNotIn(b"was made for", self.gale("run", DEMO, "Hi", "-n", "1", "-c", "8192").stderr)

    def test_interrupted(self):
        p = subprocess.Popen([GALE, "run", DEMO, "--raw", "1 2 3 4 5 6 7 8 9", "--temp", "0", "-q"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(os.read(p.stdout.fileno(), 1))
        p.send_signal(signal.SIGINT)
        out, message = p.communicate(timeout=TIMEOUT)
        self.assertEqual((p.returncode, message), (130, b""))
        self.assertTrue(out.endswith(b"\n"))


class Terminal:
    """A gale under a pseudo-terminal."""

    def __init__(self, environment, folder, *arguments, term="dumb"):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(folder)
                os.execve(GALE, [GALE, *arguments], dict(environment, TERM=term))
            finally:
                os._exit(127)  # and not on with the tests, in a second process
        self.seen = b""

    def read(self, seconds):
        """Reads what comes within the time; False at the end."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.seen += data
        return bool(data)

    def wait(self, text, seconds=TIMEOUT):
        """What was shown up to and with text."""
        end = time.monotonic() + seconds
        while text.encode() not in self.seen:
            if time.monotonic() > end or not self.read(1):
                raise AssertionError(f"{text!r} did not come; seen: {self.seen.decode(errors='replace')!r}")
        at = self.seen.index(text.encode()) + len(text.encode())
        shown, self.seen = self.seen[:at], self.seen[at:]
        return shown.decode(errors="replace")

    def settle(self):
        """Reads until nothing has come for a while."""
        while select.select([self.fd], [], [], 0.5)[0] and self.read(0):
            pass

    def send(self, text):
        os.write(self.fd, text.encode())

    def status(self):
        end, open_yet = time.monotonic() + TIMEOUT, True
        while open_yet and time.monotonic() < end:
            open_yet = self.read(0.1)
        os.close(self.fd)  # what still runs is hung up on
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if open_yet:
            raise AssertionError(f"it did not end; seen: {self.seen.decode(errors='replace')!r}")
        return status


@needs_demo
class Chat(Case):
    def start(self, *arguments):
        t = Terminal(self.environment, self.folder, "run", DEMO, "--temp", "0", "-c", "2048", *arguments)
        t.wait(">>> ")
        return t

    def test_turns_reuse_the_sequence(self):
        t = self.start("-n", "12", "-v")
        t.send("Say hello.\n")
        first = int(re.search(r"prompt: (\d+) tokens, ", t.wait(">>> ")).group(1))
        t.send("And again.\n")
        n, reused = map(int, re.search(r"prompt: (\d+) tokens \((\d+) of them reused\)", t.wait(">>> ")).groups())
        self.assertGreater(reused, first)
        self.assertGreater(n, reused)
        t.send("/regenerate\n")
        n2, reused = map(int, re.search(r"prompt: (\d+) tokens \((\d+) of them reused\)", t.wait(">>> ")).groups())
        self.assertEqual((n2, reused), (n, n - 1))
        t.send("/stats\n")
        self.assertIn("KV cache", t.wait(">>> "))
        t.send("\x04")
        self.assertEqual(t.status(), 0)

    def test_commands(self):
        t = self.start("-n", "4", "--system", "Be brief.")
        t.send("/help\n")
        self.assertIn("/regenerate", t.wait(">>> "))
        t.send("/regenrate\n")
        self.assertIn("did you mean /regenerate", t.wait(">>> "))
        t.send("one\\\n")
        t.wait("... ")
        t.send("two\n")
        t.wait(">>> ")
        t.send('"""three\n')
        t.wait("... ")
        t.send('four"""\n')
        t.wait(">>> ")
        t.send("/save chat.json\n")
        t.wait("saved 5 messages")
        t.wait(">>> ")
        with open(self.path("chat.json")) as f:
            messages = json.load(f)["messages"]
        self.assertEqual([m["role"] for m in messages], ["system", "user", "assistant", "user", "assistant"])
        self.assertEqual([messages[1]["content"], messages[3]["content"]], ["one\ntwo", "three\nfour"])
        t.send("/reset\n/load chat.json\n")
        t.wait("loaded 5 messages")
        t.send("/load missing\n")
        t.wait("No such file")
        t.send("/system\n/save chat2.json\n")
        t.wait("saved 4 messages")
        t.send("/exit\n")
        self.assertEqual(t.status(), 0)
        with open(self.path("state/gale/history")) as f:
            self.assertIn("/regenrate", f.read())

    def test_interrupts(self):
        t = self.start()
        t.send("half a line")
        t.wait("half a line")
        t.send("\x03")
        t.wait("^C")
        t.wait(">>> ")
        t.send("Write a very long story about a dragon. Do not stop.\n")
        t.wait("\n")
        while len(t.seen) < 40:
            self.assertTrue(t.read(1))
        t.send("\x03")
        t.wait("[stopped]")
        t.wait(">>> ")
        t.send("/stats\n")
        t.wait("2 messages")
        t.wait(">>> ")
        t.send("\x04")
        self.assertEqual(t.status(), 0)

    def test_interrupted_prompts_count_what_was_computed(self):
        prompt = self.write("long.txt", "word " * 7500)
        t = Terminal(self.environment, self.folder, "run", DEMO, "-f", prompt, "--raw", "-n", "3", "-t", "1")
        t.wait("reading the prompt")
        os.kill(t.pid, signal.SIGINT)
        found = re.search(r"prompt: (\d+) tokens \(stopped after (\d+)\), ", t.wait("tokens/s; answer: 0 tokens"))
        self.assertLess(int(found[2]), int(found[1]))  # maybe none: a chunk may be under way
        self.assertEqual(t.status(), 130)

    def test_a_message_too_long_is_taken_back(self):
        t = self.start("-n", "4", "-c", "64")
        t.send("word " * 100 + "\n")
        t.wait("gale: ")
        self.assertIn("/reset starts afresh, and -c N", t.wait(">>> "))
        t.send("/stats\n")
        t.wait("0 messages")
        t.wait(">>> ")
        t.send("\x04")
        self.assertEqual(t.status(), 0)


if __name__ == "__main__":
    unittest.main()
