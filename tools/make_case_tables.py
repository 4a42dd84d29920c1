#!/usr/bin/env python3
"""Writes apps/gale/eval/case_tables.c: how Python's str.lower() and the first letter of str.capitalize() change letters.

usage: make_case_tables.py OUTPUT   (the tables are those of the Python that runs it)
"""
import sys
import unicodedata


def runs(change):
    """Stretches of characters, one in every `step`, that move by the same distance; changes to one character only."""
    moved = [(c, ord(to) - c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and len(to := change(chr(c))) == 1
             and ord(to) != c]
    found = []
    for c, by in moved:
        if found and found[-1][3] == by:
            first, last, step, _ = found[-1]
            if c - last == step or (first == last and c - last <= 2):
                found[-1] = (first, c, c - last, by)
                continue
        found.append((c, c, 1, by))
    return found


def longer(change):
    return [(c, to) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and len(to := change(chr(c))) > 1]


def main():
    lines = [f"/* Made by tools/make_case_tables.py from Unicode {unicodedata.unidata_version}; do not edit. */",
             '#include "gale/eval/case_tables.h"', "", "/* clang-format off */"]
    # The sigma at the end of a word is small in another way; that is decided where it stands.
    lower, title = str.lower, str.title
    for name, change in (("lower", lower), ("title", title)):
        lines.append(f"const case_run case_{name}[] = {{")
        lines += [f"    {{0x{a:X}, 0x{b:X}, {step}, {by}}}," for a, b, step, by in runs(change)]
        lines += ["    {0},", "};", f"const case_text case_{name}_longer[] = {{"]
        for c, to in longer(change):
            text = "".join(f"\\x{b:02x}" for b in to.encode())
            lines.append(f'    {{0x{c:X}, "{text}"}},')
        lines += ["    {0},", "};"]
    with open(sys.argv[1], "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
