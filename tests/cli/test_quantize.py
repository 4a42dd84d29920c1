"""gale quantize, and --quant: files of every family and kind of tokenizer. GALE in the environment is the tool's path.

Checkpoints are made here, tiny and random, in the form of Hugging Face and of Mistral; a file in F32 must give the same
logits as they do, bit for bit, and the same token ids. Files and --quant must agree for the other types.
"""

import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GALE = os.path.abspath(os.environ.get("GALE", os.path.join(ROOT, "build/release/gale")))
TEXTS = os.path.join(ROOT, "tests/data/text")
MODELS = os.path.join(ROOT, "tests/data/models")
TYPES = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k", "q4_k_s", "q4_k_m",
         "q5_k_m"]
TIMEOUT = 120


def random_floats(rng, n, scale, mean=0.0):
    return struct.pack(f"<{n}f", *(rng.gauss(mean, scale) for _ in range(n)))


def save_safetensors(path, tensors):
    """tensors: name -> (shape, bytes of float32)."""
    header, at = {}, 0
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, data in tensors.values():
            f.write(data)


LLAMA = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 80, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
         "max_position_embeddings": 256, "hidden_act": "silu", "tie_word_embeddings": False}
GEMMA = LLAMA | {"hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6,
                 "tie_word_embeddings": True}
YARN = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 16.0, "original_max_position_embeddings": 64,
        "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}
FAMILIES = {
    "llama": LLAMA | {"architectures": ["LlamaForCausalLM"]},
    "llama-3.1": LLAMA | {
        "architectures": ["LlamaForCausalLM"], "rope_theta": 500000.0,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 64}},
    "llama-linear": LLAMA | {"architectures": ["LlamaForCausalLM"], "rope_scaling": {"type": "linear", "factor": 4.0}},
    "mistral-window": LLAMA | {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": 8},
    "mistral-no-window": LLAMA | {"architectures": ["MistralForCausalLM"], "model_type": "mistral",
                                  "sliding_window": None},
    "ministral-layers": LLAMA | {
        "architectures": ["MinistralForCausalLM"], "model_type": "ministral", "sliding_window": 8,
        "layer_types": ["full_attention", "sliding_attention"]},
    "ministral-3": LLAMA | {"architectures": ["Ministral3ForCausalLM"], "model_type": "ministral3",
                            "rope_parameters": YARN, "sliding_window": None},
    "mistral-yarn": LLAMA | {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": None,
                             "rope_scaling": {"rope_type": "yarn", "factor": 4.0,
                                              "original_max_position_embeddings": 32}},
    "mixtral": LLAMA | {"architectures": ["MixtralForCausalLM"], "num_local_experts": 4, "num_experts_per_tok": 2,
                        "sliding_window": None},
    "gemma": GEMMA | {"architectures": ["GemmaForCausalLM"]},
    "gemma-2": GEMMA | {"architectures": ["Gemma2ForCausalLM"], "sliding_window": 8, "query_pre_attn_scalar": 16,
                        "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    "gemma-3": GEMMA | {"architectures": ["Gemma3ForCausalLM"], "sliding_window": 8, "query_pre_attn_scalar": 16,
                        "num_hidden_layers": 6, "rope_theta": 1e6, "rope_local_base_freq": 10000.0,
                        "rope_scaling": {"rope_type": "linear", "factor": 8.0}},
    # As many layers as a release that scales, of which GGUF files may not say so: that this does not is stated.
    "gemma-3-unscaled": GEMMA | {"architectures": ["Gemma3ForCausalLM"], "sliding_window": 8, "query_pre_attn_scalar": 8,
                                 "num_hidden_layers": 34, "hidden_size": 32, "intermediate_size": 32, "head_dim": 8,
                                 "rope_theta": 1e6, "rope_local_base_freq": 10000.0},
}


