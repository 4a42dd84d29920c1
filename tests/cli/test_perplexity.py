"""gale perplexity against its definitions (docs/EVALUATION.md), computed again here from what gale logits writes."""

import array
import json
import math
import os
import random
import shutil
import signal
import struct
import subprocess
import time
import unittest

import test_cli as cli

MODELS = os.path.join(cli.ROOT, "tests/data/models")
MODEL, BASE = (os.path.join(MODELS, name, "model.gguf") for name in ("gguf-q4_0", "gguf-f32"))
TOKENIZER = os.path.join(cli.ROOT, "tests/data/text/cut.model")
PERCENTS = [0, 0.1, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9, 100]


class Case(cli.Case):
    def setUp(self):
        super().setUp()
        self.vocab_size = json.loads(self.good("info", MODEL, "--json"))["hyperparameters"]["vocab_size"]
        rng = random.Random(7)
        self.ids = [rng.randrange(3, self.vocab_size) for _ in range(203)]
        self.text = self.write("ids.txt", " ".join(map(str, self.ids)))

    def measure(self, *arguments, model=MODEL):
        return json.loads(self.good("perplexity", model, "--json", *arguments))

    def logits(self, model, ids, *options):
        """Rows of doubles."""
        out = self.path("rows.npy")
        self.good("logits", model, "--ids", self.write("passage", " ".join(map(str, ids))), "--out", out, *options)
        with open(out, "rb") as f:
            data = f.read()[128:]
        rows = array.array("f", data)
        n = len(rows) // len(ids)
        return [rows[i : i + n] for i in range(0, len(rows), n)]

    def near(self, a, b, tolerance=1e-9):
        self.assertTrue(math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-12), (a, b))


def log_softmax(row):
    top = max(row)
    offset = top + math.log(math.fsum(math.exp(x - top) for x in row))
    return [x - offset for x in row]


