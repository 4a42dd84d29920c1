"""Tokenizers and templates as models in the field have them, through the command. GALE in the environment is its path.

The models are made here: one layer of zeros, so that the next token depends on the last one alone, as FOLLOW says.
"""

import json
import os
import random
import shutil
import struct
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GALE = os.path.abspath(os.environ.get("GALE", os.path.join(ROOT, "build/release/gale")))
TEXTS = os.path.join(ROOT, "tests/data/text")
DIM = 64
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def alphabet():
    """The characters of bytes in byte-level BPE."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in kept]
    return [chr(b) if b in kept else chr(256 + others.index(b)) for b in range(256)]


def bytes_vocabulary(special):
    return alphabet() + special, [NORMAL] * 256 + [CONTROL] * len(special)


def pieces_vocabulary(special):
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + ["\u2581"]
    tokens += [chr(c) for c in range(0x21, 0x7F)]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * 95 + [CONTROL] * len(special)
    return tokens + special, types


def chain(rows, follow):
    """The embedding, and the output that makes follow[i] the likeliest behind token i."""
    rng = random.Random(1)
    embedding = [[rng.choice((-1.0, 1.0)) for _ in range(DIM)] for _ in range(rows)]
    output = [[0.0] * DIM for _ in range(rows)]
    for i, row in enumerate(embedding):
        target = output[follow.get(i, i)]
        for k in range(DIM):
            target[k] += row[k]
    return [struct.pack(f"<{rows * DIM}f", *(x for row in m for x in row)) for m in (embedding, output)]


GGUF_NAMES = {"embedding": "token_embd", "output": "output", "norm": "output_norm", "layer": "blk.0."}
GGUF_LAYER = ["attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_down", "ffn_up"]
HF_NAMES = {"embedding": "model.embed_tokens", "output": "lm_head", "norm": "model.norm", "layer": "model.layers.0."}
HF_LAYER = ["input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
            "post_attention_layernorm", "mlp.gate_proj", "mlp.down_proj", "mlp.up_proj"]


def tensors(rows, follow, names, layer):
    """name -> (shape, bytes)."""
    embedding, output = chain(rows, follow)
    ones = struct.pack(f"<{DIM}f", *[1.0] * DIM)
    made = {names["embedding"]: ([rows, DIM], embedding), names["output"]: ([rows, DIM], output),
            names["norm"]: ([DIM], ones)}
    for i, name in enumerate(layer):
        norm = i in (0, 5)
        made[names["layer"] + name] = ([DIM] if norm else [DIM, DIM], ones if norm else bytes(4 * DIM * DIM))
    return {name + ".weight": t for name, t in made.items()}


def text_bytes(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def value_bytes(value):
    """A GGUF value with its type in front."""
    if isinstance(value, bool):
        return struct.pack("<IB", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + text_bytes(value)
    items = [value_bytes(item) for item in value]
    return struct.pack("<I", 9) + items[0][:4] + struct.pack("<Q", len(items)) + b"".join(i[4:] for i in items)


def save_gguf(path, rows, keys, follow=None):
    settings = {"general.architecture": "llama", "llama.context_length": 256, "llama.embedding_length": DIM,
                "llama.block_count": 1, "llama.feed_forward_length": DIM, "llama.attention.head_count": 2,
                "llama.attention.head_count_kv": 2, "llama.attention.layer_norm_rms_epsilon": 1e-5, **keys}
    settings = {key: value for key, value in settings.items() if value is not None}
    made = tensors(rows, follow or {}, GGUF_NAMES, GGUF_LAYER)
    out = b"GGUF" + struct.pack("<IQQ", 3, len(made), len(settings))
    for key, value in settings.items():
        out += text_bytes(key) + value_bytes(value)
    at = 0
    for name, (shape, data) in made.items():
        out += text_bytes(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in shape[::-1])
        out += struct.pack("<IQ", 0, at)
        at += len(data)
    with open(path, "wb") as f:
        f.write(out + bytes(-len(out) % 32) + b"".join(data for _, data in made.values()))


def bpe_keys(special, **more):
    tokens, types = bytes_vocabulary(special)
    return {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": types, "tokenizer.ggml.merges": ["h e"], **more}


def with_merge(keys):
    """The merge needs its token; it stands behind all others."""
    return keys | {"tokenizer.ggml.tokens": keys["tokenizer.ggml.tokens"] + ["he"],
                   "tokenizer.ggml.token_type": keys["tokenizer.ggml.token_type"] + [NORMAL]}


def piece_keys(special, **more):
    tokens, types = pieces_vocabulary(special)
    return {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types,
            "tokenizer.ggml.scores": [-float(i) for i in range(len(tokens))], "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2, **more}


def save_safetensors(path, made):
    header, at = {}, 0
    for name, (shape, data) in made.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data for _, data in made.values()))


def save_hf(folder, rows, files, follow=None):
    os.makedirs(folder)
    save_safetensors(os.path.join(folder, "model.safetensors"), tensors(rows, follow or {}, HF_NAMES, HF_LAYER))
    config = {"architectures": ["LlamaForCausalLM"], "hidden_size": DIM, "intermediate_size": DIM,
              "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": rows,
              "rms_norm_eps": 1e-5, "max_position_embeddings": 256, "hidden_act": "silu",
              "tie_word_embeddings": False}
    for name, value in {"config.json": config, **files}.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            json.dump(value, f)


LLAMA3 = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="gale-vocabularies-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.environment = dict(os.environ, XDG_CACHE_HOME=self.path("cache"), HOME=self.folder, LC_ALL="C.UTF-8")

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def gale(self, *arguments, stdin=b""):
        r = subprocess.run([GALE, *arguments], input=stdin, capture_output=True, env=self.environment, timeout=120)
        return r.returncode, r.stdout, r.stderr.decode()

    def good(self, *arguments, stdin=b""):
        code, out, err = self.gale(*arguments, stdin=stdin)
        self.assertEqual(code, 0, err)
        return out

    def gguf(self, name, keys, follow=None, rows=None):
        path = self.path(name)
        save_gguf(path, rows or len(keys["tokenizer.ggml.tokens"]), keys, follow)
        return path

    def tokenizer_info(self, path):
        return json.loads(self.good("info", path, "--json"))["tokenizer"]


class Files(Case):
    def test_mistrals_own_files_in_a_directory_of_hugging_face(self):
        with open(os.path.join(TEXTS, "tekken.json"), encoding="utf-8") as f:
            rows = json.load(f)["config"]["default_vocab_size"]
        for source, names, n, kind in [
                ("tekken.json", ("tekken.json", "tekken_240911.json"), rows, "byte-level BPE (tekken)"),
                ("v3.model", ("tokenizer.model.v3", "instruct_240323.model.v3", "tokenizer.model.v7m1"), None,
                 "SentencePiece")]:
            path = os.path.join(TEXTS, source)
            if not os.path.isfile(path):
                path = os.path.join(TEXTS, "cut.model")
            n = n or int(json.loads(self.good("info", self.spm_model(path), "--json"))["tokenizer"]["size"])
            for name in names:
                with self.subTest(name=name):
                    folder = self.path(name)
                    save_hf(folder, n, {})
                    shutil.copy(path, os.path.join(folder, name))
                    self.assertEqual(self.tokenizer_info(folder)["kind"], kind)
                    self.good("run", folder, "hi", "-n", "1", "-q", "--raw")
                    self.good("tokenize", folder, "hi")

    def spm_model(self, path):
        """A directory whose embedding has room for any sample's tokens."""
        folder = self.path("spm")
        if not os.path.isdir(folder):
            save_hf(folder, 4000, {})
            shutil.copy(path, os.path.join(folder, "tokenizer.model"))
        return folder

    def test_the_latest_version_counts(self):
        folder = self.path("m")
        save_hf(folder, 4000, {})
        for name in ("tokenizer.model.v1", "tokenizer.model.v11", "tokenizer.model.v3"):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write("{")
        code, _, err = self.gale("info", folder)
        self.assertEqual(code, 1)
        self.assertIn("tokenizer.model.v11", err)


