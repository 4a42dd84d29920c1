#!/usr/bin/env python3
"""Makes cases of regular expressions that Python's re takes or refuses, as a tool's schema may hold them.

usage: make_pattern_cases.py tests/data/text
"""
import json
import pathlib
import random
import re
import sys
import warnings

PIECES = [
    "a", "b", "ab", ".", "^", "$", "*", "+", "?", "*?", "+?", "??", "*+", "{2}", "{1,3}", "{,4}", "{3,}", "{3,1}", "{", "}", "{}", "{a}",
    "{4294967295}", "|", "(", ")", "(", ")", "(a)", "(?:", "(?:a)", "(?=", "(?!", "(?<=", "(?<!", "(?<=a)", "(?<=a*)", "(?>", "(?P<n>",
    "(?P<n>a)", "(?P=n)", "(?P<1>", "(?P<é>a)", "(?P>", "(?#", "(?#x)", "(?i)", "(?x)", "(?i:", "(?-i:", "(?i-s:a)", "(?i-i:a)", "(?z)", "(?u)", "(?a)",
    "(?L)", "(?1)", "(?<n>", "(?(1)a|b)", "(?(n)a)", "(?(1)", "(?(0)a)", "(?(9)a)", "(?(x)a)", "[", "]", "[a]", "[^a]", "[]a]", "[a-z]", "[z-a]", "[\\w-a]",
    "[a-\\d]", "[a-]", "[-a]", "[\\]]", "[^]]", "[[]", "[\\b]", "[\\8]", "[\\400]", "[\\q]", "\\", "\\\\", "\\d", "\\w+", "\\b", "\\A", "\\Z", "\\z", "\\q", "\\_", "\\-", "\\1", "\\2", "\\10", "\\0",
    "\\07", "\\100", "\\377", "\\400", "\\x41", "\\x4", "\\u0041", "\\u00", "\\U00000041", "\\U00110000", "\\N{SPACE}", "\\N{", "\\p{L}", "\\/", "é", "你", " ", "#", "\n", "-", ",", "\x00",
]


def random_pattern(rng):
    return "".join(rng.choice(PIECES) for _ in range(rng.choice([1, 1, 2, 2, 3, 3, 4, 5, 7])))


def accepted(pattern):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            re.compile(pattern)
            return True
        except Exception:  # syntax, numbers that are too large, flags that exclude one another
            return False


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rng, rows = random.Random(2026), [[p, accepted(p)] for p in PIECES]
    wanted = {True: 250, False: 250}
    while any(wanted.values()):
        pattern = random_pattern(rng)
        good = accepted(pattern)
        if wanted[good]:
            wanted[good] -= 1
            rows.append([pattern, good])
    path = pathlib.Path(sys.argv[1]) / "patterns.json"
    path.write_text(json.dumps(rows, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