def block_tensors(config, layer, add):
    prefix, dim, hidden = f"model.layers.{layer}.", config["hidden_size"], config["intermediate_size"]
    q = config["num_attention_heads"] * config["head_dim"]
    kv = config["num_key_value_heads"] * config["head_dim"]
    family = config["architectures"][0]
    for name, rows, cols in [("q", q, dim), ("k", kv, dim), ("v", kv, dim), ("o", dim, q)]:
        add(f"{prefix}self_attn.{name}_proj.weight", rows, cols)
    norms = ["input_layernorm", "post_attention_layernorm"]
    if family.startswith(("Gemma2", "Gemma3")):
        norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    for name in norms:
        add(f"{prefix}{name}.weight", 0, dim)
    if family.startswith("Gemma3"):
        for name in "qk":
            add(f"{prefix}self_attn.{name}_norm.weight", 0, config["head_dim"])
    n_experts = config.get("num_local_experts", 0)
    if n_experts:
        add(f"{prefix}block_sparse_moe.gate.weight", n_experts, dim)
    for e in range(n_experts):
        for name, rows, cols in [("w1", hidden, dim), ("w2", dim, hidden), ("w3", hidden, dim)]:
            add(f"{prefix}block_sparse_moe.experts.{e}.{name}.weight", rows, cols)
    if not n_experts:
        for name, rows, cols in [("gate", hidden, dim), ("down", dim, hidden), ("up", hidden, dim)]:
            add(f"{prefix}mlp.{name}_proj.weight", rows, cols)


def random_tensors(config, seed=1):
    rng, tensors = random.Random(seed), {}
    gemma = config["architectures"][0].startswith("Gemma")

    def add(name, rows, cols):
        if rows:
            tensors[name] = ([rows, cols], random_floats(rng, rows * cols, cols ** -0.5))
        else:
            tensors[name] = ([cols], random_floats(rng, cols, 0.1, 0 if gemma else 1))

    add("model.embed_tokens.weight", config["vocab_size"], config["hidden_size"])
    for layer in range(config["num_hidden_layers"]):
        block_tensors(config, layer, add)
    add("model.norm.weight", 0, config["hidden_size"])
    if not config["tie_word_embeddings"]:
        add("lm_head.weight", config["vocab_size"], config["hidden_size"])
    return tensors


