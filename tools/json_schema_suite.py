#!/usr/bin/env python3
"""Runs a draft's tests of the public repository json-schema-org/JSON-Schema-Test-Suite through gale's constraints.

usage: json_schema_suite.py libgale.so TOKENIZER FOLDER [--list]

FOLDER is e.g. tests/draft2020-12; of its files of formats (optional/format) those run that gale enforces. An instance may be spelled in many
ways of which a constraint takes some: members come in the schema's order, an integer has no point. So a valid one is
wrong if no spelling is taken, an invalid one if any is. Schemas that gale refuses are counted, and listed with --list.
Exits with 1 if anything is wrong.
"""
import argparse
import collections
import ctypes
import json
import pathlib
import sys

import gale_constraint
from gale_library import Refusal, Tokenizer
from json_orders import taken_in_some_order

FORMATS = ("date-time", "date", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("tokenizer")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--list", action="store_true", help="list the schemas that are refused")
    arguments = parser.parse_args()
    library = ctypes.CDLL(str(pathlib.Path(arguments.library).resolve()))
    table = gale_constraint.MaskTable(library, Tokenizer(library, arguments.tokenizer))
    counts = collections.Counter()
    paths = sorted(arguments.folder.glob("*.json")) + [arguments.folder / f"optional/format/{f}.json" for f in FORMATS]
    for path in paths:
        for case in json.loads(path.read_text()):
            counts["schemas"] += 1
            try:
                constraint = table.compile(gale_constraint.JSON_SCHEMA, json.dumps(case["schema"]), open=True)
            except Refusal as refusal:
                counts["refused"] += 1
                if arguments.list:
                    print(f"{path.name}: {case['description']}: {refusal}")
                continue
            for test in case["tests"]:
                taken = taken_in_some_order(constraint, test["data"])
                kind = "valid" if test["valid"] else "invalid"
                counts[kind] += 1
                if taken != test["valid"]:
                    counts[kind + " wrong"] += 1
                    print(f"{path.name}: {case['description']}: {test['description']}: "
                          f"{kind}, but {'taken' if taken else 'refused'}: {json.dumps(test['data'])[:100]}")  # fmt: skip
            constraint.close()
    print("| schemas | refused | valid | refused of these | invalid | taken of these |\n|---|---|---|---|---|---|")
    columns = ("schemas", "refused", "valid", "valid wrong", "invalid", "invalid wrong")
    print("| " + " | ".join(str(counts[c]) for c in columns) + " |")
    sys.exit(counts["valid wrong"] + counts["invalid wrong"] > 0)


if __name__ == "__main__":
    main()
