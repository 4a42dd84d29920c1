#!/usr/bin/env python3
"""Writes src/base/unicode_tables.c: what the pre-tokenisers need to know of each character.

usage: make_unicode_tables.py OUTPUT   (needs the PyPI package regex)
"""
import importlib.metadata
import re
import sys

import regex

# Bit by bit the flags of src/base/unicode.h. OTHER is what is neither letter, number nor white space.
FLAGS = [
    (1, r"[\p{Lu}\p{Lt}]"),
    (2, r"\p{Ll}"),
    (4, r"[\p{Lm}\p{Lo}]"),
    (8, r"\p{M}"),
    (16, r"\p{N}"),
    (32, r"\p{White_Space}"),
    (64, r"[^\p{White_Space}\p{L}\p{N}]"),
    (128, r"[\p{P}$+<=>^~|]"),
]
PAGE = 128


def unicode_version():
    text = importlib.metadata.metadata("regex").get_payload() or importlib.metadata.metadata("regex")["Description"]
    found = re.search(r"supports Unicode ([0-9.]+[0-9])", text)
    return found.group(1) if found else "unknown"


def flags_of_all():
    flags = bytearray(0x110000)
    everything = "".join(map(chr, range(0x110000)))
    for bit, pattern in FLAGS:
        for match in regex.finditer(pattern + "+", everything):
            for c in range(*match.span()):
                flags[c] |= bit
    return flags


def rows(values, per_line=24):
    lines = []
    for i in range(0, len(values), per_line):
        lines.append("    " + ", ".join(map(str, values[i : i + per_line])) + ",")
    return "\n".join(lines)


def main():
    flags = flags_of_all()
    index, pages, seen = [], [], {}
    for start in range(0, len(flags), PAGE):
        page = bytes(flags[start : start + PAGE])
        if page not in seen:
            seen[page] = len(pages)
            pages.append(page)
        index.append(seen[page])
    # Page 0 is looked up without its index for ASCII.
    assert index[0] == 0 and max(index) < 65536
    kind = "uint8_t" if max(index) < 256 else "uint16_t"
    version = unicode_version()
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        out.write(
            f"/* Made by tools/make_unicode_tables.py from Unicode {version}; do not edit. */\n"
            '#include "text/unicode.h"\n\n'
            "/* clang-format off */\n"
            f"const {kind} unicode_index[{len(index)}] = {{\n{rows(index)}\n}};\n\n"
            f"const uint8_t unicode_pages[{len(pages)}][{PAGE}] = {{\n"
        )
        for page in pages:
            out.write("  {\n" + rows(list(page), 32) + "\n  },\n")
        out.write("};\n/* clang-format on */\n")
    print(f"Unicode {version}, {len(pages)} pages, index {kind}")


if __name__ == "__main__":
    main()