class Rows(Case):
    def test_tokens_without_a_row(self):
        keys = with_merge(bpe_keys(LLAMA3, **{"tokenizer.ggml.bos_token_id": 256}))
        rows = len(keys["tokenizer.ggml.tokens"])
        for kind, good in ((CONTROL, True), (USER, True), (UNUSED, True), (NORMAL, False)):
            with self.subTest(kind=kind):
                spare = keys | {"tokenizer.ggml.tokens": keys["tokenizer.ggml.tokens"] + ["<image>"],
                                "tokenizer.ggml.token_type": keys["tokenizer.ggml.token_type"] + [kind]}
                path = self.gguf(f"{kind}.gguf", spare, rows=rows)
                if not good:
                    code, _, err = self.gale("run", path, "hi", "-n", "1")
                    self.assertEqual(code, 1)
                    self.assertIn(f'token {rows}, "<image>"', err)
                    continue
                self.good("run", path, "hi", "-n", "1", "-q")
                self.assertNotIn(str(rows).encode(), self.good("tokenize", path, "<image>").split())
                self.good("quantize", path, self.path("q.gguf"), "--type", "f16", "-q")
                self.good("run", self.path("q.gguf"), "hi", "-n", "1", "-q")

    def test_a_row_without_a_token_is_never_drawn(self):
        keys = with_merge(bpe_keys(LLAMA3, **{"tokenizer.ggml.bos_token_id": 256}))
        tokens = len(keys["tokenizer.ggml.tokens"])
        path = self.gguf("padded.gguf", keys, {i: tokens + 2 for i in range(tokens)}, rows=tokens + 3)
        for temperature in ("0", "1", "5"):
            self.good("run", path, "hi", "--raw", "-n", "8", "-q", "--temp", temperature, "--top-k", "0", "--seed", "1")

    def test_hugging_face(self):
        tokens = bytes_vocabulary([])[0] + ["he"]
        pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                   r"|\s*[\r\n]+|\s+(?!\S)|\s+")
        added = [{"id": 257 + i, "content": t, "special": True} for i, t in enumerate(LLAMA3 + ["<image>"])]
        tokenizer = {"added_tokens": added, "normalizer": None, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]},
            "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens)}, "merges": ["h e"]}}
        folder = self.path("hf")
        save_hf(folder, 262, {"tokenizer.json": tokenizer})
        self.good("run", folder, "hi", "-n", "1", "-q")
        self.good("quantize", folder, self.path("q.gguf"), "--type", "f16", "-q")
        self.assertEqual(self.tokenizer_info(self.path("q.gguf"))["size"], 262)
        added[-1]["special"] = False
        save_hf(self.path("hf2"), 262, {"tokenizer.json": tokenizer})
        self.good("run", self.path("hf2"), "<image>", "-n", "1", "-q")
        tokenizer["model"]["vocab"]["<image>"] = 262
        added.pop()
        save_hf(self.path("hf3"), 262, {"tokenizer.json": tokenizer})
        code, _, err = self.gale("run", self.path("hf3"), "hi", "-n", "1")
        self.assertEqual(code, 1)
        self.assertIn("<image>", err)


