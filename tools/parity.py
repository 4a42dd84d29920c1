#!/usr/bin/env python3
"""Compares gale's tokenizers and prompts with their references at length: random texts, conversations, answers.

usage: parity.py libgale.so [--count N] [--seed N] [--only NAME]
                            [--smollm2 FILE.gguf] [--vocabularies DIRECTORY] [--samples DIRECTORY]
                            [--templates DIRECTORY]

For each tokenizer: N texts of all scripts and N lists of ids; for each of Mistral's versions also N / 4 conversations
with tools and faults, N / 4 texts to fill in the middle, N / 4 answers read back; and half of it again with the GGUF file
that the gale command beside the library makes of the vocabulary. Prints each difference, then a table;
exits with 1 if there was any. `make test-parity` installs what it needs (requirements-parity.txt) and runs it.

--smollm2: the vocabulary for byte-level BPE, by default that of the demo model in the user's cache, if it is there.
--vocabularies: a folder of NAME.gguf with NAME.gguf.inp and .out, as llama.cpp keeps them, from which families that
gale knows are taken. --samples: tests/data/samples of mistral-common's repository. --templates: published
templates, NAME.jinja, of which those of Llama, Gemma and ChatML are compared; Mistral's have their own reference.
"""
import argparse
import ctypes
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unicodedata
import warnings

import sentencepiece
import tokenizers
from mistral_common.protocol.fim.request import FIMRequest
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import ValidationMode
from mistral_common.tokens.tokenizers.base import SpecialTokenPolicy
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

import make_chat_cases as chats
import make_pattern_cases as patterns
import make_template_cases as templates
import make_text_cases as texts
from gale_library import Refusal, Tokenizer

warnings.simplefilter("ignore")
COLUMNS = ("texts", "ids", "conversations", "refused", "fills", "answers", "differ")


def every_script():
    """All ranges of 64 characters in which some are assigned; private and unassigned ones apart."""
    blocks = [(a, a + 64) for a in range(0x80, 0xE0000, 64) if not 0xD7C0 <= a < 0xF900]
    return [b for b in blocks if any(unicodedata.category(chr(c))[0] in "LMNPSZ" for c in range(*b))]


SCRIPTS = every_script()


class Row:
    """What was compared for one tokenizer."""

    def __init__(self, name):
        self.name, self.counts = name, dict.fromkeys(COLUMNS, 0)

    def compare(self, column, what, ours, theirs):
        self.counts[column] += 1
        if ours == theirs:
            return
        self.counts["differ"] += 1
        if self.counts["differ"] <= 20:
            for heading, text in ((f"{self.name}:", what), ("  gale     ", repr(ours)), ("  reference", repr(theirs))):
                print(heading, text if len(text) < 1500 else text[:1500] + " ...", flush=True)


def of_gale(function, *arguments):
    try:
        return function(*arguments)
    except Refusal as refusal:
        return f"refused: {refusal}"


def some_text(rng):
    return texts.random_text(rng, SCRIPTS if rng.random() < 0.5 else texts.RANGES)


# ---- Texts and ids ----


def compare_texts(row, gale, encode, decode, n_words, n, rng):
    """decode: of ids and whether control tokens show, to bytes; None where the reference has no such thing."""
    for i in range(n):
        text = texts.FIXED[i] if i < len(texts.FIXED) else some_text(rng)
        theirs = encode(text)
        row.compare("texts", repr(text), of_gale(gale.encode, text), theirs)
        ids = theirs if i % 2 else [rng.randrange(n_words) for _ in range(rng.randrange(1, 12))]
        for special in (False, True):
            expected = decode(ids, special)
            if expected is not None:
                row.compare("ids", f"{ids} special={special}", gale.decode(ids, special), expected)
        whole = gale.decode(ids).decode(errors="replace")
        row.compare("ids", f"{ids} streamed", "".join(gale.stream(ids)), whole)


