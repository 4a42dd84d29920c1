"""The text on which forms of the arithmetic are compared: four kinds of English from Debian packages, in turns.

Of each source 112,000 characters, in slices of 16,000 that end with a line; slice i of every source, then slice i + 1.
"""

import gzip
import hashlib
import html
import re
import subprocess
from pathlib import Path

SLICE, EACH = 16000, 112000
SHA256 = "92db42b72769e3d2999c342a942992f1fae4d77155fef2d453bff848f8a24c5d"
VERSIONS = {
    "dasher-data": "5.0.0~beta~repack2-4",
    "jargon-text": "4.4.7-4.1",
    "anarchism": "15.3-3",
    "python3.11-doc": "3.11.2-6+deb12u9",
}
PYTHON_DOCS = ("faq/design", "faq/general", "tutorial/classes", "tutorial/controlflow", "howto/functional")


def unpack(package, folder):
    """Debian's package, of whatever version apt offers: the hash of the text says whether it is the same."""
    to = folder / package
    if not to.exists():
        subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, check=True)
        archive = next(folder.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", archive, to], check=True)
    return to / "usr/share"


def plain(page):
    """The words of an HTML page: a line for each block, no tags."""
    page = re.sub(r"(?is)<(script|style|head)\b.*?</\1>", "", page)
    page = re.sub(r"(?i)<(p|br|h\d|li|blockquote|div|tr)\b[^>]*>", "\n", page)
    page = html.unescape(re.sub(r"(?s)<[^>]*>", "", page))
    lines = [" ".join(line.split()) for line in page.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def sources(folder):
    dasher, jargon, anarchism, python = (unpack(package, folder) for package in VERSIONS)
    docs = python / "doc/python3.11/html/_sources"
    yield (dasher / "dasher/training_english_GB.txt").read_text("utf-8")[4000:]
    yield gzip.open(jargon / "doc/jargon-text/jargon.txt.gz").read().decode("utf-8")[300000:]
    yield plain((anarchism / "doc/anarchism/html/secH3.html").read_text("latin-1"))
    yield "".join((docs / f"{name}.rst.txt").read_text("utf-8") for name in PYTHON_DOCS)


def slices(text):
    out = []
    while text and sum(map(len, out)) < EACH:
        end = text.find("\n", SLICE) + 1 or len(text)
        out.append(text[:end])
        text = text[end:]
    return out


def build(folder):
    """Path of the text in `folder`; exits if it is not the one that the published figures are of."""
    path = Path(folder) / "TEXT"
    if not path.exists():
        turns = zip(*(slices(text) for text in sources(Path(folder))))
        path.write_text("\n".join(part for turn in turns for part in turn), "utf-8")
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        wanted = ", ".join(f"{name} {version}" for name, version in VERSIONS.items())
        raise SystemExit(f"{path}: not the text of {wanted}")
    return path