def passages(ids, length, stride=0, bos=None):
    step, first = (stride, length - 1 - stride) if stride else (length, length // 2)
    for at in range(0, len(ids) - length + (0 if stride else 1), step):
        passage = list(ids[at : at + length])
        if bos is not None:
            passage[0] = bos
        yield passage, range(first, length - 1)


def mean(values):
    n, m = len(values), math.fsum(values) / len(values)
    return m, math.sqrt(math.fsum((x - m) ** 2 for x in values) / n / (n - 1))


def quantile(values, percent):
    values = sorted(values)
    at = percent / 100 * (len(values) - 1)
    below = min(int(at), len(values) - 2)
    return values[below] + (at - below) * (values[below + 1] - values[below])


def scored(case, model, cut, *options):
    """The log-probabilities at each position that counts, and the id that follows it."""
    rows = []
    for passage, positions in cut:
        logits = case.logits(model, passage, *options)
        rows += [(log_softmax(logits[i]), passage[i + 1]) for i in positions]
    return rows


class Perplexity(Case):
    def check(self, result, rows, count):
        m, error = mean([-row[following] for row, following in rows])
        self.assertEqual((result["passages"], result["tokens_scored"]), (count, len(rows)))
        self.near(result["perplexity"]["log"]["value"], m)
        self.near(result["perplexity"]["log"]["standard_error"], error)
        self.near(result["perplexity"]["value"], math.exp(m))
        self.near(result["perplexity"]["standard_error"], math.exp(m) * error)
        for end, sign in zip(result["perplexity"]["interval_95"], (-1, 1)):
            self.near(end, math.exp(m + sign * 1.959963984540054 * error))

    def test_second_halves(self):
        for length in (16, 17, 203, 4):
            with self.subTest(length=length):
                cut = list(passages(self.ids, length))
                result = self.measure("--ids", self.text, "-c", str(length))
                self.check(result, scored(self, MODEL, cut), 203 // length)
                self.assertEqual((result["context"], result["stride"], result["base"]), (length, 0, None))

    def test_strided(self):
        # 203 = 23 + 180: the text ends where a passage does, which is then left out, as llama.cpp does.
        for length, stride, count in ((32, 8, 22), (32, 31, 6), (23, 18, 10), (180, 1, 23)):
            with self.subTest(length=length, stride=stride):
                cut = list(passages(self.ids, length, stride))
                self.assertEqual(len(cut), count)
                result = self.measure("--ids", self.text, "-c", str(length), "--ppl-stride", str(stride))
                self.check(result, scored(self, MODEL, cut), count)

    def test_options_of_the_computation(self):
        options = ["--window", "8", "--kv", "q8"]
        rows = scored(self, MODEL, passages(self.ids, 64), *options)
        self.check(self.measure("--ids", self.text, "-c", "64", *options), rows, 3)
        self.check(self.measure("--ids", self.text, "-c", "64", "--chunks", "2", *options), rows[:62], 2)
        self.check(self.measure("--ids", self.text, "-c", "64", "--chunks", "9", *options), rows, 3)

    def test_same_bytes_for_any_threads_and_steps(self):
        common = ["perplexity", MODEL, "--ids", self.text, "-c", "64", "--kl", BASE, "--json"]
        one = self.good(*common, "-t", "1")
        saved = []
        for i, more in enumerate((["-t", "2"], ["-t", "7"], ["--chunk", "1"], ["-t", "3", "--chunk", "13"])):
            path = self.path(f"saved{i}")
            self.assertEqual(self.good(*common, *more, "--save", path), one)
            with open(path, "rb") as f:
                saved.append(f.read())
        self.assertEqual(len(set(saved)), 1)

    def test_text_for_people(self):
        d = self.measure("--ids", self.text, "-c", "64")["perplexity"]
        text = self.good("perplexity", MODEL, "--ids", self.text, "-c", "64").decode()
        self.assertIn(f"{d['value']:.6f} +/- {d['standard_error']:.6f}", text)
        self.assertIn("93 in 3 passages of 64\n", text)
        text = self.good("perplexity", MODEL, "--ids", self.text, "-c", "64", "--ppl-stride", "16").decode()
        self.assertIn("passages of 64, one every 16\n", text)

    def test_default_is_512(self):
        self.bad(1, "perplexity", MODEL, "--ids", self.text, says="203 tokens fill no passage of 512")
        more = self.write("more", " ".join(map(str, self.ids * 5)))
        self.assertEqual(self.measure("--ids", more)["passages"], 1)
        self.assertEqual(self.measure("--ids", more, "-c", "0")["context"], 512)


class Divergence(Case):
    def check(self, result, rows, base_rows, tolerance=1e-9):
        """base_rows: the log-probabilities of the base; what is None has none that counts."""
        base = result["base"]
        kl, change, ratio, same = [], [], [], 0
        for (q, following), p in zip(rows, base_rows):
            kl.append(math.fsum(math.exp(a) * (a - b) for a, b in zip(p, q) if a > self.floor))
            change.append(math.exp(q[following]) - math.exp(p[following]))
            ratio.append(p[following] - q[following])
            same += p.index(max(p)) == q.index(max(q))
        for name, values in (("kl_divergence", kl), ("probability_change", change)):
            self.near(base[name]["mean"]["value"], mean(values)[0], tolerance)
            self.near(base[name]["mean"]["standard_error"], mean(values)[1], tolerance)
            self.assertEqual(list(map(float, base[name]["percentiles"])), PERCENTS)
            for percent, value in base[name]["percentiles"].items():
                self.near(value, quantile(values, float(percent)), tolerance)
        self.near(base["log_ratio"]["value"], mean(ratio)[0], tolerance)
        self.near(base["log_ratio"]["standard_error"], mean(ratio)[1], tolerance)
        self.near(base["ratio"]["value"], math.exp(mean(ratio)[0]), tolerance)
        self.near(base["perplexity"]["log"]["value"], mean([-p[f] for p, (_, f) in zip(base_rows, rows)])[0], tolerance)
        self.near(base["same_top"]["value"], same / len(rows))
        self.near(base["probability_change_rms"]["value"], math.sqrt(mean([x * x for x in change])[0]), tolerance)

    floor = -math.inf
    cut_as = ["-c", "32"]

    def setUp(self):
        super().setUp()
        self.cut = list(passages(self.ids, 32))
        self.rows, self.base_rows = (scored(self, model, self.cut) for model in (MODEL, BASE))
        self.given = ["--ids", self.text, *self.cut_as]

    def test_model(self):
        result = self.measure(*self.given, "--kl", BASE)
        self.assertGreater(result["base"]["kl_divergence"]["mean"]["value"], 0)
        self.check(result, self.rows, [row for row, _ in self.base_rows])
        text = self.good("perplexity", MODEL, *self.given, "--kl", BASE).decode()
        self.assertIn(f"mean KL divergence     {result['base']['kl_divergence']['mean']['value']:.4e} +/- ", text)

    def test_model_from_itself(self):
        base = self.measure(*self.given, "--kl", MODEL)["base"]
        self.assertEqual(set(base["kl_divergence"]["percentiles"].values()), {0})
        self.assertEqual((base["same_top"]["value"], base["ratio"]["value"]), (1, 1))

    def read_saved(self, path):
        """By docs/EVALUATION.md: the header's fields, the ids, and rows of log-probabilities."""

        def record(n):
            content = data[self.at : self.at + n]
            checksum = 2166136261
            for byte in content:
                checksum = (checksum ^ byte) * 16777619 & 0xFFFFFFFF
            self.assertEqual(struct.unpack_from("<I", data, self.at + n)[0], checksum)
            self.at += n + 4
            return content

        with open(path, "rb") as f:
            data = f.read()
        self.at = 0
        magic, version, vocab_size, length, stride, count, bos = struct.unpack("<8s6i", record(32))
        self.assertEqual((magic, version, vocab_size), (b"GALEDIST", 1, self.vocab_size))
        n_ids = (count - 1) * (stride or length) + length
        ids = list(struct.unpack(f"<{n_ids}i", record(4 * n_ids)))
        rows = []
        while self.at < len(data):
            span, *levels = struct.unpack(f"<f{vocab_size}H", record(4 + 2 * vocab_size))
            rows.append(log_softmax([-span * (level / 65535) ** 2 for level in levels]))
        return (length, stride, count, bos), ids, rows

    def test_saved(self):
        path = self.path("base")
        whole = self.measure(*self.given, "--save", path, model=BASE)
        header, ids, rows = self.read_saved(path)
        self.assertEqual(header, (32, 0, 6, -1))
        self.assertEqual(ids, self.ids[: 6 * 32])
        self.assertEqual(len(rows), whole["tokens_scored"])
        for row, (exact, _) in zip(rows, self.base_rows):
            self.assertLess(sum(math.exp(a) * (a - b) for a, b in zip(exact, row)), 1e-8)
        for text in ([], ["--ids", self.text], self.given):
            self.check(self.measure("--kl", path, *text), self.rows, rows, 1e-4)
        few = self.measure("--kl", path, "--chunks", "2")
        self.check(few, self.rows[:30], rows[:30], 1e-4)

    def test_saved_strided(self):
        path = self.path("base")
        self.measure(*self.given, "--ppl-stride", "8", "--chunks", "5", "--save", path, model=BASE)
        header, ids, rows = self.read_saved(path)
        self.assertEqual((header, ids, len(rows)), ((32, 8, 5, -1), self.ids[: 4 * 8 + 32], 40))
        self.check(self.measure("--kl", path), scored(self, MODEL, list(passages(self.ids, 32, 8))[:5]), rows, 1e-4)

    def peer_file(self, rows, length=32):
        """What llama-perplexity --kl-divergence-base writes, and what its rows mean."""
        count, odd = len(self.ids) // length, self.vocab_size % 2
        out = struct.pack("<8s3i", b"_logits_", length, self.vocab_size, count)
        out += struct.pack(f"<{count * length}i", *self.ids[: count * length])
        means = []
        for row in rows:
            low = max(min(row), max(row) - 16)
            f32 = lambda x: struct.unpack("<f", struct.pack("<f", x))[0]
            scale, low = f32((max(row) - low) / 65535), f32(low)
            levels = [max(0, round((x - low) / scale)) for x in row]
            out += struct.pack(f"<ff{self.vocab_size}H", scale, low, *levels) + b"\0\0" * odd
            means.append([f32(f32(scale * level) + low) for level in levels])
        return out, means

    def test_file_of_llama_cpp(self):
        content, means = self.peer_file([row for row, _ in self.base_rows])
        path = self.write("peer", content)
        self.floor = -16
        self.check(self.measure("--kl", path), self.rows, means, 1e-5)
        self.check(self.measure("--kl", path, *self.given), self.rows, means, 1e-5)
        # Peaked rows, so that much lies 16 below the top and is left out.
        peaked = [log_softmax([20 * x for x in row]) for row, _ in self.base_rows]
        content, means = self.peer_file(peaked)
        self.assertLess(min(map(min, means)), -15.9)
        self.check(self.measure("--kl", self.write("peer", content)), self.rows, means, 1e-5)

    def test_refused(self):
        path = self.path("base")
        self.measure(*self.given, "--save", path, model=BASE)
        with open(path, "rb") as f:
            data = f.read()
        bad = lambda content, says: self.bad(1, "perplexity", MODEL, "--kl", self.write("bad", content), says=says)
        header = 36
        ids_end, end = header + 4 * 192, len(data)
        for at in (8, 12, 16, 20, 24, 28, 33, header, header + 100, ids_end + 3, end // 2, end - 1):
            with self.subTest(at=at):
                bad(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :], "damaged")
        for n in (8, 20, 35, 36, 50, 1000, len(data) - 1):
            with self.subTest(length=n):
                bad(data[:n], "header" if n < 36 else "another size")
        bad(data + b"\0", "another size")

        def signed(*fields):
            content, checksum = struct.pack("<8s6i", b"GALEDIST", *fields), 2166136261
            for byte in content:
                checksum = (checksum ^ byte) * 16777619 & 0xFFFFFFFF
            return content + struct.pack("<I", checksum) + data[36:]

        v, big = self.vocab_size, 2**31 - 1
        for fields, says in [((2, v, 32, 0, 6, -1), "version 2"), ((1, 0, 32, 0, 6, -1), "vocabulary of 0"),
                             ((1, v, 3, 0, 6, -1), "at least 4"), ((1, v, 32, 32, 6, -1), "smaller stride"),
                             ((1, v, 32, -1, 6, -1), "smaller stride"), ((1, v, 32, 0, 0, -1), "0 passages"),
                             ((1, v, 32, 0, 6, v), "BOS"), ((1, v, 32, 0, 6, -2), "BOS"),
                             ((1, big, big, 0, big, -1), "another size"), ((1, big, big, 1, big, -1), "another size")]:
            with self.subTest(fields=fields):
                bad(signed(*fields), says)
        peer, _ = self.peer_file([row for row, _ in self.base_rows])
        for content, says in [(peer[:-1], "another size"), (peer[:15], "header"), (peer + b"\0", "another size"),
                              (peer[:20] + b"\xff" + peer[21:], "id "),
                              (peer[:20] + struct.pack("<i", -1) + peer[24:], "id -1 at index 0"),
                              (peer[:8] + struct.pack("<3i", big, big, big), "another size"),
                              (peer[: 20 + 4 * 192] + struct.pack("<f", math.nan) + peer[24 + 4 * 192 :], "scale")]:
            bad(content, says)

    def test_does_not_fit(self):
        path = self.path("base")
        self.measure(*self.given, "--save", path, model=BASE)
        run = lambda *more, says: self.bad(1, "perplexity", MODEL, "--kl", path, *more, says=says)
        run("-c", "16", says="made with -c 32 --ppl-stride 0")
        run("--ppl-stride", "4", says="made with -c 32 --ppl-stride 0")
        for n, other in (50, self.ids[:50] + self.ids[:150]), (100, self.ids[:100]):
            run("--ids", self.write("other", " ".join(map(str, other))), says=f"its token {n} differs")
        other = os.path.join(MODELS, "mistral-odd")
        if json.loads(self.good("info", other, "--json"))["hyperparameters"]["vocab_size"] != self.vocab_size:
            self.bad(1, "perplexity", other, "--kl", path, says="vocabulary of")
            self.bad(1, "perplexity", MODEL, *self.given, "--kl", other, says="vocabulary of")
        self.bad(1, "perplexity", MODEL, *self.given, "--kl", self.path("missing"), says="missing")
        self.bad(1, "perplexity", MODEL, *self.given, "--kl", self.write("text", "some text"))


class Text(Case):
    """A checkpoint with a tokenizer that adds BOS: random weights under a vocabulary of tests/data/text."""

    words = "The quick brown fox jumps over the lazy dog, and then it sleeps.\n" * 12

    def model(self, name, seed):
        folder = self.path(name)
        os.makedirs(folder)
        shutil.copy(TOKENIZER, os.path.join(folder, "tokenizer.model"))
        with open(os.path.join(MODELS, "mistral-window-8/config.json")) as f:
            config = json.load(f)
        config.update(vocab_size=self.size, num_hidden_layers=1, tie_word_embeddings=True)
        self.write(f"{name}/config.json", json.dumps(config))
        dim, hidden = config["hidden_size"], config["intermediate_size"]
        heads, kv = (config[k] * config["head_dim"] for k in ("num_attention_heads", "num_key_value_heads"))
        layer = "model.layers.0."
        shapes = {"model.embed_tokens.weight": [config["vocab_size"], dim], "model.norm.weight": [dim],
                  layer + "input_layernorm.weight": [dim], layer + "post_attention_layernorm.weight": [dim],
                  layer + "self_attn.q_proj.weight": [heads, dim], layer + "self_attn.k_proj.weight": [kv, dim],
                  layer + "self_attn.v_proj.weight": [kv, dim], layer + "self_attn.o_proj.weight": [dim, heads],
                  layer + "mlp.gate_proj.weight": [hidden, dim], layer + "mlp.up_proj.weight": [hidden, dim],
                  layer + "mlp.down_proj.weight": [dim, hidden]}
        rng, header, data = random.Random(seed), {}, b""
        for key, shape in shapes.items():
            values = array.array("f", (rng.gauss(0, 0.3) for _ in range(math.prod(shape))))
            header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * len(values)]}
            data += values.tobytes()
        header = json.dumps(header).encode()
        self.write(f"{name}/model.safetensors", struct.pack("<Q", len(header)) + header + data)
        return folder

    def tokens(self, model, text, *options):
        return list(map(int, self.good("tokenize", model, text, *options).split()))

    def setUp(self):
        super().setUp()
        # The vocabulary's size, as the message about an id too large has it.
        message = self.gale("detokenize", TOKENIZER, stdin=b"999999999").stderr.decode()
        self.size = int(message.rsplit(" to ", 1)[1].rstrip(")\n")) + 1
        self.one, self.two = self.model("one", 1), self.model("two", 2)

    def test_bos_at_each_passage(self):
        info = json.loads(self.good("info", self.one, "--json"))["tokenizer"]
        self.assertTrue(info["adds_bos"])
        bos = info["bos"]
        ids = self.tokens(self.one, self.words[:-1], "--bos")
        self.assertEqual(ids[0], bos)
        for options, stride in ([], 0), (["--ppl-stride", "8"], 8):
            cut = list(passages(ids, 24, stride, bos))
            self.assertGreater(len(cut), 3)
            rows = scored(self, self.one, cut)
            path = self.write("text", self.words)
            result = self.measure("-f", path, "-c", "24", *options, "--save", self.path("saved"), model=self.one)
            self.assertEqual((result["passages"], result["tokens_scored"]), (len(cut), len(rows)))
            self.near(result["perplexity"]["log"]["value"], mean([-row[i] for row, i in rows])[0])
            with open(self.path("saved"), "rb") as f:
                fields = struct.unpack("<6i", f.read()[8:32])
            self.assertEqual(fields[1:], (self.size, 24, stride, len(cut), bos))
            again = self.measure("--kl", self.path("saved"), "-f", path, model=self.one)
            self.assertEqual(again["perplexity"], result["perplexity"])
            self.assertLess(again["base"]["kl_divergence"]["mean"]["value"], 1e-8)
            both = self.measure("-f", path, "-c", "24", *options, "--kl", self.two, model=self.one)
            self.assertEqual(both["perplexity"], result["perplexity"])
        # One newline at the end does not count.
        path = self.write("text", self.words[:-1])
        self.assertEqual(self.measure("-f", path, "-c", "24", *options, model=self.one), result)

    def test_refused(self):
        path = self.write("text", self.words)
        self.bad(1, "perplexity", MODEL, "-f", path, says="no tokenizer")
        self.bad(1, "perplexity", self.one, "-f", self.write("empty", ""), says="fill no passage")
        self.bad(1, "perplexity", self.one, "-f", self.path("missing"), says="No such file")


