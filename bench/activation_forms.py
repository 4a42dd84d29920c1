#!/usr/bin/env python3
"""Measures forms of the canonical arithmetic that were weighed, and judges them by docs/EVALUATION.md's rule.

    python3 bench/activation_forms.py measure --work FOLDER --model MODEL.gguf [--set values] [--passages 179] [-t 2]
    python3 bench/activation_forms.py report --set activations FIGURES...

`measure` builds gale as of COMMIT with bench/forms/forms.patch, in which the form is a variable (the patch adds
portable and AVX-512 kernels and bench/forms/measure.c: a processor with AVX-512 VNNI is needed to be fast, and every
kernel is checked against portable C by `GALE_FORM=1 check_kernels`), makes the text of bench/forms/forms_text.py from
four Debian packages and the float weights from MODEL, and computes every form of the set side by side on the same
positions, in a process of its own for each thread. FOLDER keeps all of it; what is there is used again. `report` reads
the figures that `measure` names and prints the table. The figures are the same on any machine and for any number of
threads, but for the last digits of the scores' own sums. Needs Python 3 and numpy.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy

ROOT = Path(__file__).resolve().parent.parent
FORMS = ROOT / "bench/forms"
sys.path.insert(0, str(FORMS))
import forms_text  # noqa: E402

COMMIT = "4e6885aeed42b660bb8a40bf3d8038810e226050"
SCORED = 448  # positions of a passage that count
NAMES = {
    "activations": ("m / 127", "4 bits, rest 0.75 / 0.4", "4 bits, rest 0.75 / 0.45", "11 bits"),
    "values": ("q8", "q8, integer weighted values"),
}
KL_BAR, PERPLEXITY_BAR, LEAST = 5.0, 0.1, 80000  # per cent, per cent, positions


def run(*command, **options):
    print("$ " + " ".join(map(str, command)), file=sys.stderr)
    subprocess.run([str(c) for c in command], check=True, **options)


def build(work):
    tree, program = work / "gale", work / "measure"
    if program.exists():
        return tree, program
    if not tree.exists():
        run("git", "clone", "-q", "--shared", ROOT, tree)
        run("git", "checkout", "-q", COMMIT, cwd=tree)
        run("git", "apply", FORMS / "forms.patch", cwd=tree)
    run("cmake", "--preset", "release", cwd=tree, stdout=subprocess.DEVNULL)
    run("cmake", "--build", "--preset", "release", "--target", "gale", "libgale.a", "check_kernels", cwd=tree)
    flags = "-std=gnu17 -O3 -march=native -ffast-math -fno-finite-math-only -fopenmp -Iinclude -Isrc".split()
    library = ("build/release/libgale.a", "-ljansson", "-lm", "-lpthread")
    run("cc", *flags, "bench/forms/measure.c", "-o", program, *library, cwd=tree)
    return tree, program


def measure(a):
    work = a.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    tree, program = build(work)
    text, exact = forms_text.build(work), work / f"{a.model.stem}-f32.gguf"
    if not exact.exists():
        run(tree / "build/release/gale", "quantize", a.model, exact, "--type", "f32")
    bounds = [a.passages * i // a.threads for i in range(a.threads + 1)]
    outs = [work / f"{a.model.stem}.{a.set}.{first}-{end}" for first, end in zip(bounds, bounds[1:])]
    jobs = []
    for first, end, out in zip(bounds, bounds[1:], outs):
        command = [program, a.set, a.model, exact, text, first, end, 1, out]
        jobs.append(subprocess.Popen([str(c) for c in command], env={"OMP_NUM_THREADS": "1"}))
    if any([job.wait() for job in jobs]):
        sys.exit("failed")
    print(*outs)


def load(paths, forms):
    """Rows of whole passages: passage, -log q of the reference and every form, divergences of the forms."""
    rows = [line.split() for path in paths for line in path.read_text().splitlines()]
    rows = numpy.array([row for row in rows if len(row) == 2 * (forms + 1)], dtype=float)
    passages, counts = numpy.unique(rows[:, 0], return_counts=True)
    return rows[numpy.isin(rows[:, 0], passages[counts == SCORED])]


def error(x):
    return x.std(ddof=1) / len(x) ** 0.5


def by_passage(passage, x):
    return numpy.array([x[passage == p].mean() for p in numpy.unique(passage)])


def report(a):
    names = NAMES[a.set]
    rows = load(a.figures, len(names))
    passage, nll, kl = rows[:, 0], rows[:, 1 : len(names) + 2], rows[:, len(names) + 2 :]
    print(f"{len(rows):,} positions; perplexity of the reference {numpy.exp(nll[:, 0].mean()):.4f}\n")
    print("| form | mean KL | rise, % (error by position; passage) | perplexity, % (95% interval) | by passage | verdict |")
    print("|---|---|---|---|---|---|")
    print(f"| {names[0]} | {kl[:, 0].mean():.3e} ± {error(kl[:, 0]):.1e} | - | - | - | today's |")
    for i, name in list(enumerate(names))[1:]:
        more, rise = kl[:, i] - kl[:, 0], nll[:, i + 1] - nll[:, 1]
        scale = 100 / kl[:, 0].mean()
        mean, se = 100 * numpy.expm1(rise.mean()), 100 * error(rise)
        passages = 100 * error(by_passage(passage, rise))
        kl_rise = scale * more.mean()
        passes = kl_rise <= KL_BAR and mean + 1.96 * se <= PERPLEXITY_BAR
        verdict = "too few positions" if len(rows) < LEAST else "passes" if passes else "fails"
        print(
            f"| {name} | {kl[:, i].mean():.3e} ± {error(kl[:, i]):.1e} "
            f"| {kl_rise:+.2f} (± {scale * error(more):.2f}; {scale * error(by_passage(passage, more)):.2f}) "
            f"| {mean:+.4f} ({mean - 1.96 * se:+.4f} to {mean + 1.96 * se:+.4f}) "
            f"| {mean - 1.96 * passages:+.4f} to {mean + 1.96 * passages:+.4f} | {verdict} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    of_measure, of_report = commands.add_parser("measure"), commands.add_parser("report")
    of_measure.add_argument("--work", type=Path, required=True)
    of_measure.add_argument("--model", type=Path, required=True)
    of_measure.add_argument("--passages", type=int, default=179)
    of_measure.add_argument("-t", "--threads", type=int, default=2)
    of_report.add_argument("figures", type=Path, nargs="+")
    for command in (of_measure, of_report):
        command.add_argument("--set", choices=NAMES, default="activations")
    a = parser.parse_args()
    {"measure": measure, "report": report}[a.command](a)


if __name__ == "__main__":
    main()