def save_hf(folder, config, tensors=None):
    os.makedirs(folder)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f)
    save_safetensors(os.path.join(folder, "model.safetensors"), tensors or random_tensors(config))
    return folder


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="gale-quantize-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.ids = self.path("ids.txt")
        with open(self.ids, "w") as f:
            f.write(" ".join(str(i * 37 % 61) for i in range(40)))

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def gale(self, *arguments):
        return subprocess.run([GALE, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT)

    def good(self, *arguments):
        r = self.gale(*arguments)
        self.assertEqual(r.returncode, 0, r.stderr.decode())
        return r.stdout

    def bad(self, says, *arguments, status=1):
        r = self.gale(*arguments)
        self.assertEqual(r.returncode, status, r.stderr.decode())
        self.assertEqual(r.stdout, b"")
        self.assertIn(says, r.stderr.decode())

    def quantize(self, model, type, *options):
        out = self.path(f"{os.path.basename(model)}-{type}.gguf")
        self.good("quantize", model, out, "--type", type, "-q", *options)
        return out

    def logits(self, model, *options):
        out = self.path("logits.npy")
        self.good("logits", model, "--ids", self.ids, "--out", out, "--kv", "f32", "-q", *options)
        return self.content(out)

    def content(self, path):
        with open(path, "rb") as f:
            return f.read()

    def leaves(self, *names):
        """Only these are in the folder, besides the ids."""
        self.assertEqual(sorted(os.listdir(self.folder)), sorted([*names, "ids.txt"]))


class Families(Case):
    def test_f32_files_give_the_logits_of_their_source(self):
        for name, config in FAMILIES.items():
            with self.subTest(name):
                model = save_hf(self.path(name), config)
                file, source = self.logits(self.quantize(model, "f32")), self.logits(model)
                self.assertEqual(file, source)

    def test_files_and_quantising_at_load_agree(self):
        for name, config in FAMILIES.items():
            for type in ["q8_0", "q4_k_m"]:
                with self.subTest(name, type=type):
                    model = self.path(name)
                    if not os.path.exists(model):
                        save_hf(model, config)
                    file, load = self.logits(self.quantize(model, type)), self.logits(model, "--quant", type)
                    self.assertEqual(file, load)

    def test_what_gguf_cannot_say_is_refused(self):
        model = save_hf(self.path("m"), FAMILIES["gemma-2"] | {"query_pre_attn_scalar": 100})
        self.bad("scale of the attention scores", "quantize", model, self.path("x.gguf"), "--type", "f32")
        self.leaves("m")

    def test_experts_are_stacked_and_their_router_is_f32(self):
        file = self.quantize(save_hf(self.path("m"), FAMILIES["mixtral"]), "q8_0")
        table = self.good("info", file, "--tensors").decode()
        self.assertRegex(table, r"blk\.0\.ffn_gate_exps\.weight\s.*Q8_0")
        self.assertRegex(table, r"blk\.0\.ffn_gate_inp\.weight\s.*F32")


class Tokenizers(Case):
    TEXT = "Hello, world! 123 \u00e9t\u00e9 \u4f60\u597d  two  spaces\n\tend </s> <|im_end|>"

    def convert(self, tokenizer, name, settings=None):
        if not os.path.exists(self.path(name)):
            shutil.copy(os.path.join(TEXTS, tokenizer), self.path(name))
        before = self.good("tokenize", self.path(name), self.TEXT)
        size = 4096
        config = FAMILIES["llama"] | {"vocab_size": size, "hidden_size": 32}
        model = save_hf(self.path("m-" + tokenizer), config)
        shutil.move(self.path(name), os.path.join(model, name))
        if settings:
            with open(os.path.join(model, "tokenizer_config.json"), "w") as f:
                json.dump(settings, f)
        return model, before

    def test_each_kind_gives_the_same_ids(self):
        self.whole_twin()
        for tokenizer, name in [("cut.model", "tokenizer.model"), ("twin.json", "tokenizer.json"),
                                ("smollm.json", "tokenizer.json")]:
            with self.subTest(tokenizer):
                model, before = self.convert(tokenizer, name)
                file = self.quantize(model, "f16")
                self.assertEqual(self.good("tokenize", file, self.TEXT), before)
                if tokenizer != "smollm.json":  # which has no BOS
                    self.assertEqual(self.good("tokenize", file, "x", "--bos"), self.good("tokenize", model, "x", "--bos"))

    def whole_twin(self):
        """twin.json with every character a piece, as real tokenizers have it."""
        with open(os.path.join(TEXTS, "twin.json")) as f:
            twin = json.load(f)
        vocab, added = twin["model"]["vocab"], {t["content"] for t in twin["added_tokens"]}
        normal = [t for t in vocab if t not in added and not t.startswith(("<0x", "["))]
        for character in sorted({c for t in normal for c in t} - set(vocab)):
            vocab[character] = len(vocab)
            normal.append(character)
        pieces = set(normal)
        twin["model"]["merges"] = [f"{t[:i]} {t[i:]}" for t in normal for i in range(1, len(t))
                                   if t[:i] in pieces and t[i:] in pieces]
        made = {m.replace(" ", "") for m in twin["model"]["merges"]}
        for token in [t for t in vocab if len(t) > 1 and t not in made and t not in added and not t.startswith("<0x")]:
            twin["added_tokens"].append({"id": vocab[token], "content": token, "special": True})
        with open(self.path("tokenizer.json"), "w") as f:
            json.dump(twin, f)

    def test_merges_that_are_no_scores_are_refused(self):
        model, _ = self.convert("twin.json", "tokenizer.json")
        self.bad("a piece that none makes", "quantize", model, self.path("x.gguf"), "--type", "f16")

    def test_the_chat_template_goes_along(self):
        template = "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>'}}{% endfor %}"
        model, _ = self.convert("smollm.json", "tokenizer.json",
                                settings={"chat_template": template, "eos_token": "<|im_end|>"})
        file = self.quantize(model, "f16")
        request = self.path("request.json")
        with open(request, "w") as f:
            json.dump({"messages": [{"role": "user", "content": "Hi"}]}, f)
        self.assertEqual(self.good("tokenize", file, "--chat", request),
                         self.good("tokenize", model, "--chat", request))

    def native(self, version, settings=None):
        """A Mistral directory with one layer and a tekken vocabulary of that version."""
        with open(os.path.join(TEXTS, "tekken.json")) as f:
            tekken = json.load(f)
        tekken["config"]["version"] = version
        if settings:
            tekken["model_settings_builder"] = settings
        dim, rows, tensors = 32, tekken["config"]["default_vocab_size"] + 8, {}
        for name, shape in [("tok_embeddings", [rows, dim]), ("output", [rows, dim]), ("norm", [dim]),
                            ("layers.0.attention_norm", [dim]), ("layers.0.ffn_norm", [dim]),
                            *[(f"layers.0.attention.w{c}", [dim, dim]) for c in "qkvo"],
                            *[(f"layers.0.feed_forward.w{c}", [dim, dim]) for c in "123"]]:
            n = dim * (shape[0] if len(shape) > 1 else 1)
            tensors[name + ".weight"] = (shape, random_floats(random.Random(1), n, 0.1))
        model = self.path("native-" + version)
        os.makedirs(model)
        save_safetensors(os.path.join(model, "consolidated.safetensors"), tensors)
        for name, data in [("tekken.json", tekken), ("params.json", {
                "dim": dim, "n_layers": 1, "head_dim": 8, "hidden_dim": dim, "n_heads": 4, "n_kv_heads": 4,
                "norm_eps": 1e-5, "vocab_size": rows, "rope_theta": 10000.0})]:
            with open(os.path.join(model, name), "w") as f:
                json.dump(data, f)
        return model

    def test_tekken_gives_the_same_ids_and_prompts(self):
        settings = {"reasoning_effort": {"type": "enum", "values": ["none", "high"], "accepts_none": True, "default": "high"},
                    "json_schema": {"type": "json_schema", "accepts_none": False, "default": None}}
        request = self.path("request.json")
        with open(request, "w") as f:
            json.dump({"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": self.TEXT}],
                       "tools": [{"type": "function", "function": {"name": "f"}}]}, f)
        words = ["the", " then", "another", "information", "ing", "tion ", "aaaaaaa", "    x", "123", "\n\n\n", "été"]
        rng = random.Random(1)
        lines = self.path("lines.txt")
        with open(lines, "w") as f:
            for _ in range(500):
                f.write(json.dumps("".join(rng.choice(words + list("abcdeinrst  ")) for _ in range(12))) + "\n")
        for version in ("v3", "v7", "v11", "v13", "v15"):
            with self.subTest(version):
                model = self.native(version, settings if version == "v15" else None)
                file = self.quantize(model, "f16")
                self.assertEqual(self.good("tokenize", file, self.TEXT), self.good("tokenize", model, self.TEXT))
                self.assertEqual(self.good("tokenize", file, "--lines", lines), self.good("tokenize", model, "--lines", lines))
                self.assertEqual(self.good("tokenize", file, "--chat", request), self.good("tokenize", model, "--chat", request))
                self.assertEqual(self.good("tokenize", file, "x", "--bos"), self.good("tokenize", model, "x", "--bos"))