class Usage(Case):
    def test_wrong_usage(self):
        for says, arguments in [("-f FILE is missing", [MODEL]), ("one is wanted", [MODEL, "-f", "x", "--ids", "y"]),
                                ("-f FILE is missing", [MODEL, "--kl", BASE]), ("unexpected", [MODEL, "text"]),
                                ("unknown option '--temp'", [MODEL, "-f", "x", "--temp", "1"]),
                                ("smaller stride", [MODEL, "--ids", "x", "-c", "16", "--ppl-stride", "16"]),
                                ("at least 4", [MODEL, "--ids", "x", "-c", "3"]),
                                ("from 0", [MODEL, "--ids", "x", "--chunks", "-1"])]:
            with self.subTest(arguments=arguments):
                self.bad(2, "perplexity", *arguments, says=says)
        self.bad(1, "perplexity", MODEL, "--ids", self.write("x", "1 2 x"), says="not a token id")
        self.bad(1, "perplexity", MODEL, "--ids", self.text, "-c", "203", "--ppl-stride", "1", says="no passage")
        self.bad(1, "perplexity", MODEL, "--ids", self.text, "-c", "202", "--ppl-stride", "1", says="at least 2")

    def test_progress_only_on_a_terminal(self):
        common = ["perplexity", MODEL, "--ids", self.text, "-c", "32"]
        self.assertEqual(self.gale(*common).stderr, b"")
        for quiet in (False, True):
            t = cli.Terminal(self.environment, self.folder, *common, *(["-q"] if quiet else []))
            self.assertEqual(t.status(), 0)
            self.assertEqual(b"[6/6] perplexity " in t.seen, not quiet, t.seen)

    def test_longer_passages_than_the_model_was_made_for(self):
        context = json.loads(self.good("info", MODEL, "--json"))["hyperparameters"]["context"]
        many = self.write("many", " ".join(map(str, self.ids * (context // 200 + 2))))
        common = ["perplexity", MODEL, "--ids", many, "-c", str(context + 1)]
        self.assertIn(b"was made for %d positions" % context, self.gale(*common).stderr)
        self.assertEqual(self.gale(*common, "-q").stderr, b"")

    def test_failures_leave_no_file(self):
        many = self.write("many", " ".join(map(str, self.ids * 4000)))
        p = subprocess.Popen([cli.GALE, "perplexity", MODEL, "--ids", many, "--save", self.path("saved")],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder)
        end = time.monotonic() + cli.TIMEOUT
        while not any(name.startswith("saved") for name in os.listdir(self.folder)) and time.monotonic() < end:
            time.sleep(0.01)
        p.send_signal(signal.SIGINT)
        out, message = p.communicate(timeout=cli.TIMEOUT)
        self.assertEqual((p.returncode, out, message), (130, b"", b""))
        nowhere = self.path("no/saved")
        self.bad(1, "perplexity", MODEL, "--ids", self.text, "-c", "32", "--save", nowhere, says="no/saved")
        self.assertFalse([name for name in os.listdir(self.folder) if name.startswith("saved")])
        with open("/dev/full", "wb") as full:
            r = self.gale("perplexity", MODEL, "--ids", self.text, "-c", "32", stdout=full)
        self.assertEqual(r.returncode, 1)


@cli.needs_demo
class Demo(Case):
    def test_english_is_predicted(self):
        text = self.write("text", "It is a truth universally acknowledged, that a single man in possession of a good "
                          "fortune, must be in want of a wife. " * 4)
        result = self.measure("-f", text, "-c", "32", "--kl", cli.DEMO, model=cli.DEMO)
        self.assertLess(result["perplexity"]["value"], 40)
        self.assertEqual(result["base"]["kl_divergence"]["mean"]["value"], 0)


if __name__ == "__main__":
    unittest.main()