class Ends(Case):
    def test_every_end_ends_an_answer(self):
        template = "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}<|eot_id|>"
        for end in ("<|end_of_text|>", "<|eot_id|>"):
            keys = with_merge(bpe_keys(LLAMA3, **{"tokenizer.ggml.bos_token_id": 256, "tokenizer.ggml.eos_token_id": 260,
                                                  "tokenizer.chat_template": template}))
            id_of = keys["tokenizer.ggml.tokens"].index
            follow = {id_of(alphabet()[10]): ord("H"), ord("H"): 0, id_of("H"): id_of("i"), id_of("i"): id_of(end),
                      id_of(end): id_of("X")}
            path = self.gguf("eot.gguf", keys, follow)
            self.assertEqual(self.good("run", path, "hello", "--temp", "0", "-n", "12", "-q", stdin=b"").strip()[-1:],
                             b"i")

    def test_listed_ids(self):
        keys = with_merge(bpe_keys(["<|begin_of_text|>", "<stop>", "<halt>"],
                                   **{"tokenizer.ggml.bos_token_id": 256, "tokenizer.ggml.eos_token_id": 257,
                                      "tokenizer.ggml.eos_token_ids": [257, 258]}))
        id_of = keys["tokenizer.ggml.tokens"].index
        path = self.gguf("ids.gguf", keys, {id_of("o"): id_of("H"), id_of("H"): 258, 258: id_of("X")})
        self.assertEqual(self.good("run", path, "hello", "--raw", "--temp", "0", "-n", "8", "-q").strip(), b"H")


