#!/usr/bin/env python3
"""Checks from the #include lines that every source file uses only the layers below its own, and that no two source
files of src/ have the same name.

Usage: check_layers.py [ROOT]     Prints each violation as FILE:LINE: REASON; exits 1 if there is one.
"""
import re
import sys
from pathlib import Path

# Each layer with those right below it, which it may use, and what they may use too. gale.h is open to all and uses
# none; tests, benches and fuzz targets may use everything.
BELOW = {
    "base": (),
    "json": ("base",),
    "quant": ("base",),
    "format": ("json", "quant"),
    "tokenizer": ("json",),
    "constraint": ("tokenizer",),
    "chat": ("tokenizer",),
    "backend": ("quant",),
    "model": ("format", "backend"),
    "load": ("model", "chat"),
    "engine": ("load", "constraint"),
    "measure": ("engine",),
    "schedule": ("measure",),
    "convert": ("load",),
    "api": (),
    "apps": ("apps/commands",),
    "apps/stores": (),
    "apps/cli": ("apps/stores",),
    "apps/pull": ("apps/cli",),
    "apps/http": (),
    "apps/facts": (),
    "apps/serve": ("apps/cli", "apps/http", "apps/facts"),
    "apps/eval": ("apps/cli",),
    "apps/chat": ("apps/cli",),
    "apps/bench": ("apps/cli",),
    "apps/quality": ("apps/cli",),
    "apps/commands": ("apps/chat", "apps/bench", "apps/quality", "apps/pull", "apps/serve", "apps/eval"),
    "examples": (),
}
# What a layer may use beside that, and those above it may not.
ALSO = {"apps/serve": ("json", "base"), "apps/eval": ("json", "base")}


def all_below(layer, seen):
    for below in BELOW[layer]:
        if below not in seen:
            seen.add(below)
            all_below(below, seen)
    return seen


LAYERS = {layer: all_below(layer, set()) for layer in BELOW}
FREE = ("tests", "bench", "fuzz")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def layer_of(path):
    """Layer of a path relative to the root."""
    first = path.parts[0]
    if first == "apps" and len(path.parts) > 3:
        return f"apps/{path.parts[2]}"
    return {"src": path.parts[1], "include": "api"}.get(first, first)


def resolve(root, includer, name, quoted):
    """The project's file that an #include means, relative to the root, or None if it is not the project's."""
    folders = [includer.parent] if quoted else []
    folders += [Path("tests")] if includer.parts[0] == "tests" else []
    folders += [Path("apps")] if includer.parts[0] in ("apps", "fuzz") else []
    for folder in folders + [Path("src"), Path("include")]:
        if (root / folder / name).is_file():
            return folder / name
    return None


def check_line(root, path, line):
    """Why this line of the file is not allowed, or None."""
    match = INCLUDE.match(line)
    if not match:
        return None
    quoted, name = match[1] == '"', match[2]
    if ".." in Path(name).parts or name.startswith("/"):
        return f"{name}: an include names its file from src/, include/, tests/ or (in apps/ and fuzz/) apps/, or in the same folder"
    target = resolve(root, path, name, quoted)
    if target is None:
        return f"{name}: no such file in the project (system headers go in <>)" if quoted else None
    layer, used = layer_of(path), layer_of(target)
    if layer in FREE or used == layer or used == "api" or used in LAYERS[layer] or used in ALSO.get(layer, ()):
        return None
    return f"{name}: {layer} may not use {used}"


def check_names(root):
    """Files of src/ that are called like another one."""
    first, found = {}, []
    for path in sorted((root / "src").rglob("*.[ch]")):
        relative = path.relative_to(root)
        if first.setdefault(path.name, relative) != relative:
            found.append(f"{relative}:1: {path.name} is the name of {first[path.name]} too")
    return found


def check(root):
    """All violations below root, as lines to print."""
    found = check_names(root)
    for folder in ("src", "include", "apps", "examples", *FREE):
        for path in sorted((root / folder).rglob("*.[ch]")):
            relative = path.relative_to(root)
            if relative.parts[0] == "src" and layer_of(relative) not in LAYERS:
                found.append(f"{relative}:1: src/{relative.parts[1]} is not a layer")
                continue
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                reason = check_line(root, relative, line)
                if reason:
                    found.append(f"{relative}:{number}: {reason}")
    return found


if __name__ == "__main__":
    violations = check(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent))
    print("\n".join(violations) or "Layers: no violation")
    sys.exit(1 if violations else 0)