class Files(Case):
    TINY = os.path.join(MODELS, "gguf-f32/model.gguf")

    def test_threads_leave_the_bytes_unchanged(self):
        model = save_hf(self.path("m"), FAMILIES["mixtral"] | {"hidden_size": 256, "head_dim": 64, "num_hidden_layers": 1,
                                                               "intermediate_size": 256, "num_local_experts": 2})
        for type in TYPES:
            with self.subTest(type):
                files = [self.content(self.quantize(model, type, "-t", threads)) for threads in "123"]
                self.assertEqual(files[0], files[1])
                self.assertEqual(files[0], files[2])

    def test_the_same_type_again_copies(self):
        model = save_hf(self.path("m"), FAMILIES["llama"] | {"hidden_size": 256, "head_dim": 64})
        for type in TYPES:
            with self.subTest(type):
                once = self.quantize(model, type)
                self.assertEqual(self.content(self.quantize(once, type)), self.content(once))

    def test_a_file_in_place_of_another_and_none_after_an_error(self):
        out = self.path("out.gguf")
        with open(out, "wb") as f:
            f.write(b"old")
        self.bad("unknown type", "quantize", self.TINY, out, "--type", "q9_9")
        self.bad("No such file", "quantize", self.path("none.gguf"), out, "--type", "q8_0")
        self.assertEqual(self.content(out), b"old")
        self.good("quantize", self.TINY, out, "--type", "q8_0", "-q")
        self.assertTrue(self.content(out).startswith(b"GGUF"))
        self.leaves("out.gguf")

    def test_a_model_is_not_replaced_by_itself(self):
        model, link = self.path("m.gguf"), self.path("link.gguf")
        shutil.copy(self.TINY, model)
        os.link(model, link)
        for out in [model, link, self.path(".", "m.gguf")]:
            self.bad("another name", "quantize", model, out, "--type", "q8_0")
        self.assertEqual(self.content(model), self.content(self.TINY))

    def test_numbers_that_are_not_finite_name_their_tensor(self):
        for value, type, says in [(float("nan"), "q8_0", "finite"), (float("inf"), "f16", "finite"),
                                  (1e5, "q4_0", "65504")]:
            with self.subTest(type):
                tensors = random_tensors(FAMILIES["llama"])
                shape, data = tensors["model.layers.1.mlp.up_proj.weight"]
                data = data[:4 * 70] + struct.pack("<f", value) + data[4 * 71:]
                tensors["model.layers.1.mlp.up_proj.weight"] = (shape, data)
                model = save_hf(self.path("m-" + type), FAMILIES["llama"], tensors)
                out = self.path("x.gguf")
                for threads in "13":
                    r = self.gale("quantize", model, out, "--type", type, "-t", threads)
                    self.assertEqual(r.returncode, 1)
                    for part in ["model.layers.1.mlp.up_proj.weight", "row 1, column 6", says]:
                        self.assertIn(part, r.stderr.decode())
                self.bad("up_proj", "logits", model, "--ids", self.ids, "--out", out, "--quant", type)
                self.assertFalse(os.path.exists(out))

    def test_no_room(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        r = subprocess.run([GALE, "quantize", self.TINY, self.path("x.gguf"), "--type", "f32"], preexec_fn=limit,
                           capture_output=True, timeout=TIMEOUT)
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"writing", r.stderr)
        self.leaves()

    def test_an_interrupt_leaves_nothing(self):
        work = subprocess.Popen([GALE, "quantize", "shape:llama-3.2-1b@q4_0", self.path("x.gguf"), "--type", "q6_k"],
                                stderr=subprocess.PIPE)
        deadline = time.monotonic() + TIMEOUT
        while not any(os.path.getsize(self.path(n)) > 1 << 20 for n in os.listdir(self.folder) if "tmp" in n):
            self.assertLess(time.monotonic(), deadline)
            self.assertIsNone(work.poll())
            time.sleep(0.02)
        work.send_signal(signal.SIGINT)
        work.communicate(timeout=TIMEOUT)
        self.assertEqual(work.returncode, 130)
        self.leaves()

    def test_twins_have_the_same_tensors(self):
        twins = [os.path.join(MODELS, name) for name in ["mistral-window-8", "native-window-8",
                                                         "gguf-window-8/model.gguf"]]
        for type in ["f32", "q8_0", "q4_0", "q5_k_m"]:
            with self.subTest(type):
                files = []
                for i, twin in enumerate(twins):
                    out = self.path(f"{i}.gguf")
                    self.good("quantize", twin, out, "--type", type, "-q")
                    files.append(self.content(out))
                size = self.tensor_bytes(self.path("0.gguf"))
                self.assertEqual(files[0][-size:], files[1][-size:])
                self.assertEqual(files[0][-size:], files[2][-size:])

    def tensor_bytes(self, path):
        with open(path, "rb") as f:
            data = f.read()
        return len(data) - data.rindex(b"output_norm.weight") - 200

    def test_wrong_usage(self):
        self.bad("--type TYPE is missing", "quantize", self.TINY, self.path("x.gguf"), status=2)
        self.bad("usage is", "quantize", self.TINY, "--type", "q8_0", status=2)

    def test_rows_that_do_not_fit_fall_back_and_it_is_said(self):
        model = save_hf(self.path("m"), FAMILIES["llama"] | {"hidden_size": 80, "head_dim": 20,
                                                             "intermediate_size": 96})
        table = self.good("info", self.quantize(model, "q4_k"), "--tensors").decode()
        self.assertRegex(table, r"blk\.0\.ffn_down\.weight\s.*Q5_0")
        self.assertRegex(table, r"blk\.0\.ffn_up\.weight\s.*F16")
        r = self.gale("logits", model, "--ids", self.ids, "--out", self.path("x.npy"), "--quant", "q4_k")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn(b"matrices are of another type than q4_k", r.stderr)


if __name__ == "__main__":
    unittest.main()