class Templates(Case):
    ZEPHYR = ("{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}{% endfor %}"
              "{{ '<|assistant|>\n' }}")

    def test_zephyr(self):
        path = self.gguf("zephyr.gguf", piece_keys([], **{"tokenizer.chat_template": self.ZEPHYR}))
        with open(self.path("r.json"), "w", encoding="utf-8") as f:
            json.dump({"messages": [{"role": "user", "content": "hi"}]}, f)
        ids = self.good("tokenize", path, "--chat", self.path("r.json"))
        self.assertEqual(self.good("detokenize", path, "--special", stdin=ids),
                         b"<|user|>\nhi</s> \n<|assistant|>\n")

    def test_one_that_is_not_known_is_said(self):
        path = self.gguf("odd.gguf", piece_keys([], **{"tokenizer.chat_template": "{{ 'USER: ' + m.content }}"}))
        code, _, err = self.gale("run", path, "hi", "-n", "1")
        self.assertEqual(code, 0)
        self.assertIn("USER: ", err)
        self.assertIn("--template", err)
        self.assertIn("--raw", err)
        for quiet in (["--raw"], ["--template", "zephyr"]):
            self.assertNotIn("USER: ", self.gale("run", path, "hi", "-n", "1", *quiet)[2])
        self.assertIn(b"not known", self.good("info", path))
        self.assertTrue(self.tokenizer_info(path)["unknown_chat_template"].startswith("{{ 'USER: "))
        code, _, err = self.gale("run", path, "hi", "--system", "Be brief.", "-n", "1")
        self.assertEqual(code, 1)
        self.assertIn("not known", err)

    def test_control_tokens_show_it(self):
        for name, marks in [("chatml", ["<|im_start|>", "<|im_end|>"]), ("gemma", ["<start_of_turn>", "<end_of_turn>"]),
                            ("llama-3", LLAMA3[2:])]:
            with self.subTest(name=name):
                path = self.gguf(f"{name}.gguf", piece_keys(marks))
                self.assertEqual(self.tokenizer_info(path)["chat_template"], name)
                self.assertIn(name, self.gale("run", path, "hi", "-n", "1")[2])


class Overrides(Case):
    def test_every_command_that_opens_a_file(self):
        path = self.gguf("odd.gguf", with_merge(bpe_keys(LLAMA3, **{"tokenizer.ggml.pre": "odd"})))
        text = self.path("text")
        with open(text, "w", encoding="utf-8") as f:
            f.write("hi there, hi there, hi there")
        way_out = ["--override", "tokenizer.ggml.pre=llama-bpe"]
        for arguments in (["tokenize", path, "hi"], ["detokenize", path], ["run", path, "hi", "-n", "1"],
                          ["perplexity", path, "-f", text, "-c", "8"]):
            with self.subTest(command=arguments[0]):
                code, _, err = self.gale(*arguments, stdin=b"104 105")
                self.assertEqual(code, 1)
                self.assertIn(" ".join(way_out), err)
                self.good(*arguments, *way_out, stdin=b"104 105")
        self.assertEqual(self.good("tokenize", path, "hi", *way_out), b"104 105\n")
        out = self.path("q.gguf")
        self.good("quantize", path, out, "--type", "f16", "-q", *way_out)
        self.assertEqual(self.good("tokenize", out, "hi"), b"104 105\n")

    def test_a_missing_name_is_said(self):
        path = self.gguf("none.gguf", with_merge(bpe_keys(LLAMA3, **{"tokenizer.ggml.pre": None})))
        for command in (["tokenize", path, "hi"], ["run", path, "hi", "-n", "1"]):
            code, _, err = self.gale(*command)
            self.assertEqual(code, 0)
            self.assertIn("--override tokenizer.ggml.pre=llama-bpe", err)

    def test_a_tokenizers_file_has_no_metadata(self):
        code, _, err = self.gale("tokenize", os.path.join(TEXTS, "smollm.json"), "hi", "--override", "a=1")
        self.assertEqual(code, 1)
        self.assertIn("a=1", err)


if __name__ == "__main__":
    unittest.main()