def pieces_decoder(processor):
    def decode(ids, special):
        if special or any(processor.is_byte(i) or processor.is_unknown(i) for i in ids):
            return None
        return processor.decode(ids).encode()

    return decode


def tekken_decoder(encoder):
    policies = {False: SpecialTokenPolicy.IGNORE, True: SpecialTokenPolicy.KEEP}
    return lambda ids, special: b"".join(encoder.id_to_byte_piece(i, policies[special]) for i in ids)


# ---- Prompts and answers of Mistral's versions ----


def compare_chats(row, gale, reference, version, n, rng):
    for _ in range(n):
        words = chats.TEXTS if rng.random() < 0.5 else [some_text(rng) for _ in range(8)]
        body = chats.Talk(rng, version, words).body()
        text = json.dumps(body, ensure_ascii=rng.random() < 0.5)
        ours, theirs = of_gale(gale.chat, text.encode()), chats.reference_ids(reference, body)
        row.counts["refused"] += isinstance(theirs, str)
        both_refuse = isinstance(ours, str) and isinstance(theirs, str)
        row.compare("conversations", text, None if both_refuse else ours, None if both_refuse else theirs)


def compare_fills(row, gale, reference, n, rng):
    for _ in range(n):
        prefix, suffix = some_text(rng), some_text(rng) if rng.random() < 0.9 else ""
        ids = reference.encode_fim(FIMRequest(prompt=prefix, suffix=suffix)).tokens
        row.compare("fills", repr((prefix, suffix)), of_gale(gale.fill, prefix, suffix), ids)


def random_answer(rng, version, pieces):
    """An assistant's message, and what is to be read from it: content, thinking, calls."""
    number = int(version[1:])
    arguments = [a for a in chats.ARGUMENTS if "ud800" not in a]
    calls = [
        {"id": "".join(rng.choice("abcXYZ0189") for _ in range(9)), "type": "function",
         "function": {"name": rng.choice(["f", "get_weather", "x-1"]), "arguments": rng.choice(arguments)}}
        for _ in range(rng.choice([0, 0, 1, 1, 2, 3]) if number > 1 else 0)
    ]
    content = some_text(rng) if number >= 7 or not calls else ""
    content = content.rstrip(" ") if number > 1 else content
    thinking = some_text(rng) if number >= 13 and rng.random() < 0.5 else ""
    if not content and not calls:
        content = "a"
    message = {"role": "assistant"}
    if thinking:
        message["content"] = [{"type": "thinking", "thinking": thinking}, {"type": "text", "text": content}]
    elif content:
        message["content"] = content
    if calls:
        message["tool_calls"] = calls
    found = []
    for call in calls:
        arguments = call["function"]["arguments"]
        try:
            value = json.loads(arguments or "{}")
        except ValueError:
            value = arguments
        listed = number < 11
        # In a list a string is given as its content: gale.h takes text that is no JSON for a string.
        arguments = value if listed and isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        found.append((call["id"] if 3 <= number < 13 else "*", call["function"]["name"], arguments))
    if pieces:  # which cannot tell U+2581 from a space
        content = content.replace("\u2581", " ")
    return message, (content, thinking, found)


def compare_answers(row, gale, path, serving, version, n, rng):
    trained = MistralTokenizer.from_file(str(path), mode=ValidationMode.finetuning)
    question = {"role": "user", "content": "q"}
    prompt = serving.encode_chat_completion(ChatCompletionRequest.from_openai(messages=[question], model="m")).tokens
    for _ in range(n):
        message, expected = random_answer(rng, version, path.suffix != ".json")
        request = ChatCompletionRequest.from_openai(messages=[question, message], model="m")
        ids = trained.encode_chat_completion(request).tokens
        assert ids[: len(prompt)] == prompt
        content, thinking, calls, streamed = gale.answer(ids[len(prompt) :])
        calls = [("*" if wanted[0] == "*" and len(call[0]) == 9 else call[0], *call[1:])
                 for call, wanted in zip(calls, expected[2])] + calls[len(expected[2]) :]
        row.compare("answers", json.dumps(message), (content, thinking, calls), expected)
        if int(version[1:]) >= 11:
            row.compare("answers", json.dumps(message), streamed, {i: c[2] for i, c in enumerate(expected[2])})


