#!/usr/bin/env python3
"""Writes Llama 3's vocabulary of 128,256 tokens as a tokenizer.json, for bench/constraints.py.

usage: llama_vocabulary.py tokenizer.model tokenizer.json

tokenizer.model is Meta's list of tokens (base64, rank), which the PyPI package llama-models holds as
llama_models/llama3/tokenizer.model. The list has no merges: that of a token is the last one that joining the pairs of
lowest rank makes of its bytes. Some tokens come from no pairs; text that is such a token's is it all the same (ignore_merges).
"""
import base64
import json
import sys

LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
NAMED = ("begin_of_text", "end_of_text", "reserved_special_token_0", "reserved_special_token_1", "finetune_right_pad_id",
         "reserved_special_token_2", "start_header_id", "end_header_id", "eom_id", "eot_id", "python_tag")  # fmt: skip


def alphabet():
    """The character that stands for each byte in tokenizer.json."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(0x100 + i) for i, b in enumerate(others)}


def merge_of(token, ranks):
    """The two tokens that make this one, or None."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        joined = [ranks.get(a + b, 1 << 30) for a, b in zip(parts, parts[1:])]
        best = min(range(len(joined)), key=joined.__getitem__)
        if joined[best] == 1 << 30:
            return None
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return parts


def main():
    lines = open(sys.argv[1], "rb").read().splitlines()
    ranks = {base64.b64decode(word): int(rank) for word, rank in (line.split() for line in lines)}
    letters = alphabet()
    shown = lambda token: "".join(letters[b] for b in token)
    vocab = {shown(token): rank for token, rank in ranks.items()}
    pairs = (merge_of(token, ranks) for token in sorted(ranks, key=ranks.get) if len(token) > 1)
    merges = [" ".join(map(shown, pair)) for pair in pairs if pair]
    names = list(NAMED) + [f"reserved_special_token_{3 + i}" for i in range(256 - len(NAMED))]
    added = [{"id": len(ranks) + i, "content": f"<|{name}|>", "special": True, "single_word": False, "lstrip": False,
              "rstrip": False, "normalized": False} for i, name in enumerate(names)]  # fmt: skip
    split = {"type": "Split", "pattern": {"Regex": LLAMA}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    model = {"type": "BPE", "byte_fallback": False, "ignore_merges": True, "vocab": vocab, "merges": merges}
    json.dump({"version": "1.0", "added_tokens": added, "normalizer": None,
               "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]}, "decoder": dict(level, use_regex=True),
               "model": model}, open(sys.argv[2], "w"))  # fmt: skip


if __name__ == "__main__":
    main()