def mistral_files(folder):
    for version, name in chats.SENTENCEPIECE.items():
        yield f"SentencePiece {version}", chats.DATA / name
    for name in ("tekken_240718", "tekken_240911"):
        yield name, chats.DATA / f"{name}.json"
    for version in ("v7", "v11", "v13", "v15"):
        yield f"tekken {version}", chats.tekken_file(version, None, folder)


def compare_mistral(row, library, path, n, rng):
    gale = Tokenizer(library, path)
    serving = MistralTokenizer.from_file(str(path), mode=ValidationMode.serving)
    encoder = serving.instruct_tokenizer.tokenizer
    version = encoder.version.value.removesuffix("m1")
    if path.suffix == ".json":
        decode = tekken_decoder(encoder)
    else:
        decode = pieces_decoder(sentencepiece.SentencePieceProcessor(model_file=str(path)))
    compare_texts(row, gale, lambda t: encoder.encode(t, False, False), decode, encoder.n_words, n, rng)
    compare_chats(row, gale, serving, version, n // 4, rng)
    if version not in ("v1", "v2"):
        compare_fills(row, gale, serving, n // 4, rng)
    compare_answers(row, gale, path, serving, version, n // 4, rng)
    gale.close()


# ---- Vocabularies that gale quantize writes into a GGUF file ----


def native_model(folder, tokenizer, rows):
    """A Mistral directory with a tokenizer's file and weights that are all zero."""
    dim, tensors, at = 32, {}, 0
    for name, shape in [("tok_embeddings", [rows, dim]), ("output", [rows, dim]), ("norm", [dim]),
                        ("layers.0.attention_norm", [dim]), ("layers.0.ffn_norm", [dim]),
                        *[(f"layers.0.attention.w{c}", [dim, dim]) for c in "qkvo"],
                        *[(f"layers.0.feed_forward.w{c}", [dim, dim]) for c in "123"]]:
        n = 2 * dim * (shape[0] if len(shape) > 1 else 1)
        tensors[name + ".weight"] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + n]}
        at += n
    header = json.dumps(tensors).encode()
    (folder / "consolidated.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(at))
    (folder / "params.json").write_text(json.dumps({
        "dim": dim, "n_layers": 1, "head_dim": 8, "hidden_dim": dim, "n_heads": 4, "n_kv_heads": 4, "norm_eps": 1e-5,
        "vocab_size": rows, "rope_theta": 10000.0}))
    name = "tekken.json" if tokenizer.suffix == ".json" else "tokenizer" + tokenizer.name[tokenizer.name.index(".model") :]
    shutil.copy(tokenizer, folder / name)


def compare_gguf(row, library, command, path, n, rng):
    serving = MistralTokenizer.from_file(str(path), mode=ValidationMode.serving)
    encoder = serving.instruct_tokenizer.tokenizer
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "m").mkdir()
        native_model(folder / "m", path, encoder.n_words)
        subprocess.run([command, "quantize", folder / "m", folder / "m.gguf", "--type", "f16", "--quiet"], check=True)
        gale = Tokenizer(library, folder / "m.gguf")
    decode = tekken_decoder(encoder) if path.suffix == ".json" else lambda ids, special: None
    compare_texts(row, gale, lambda t: encoder.encode(t, False, False), decode, encoder.n_words, n, rng)
    compare_chats(row, gale, serving, encoder.version.value.removesuffix("m1"), n // 4, rng)
    gale.close()


# ---- Other families' tokenizers, from vocabularies at hand ----


def byte_level_files(smollm2):
    """tokenizer.json of SmolLM2, and its vocabulary with the pre-tokenisers of other families; with each reference."""
    data = texts.smollm2(smollm2, None)
    yield "SmolLM2", data, texts.bpe_reference(data)
    for name, pattern, ignore in (("Llama 3", texts.LLAMA, True), ("tekken", texts.TEKKEN, True), ("GPT-2", texts.GPT2, False)):
        form, _ = texts.split_form(data, pattern, ignore, [], "")
        yield f"{name}'s tokenizer.json", form, tokenizers.Tokenizer.from_str(json.dumps(dict(form, added_tokens=[])))


def pieces_files():
    name = chats.SENTENCEPIECE["v3"]
    data = texts.hugging_face_twin((chats.DATA / name).read_bytes())
    yield "Llama 2's tokenizer.json", data, tokenizers.Tokenizer.from_str(json.dumps(dict(data, added_tokens=[])))


def compare_json(row, library, folder, data, reference, n, rng):
    path = pathlib.Path(folder) / "tokenizer.json"
    path.write_text(json.dumps(data))
    gale = Tokenizer(library, path)
    encode = lambda text: reference.encode(text, add_special_tokens=False).ids
    compare_texts(row, gale, encode, lambda ids, special: None, reference.get_vocab_size(), n, rng)
    gale.close()


# ---- Cases that others keep ----


def compare_vocabularies(library, folder, only):
    """Texts between lines of __ggml_vocab_test__ in .inp; in .out a line of ids for each."""
    for path in sorted(folder.glob("*.gguf")):
        given, expected = path.with_suffix(".gguf.inp"), path.with_suffix(".gguf.out")
        if not given.exists() or only not in path.name:
            continue
        row = Row(path.stem)
        try:
            gale = Tokenizer(library, path)
        except Refusal as refusal:
            print(f"{path.name}: {refusal}")
            continue
        parts = given.read_bytes().decode().split("\n__ggml_vocab_test__\n")
        for text, line in zip(parts, expected.read_text().split("\n")):
            row.compare("texts", repr(text), of_gale(gale.encode, text), [int(i) for i in line.split()])
        gale.close()
        yield row


def compare_samples(library, folder):
    """sample.json is a request, tokens_vN.json has its ids; some are kept that the reference now refuses."""
    row = Row("mistral-common's samples")
    for path in sorted(folder.glob("*/tokens_v*.json")):
        file = chats.DATA / chats.SENTENCEPIECE[path.stem.removeprefix("tokens_")]
        gale, reference = Tokenizer(library, file), MistralTokenizer.from_file(str(file), mode=ValidationMode.serving)
        body = (path.parent / "sample.json").read_bytes()
        if isinstance(chats.reference_ids(reference, {"model": "m", **json.loads(body)}), str):
            row.counts["refused"] += 1
            row.compare("conversations", str(path), isinstance(of_gale(gale.chat, body), str), True)
        else:
            row.compare("conversations", str(path), of_gale(gale.chat, body), json.loads(path.read_text())["tokens"])
        gale.close()
    yield row


def compare_patterns(library, folder, n, rng):
    """Regular expressions in a tool's schema: taken or refused."""
    row, gale = Row("patterns of tools"), Tokenizer(library, chats.tekken_file("v13", 600, folder))
    for _ in range(n):
        pattern = patterns.random_pattern(rng)
        function = {"name": "f", "parameters": {"properties": {"a": {"pattern": pattern}}}}
        body = {"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "function", "function": function}]}
        taken = not isinstance(of_gale(gale.chat, json.dumps(body).encode()), str)
        row.counts["refused"] += not taken
        row.compare("conversations", repr(pattern), taken, patterns.accepted(pattern))
    gale.close()
    yield row


def tokenizer_folder(folder, jinja, pieces):
    """A model's folder with a vocabulary, the control tokens that a template spells out, and that template."""
    if pieces:
        data = texts.hugging_face_twin((chats.DATA / chats.SENTENCEPIECE["v3"]).read_bytes())
        data["normalizer"] = data["normalizer"]["normalizers"][1]  # without a space in front, which text would not show
        data["added_tokens"] = [a for a in data["added_tokens"] if a["content"][0] == "<"]
    else:
        data = json.loads((pathlib.Path(__file__).parent.parent / "tests/data/text/smollm.json").read_text())
    data = templates.with_marks(data, templates.marks_of(jinja))
    config = {"chat_template": jinja, "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer.json").write_text(json.dumps(data))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text('{"model_type": "llama"}')


def compare_templates(library, templates_folder, n, seed, only):
    """Prompts of templates that gale recognises, as text, with what the templates themselves make."""
    for path in sorted(templates_folder.glob("*.jinja")):
        jinja, row, rng = path.read_text(), Row(path.stem[:40]), random.Random(f"{path.name} {seed}")
        if only not in path.name or "[INST]" in jinja and "<<SYS>>" not in jinja:
            continue
        pieces = "<|" not in jinja
        with tempfile.TemporaryDirectory() as folder:
            tokenizer_folder(pathlib.Path(folder), jinja, pieces)
            gale = Tokenizer(library, folder)
        if not gale.template():
            print(f"{path.name}: not recognised")
            continue
        row.name = f"{row.name} as {gale.template()}"
        for _ in range(n):
            body = templates.random_body(rng, gale.template().startswith("llama-3."))
            theirs = templates.render(jinja, body)
            ours = of_gale(lambda: gale.decode(gale.chat(json.dumps(body).encode()), True).decode())
            # What a template refuses, as Gemma's a system prompt, gale may have a form for.
            if isinstance(theirs, str):
                row.compare("conversations", json.dumps(body), ours, theirs)
            else:
                row.counts["refused"] += 1
        gale.close()
        yield row


# ---- All of it ----


def demo_model():
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    found = sorted(pathlib.Path(cache, "gale/models/smollm2").glob("*.gguf"))
    return found[0] if found else None


def compare_all(options, library, folder):
    n, only = options.count, options.only
    for name, path in mistral_files(folder):
        if only in name:
            row = Row(name)
            compare_mistral(row, library, path, n, random.Random(f"{name} {options.seed}"))
            yield row
            command = options.library.resolve().parent / "gale"
            row = Row(name + " in GGUF")
            compare_gguf(row, library, command, path, n // 2, random.Random(f"{row.name} {options.seed}"))
            yield row
    others = list(pieces_files()) + (list(byte_level_files(options.smollm2)) if options.smollm2 else [])
    for name, data, reference in others:
        if only in name:
            row = Row(name)
            compare_json(row, library, folder, data, reference, n, random.Random(f"{name} {options.seed}"))
            yield row
    if only in "patterns of tools":
        yield from compare_patterns(library, folder, n, random.Random(options.seed))
    if options.vocabularies:
        yield from compare_vocabularies(library, options.vocabularies, only)
    if options.samples:
        yield from compare_samples(library, options.samples)
    if options.templates:
        yield from compare_templates(library, options.templates, n // 4, options.seed, only)


def main():
    parser = argparse.ArgumentParser(usage="see the top of this script")
    parser.add_argument("library", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--smollm2", type=pathlib.Path, default=demo_model())
    parser.add_argument("--vocabularies", type=pathlib.Path)
    parser.add_argument("--samples", type=pathlib.Path)
    parser.add_argument("--templates", type=pathlib.Path)
    options = parser.parse_args()
    library = ctypes.CDLL(str(options.library.resolve()))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for row in compare_all(options, library, folder):
            rows.append(row)
            print(f"{row.name}: {row.counts['differ']} differ", flush=True)
    print(f"\n{'':28}" + "".join(f"{c:>14}" for c in COLUMNS))
    for row in rows:
        print(f"{row.name:28}" + "".join(f"{row.counts[c] or '-':>14}" for c in COLUMNS))
    sys.exit(any(row.counts["differ"] for row in rows))


if __name__ == "__main__":
    main()
