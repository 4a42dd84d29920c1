"""gale bench --serve: what is asked, what is counted, and every way of printing it. No test depends on how fast
anything is."""

import csv
import io
import json
import unittest
import xml.etree.ElementTree as ElementTree

import test_bench
import test_cli

TINY = "shape:tiny@q8_0"
SMALL = ["--serve", "--scale", "0.02", "-t", "2"]
SCENARIOS = ["clients-1", "clients-4", "clients-8", "clients-32", "open", "running", "long", "again", "shared",
             "editing", "prose"]
# scenario, part: arrival, clients, requests, tokens of answers
PARTS = {
    ("clients-1", ""): ("closed", 1, 4, 4 * 4),
    ("clients-4", ""): ("closed", 4, 8, 8 * 4),
    ("clients-8", ""): ("closed", 8, 16, 16 * 4),
    ("clients-32", ""): ("closed", 32, 32, 32 * 4),
    ("open", "closed"): ("closed", 8, 16, 16 * 4),
    ("open", "poisson"): ("poisson", 8, 24, 24 * 4),
    ("running", "engine"): ("closed", 8, 8, 8 * 4),
    ("running", "bare"): ("bare", 8, 8, 8 * 3),
    ("long", "streams"): ("closed", 8, 9, None),
    ("long", "alone"): ("closed", 1, 1, 1),
    ("again", ""): ("closed", 1, 2, 2 * 4),
    ("shared", "together"): ("closed", 8, 200, 200 * 4),
    ("shared", "alone"): ("closed", 1, 8, 8 * 4),
    ("editing", "drafts"): ("closed", 1, 2, 2 * 4),
    ("editing", "plain"): ("closed", 1, 2, 2 * 4),
    ("prose", "drafts"): ("closed", 1, 2, 2 * 5),
    ("prose", "plain"): ("closed", 1, 2, 2 * 5),
}


def percentile(samples, percent):
    """The smallest sample that at least so many per cent of all do not exceed."""
    return min(s for s in samples if sum(t <= s for t in samples) * 100 >= percent * len(samples))


def named(scenario, *more):
    return [*SMALL, "--scenario", scenario, *more]


class Case(test_bench.Case):
    def parts(self, *arguments):
        return {(r["scenario"], r["part"]): r for r in self.bench(*arguments)["results"]}


class Json(Case):
    def test_all_scenarios(self):
        report = self.bench(TINY, *SMALL)
        self.assertEqual(report["machine"]["threads"], 2)
        results = {(r["scenario"], r["part"]): r for r in report["results"]}
        self.assertEqual(list(results), list(PARTS))
        for key, (arrival, clients, requests, answers) in PARTS.items():
            r = results[key]
            with self.subTest(part=key):
                self.assertEqual((r["model"], r["arrival"], r["clients"], r["requests"]),
                                 (TINY, arrival, clients, requests))
                self.check_counts(r, answers)
                self.check_times(r)
        self.assertGreater(results["open", "poisson"]["offered"], 0)
        # Each of 8 has had 4 tokens before the long prompt came, and at most all when it was answered.
        long = results["long", "streams"]
        self.assertTrue(8 * 4 < long["answer_tokens"] < 8 * 84)
        self.assertGreaterEqual(len(long["between_tokens"]["samples"]), 8 * 3)
        self.assertGreaterEqual(len(long["between_tokens_during"]["samples"]), 1)
        self.assertEqual([(f["scenario"], f["figure"]) for f in report["figures"]],
                         [("running", "over_bare"), ("long", "p99_over_median"), ("long", "throughput"),
                          ("again", "over_cold"), ("shared", "over_alone"), ("editing", "over_plain"),
                          ("prose", "over_plain")])
        for f in report["figures"]:
            self.assertGreaterEqual(f["value"], 0)
            self.assertEqual(f["samples"], [f["value"]])

    def check_counts(self, r, answers):
        if answers:
            self.assertEqual(r["answer_tokens"], answers)
        self.assertEqual(len(r["seconds"]), 1)
        self.assertEqual(r["samples"], [r["tokens_per_second"]])
        self.assertAlmostEqual(r["tokens_per_second"] * r["seconds"][0] / r["answer_tokens"], 1, places=4)
        if r["arrival"] != "bare":
            streaming = r["stream_tokens_per_second"]
            self.assertEqual(streaming > 0, r["answer_tokens"] > r["requests"])
            self.assertGreaterEqual(r["drafted"], r["right"])
            if r["part"] != "drafts":
                self.assertEqual(r["drafted"], 0)
            self.assertAlmostEqual(r["requests_per_second"] * r["seconds"][0] / r["requests"], 1, places=4)
            self.assertEqual(len(r["first_token"]["samples"]), r["requests"])

    def check_times(self, r):
        for key in "first_token", "between_tokens", "between_tokens_during":
            if key not in r:
                continue
            samples = r[key]["samples"]
            self.assertEqual(samples, sorted(samples))
            self.assertGreaterEqual(samples[0], 0)
            for percent in 50, 99:
                self.assertEqual(r[key][f"p{percent}"], percentile(samples, percent))
        between = sum(len(r[k]["samples"]) for k in ("between_tokens", "between_tokens_during") if k in r)
        if r["arrival"] == "bare":
            self.assertEqual(between, r["answer_tokens"] // r["clients"])
        elif r["scenario"] != "long":
            self.assertEqual(between, r["answer_tokens"] - r["requests"])

    def test_lengths_follow_scale_and_seed(self):
        prompts = []
        for scale, seed in ("0.02", "0"), ("0.05", "1"):
            r = self.parts(TINY, "--serve", "--scenario", "clients-8", "--scale", scale, "-s", seed)
            prompts.append(r["clients-8", ""]["prompt_tokens"])
        for n, scale in zip(prompts, (0.02, 0.05)):
            self.assertTrue(16 * 200 * scale <= n <= 16 * 1000 * scale)

    def test_what_prompts_have_in_common_is_computed_once(self):
        # shape:tiny has a window of 8; without it whole pages of 32 tokens are found again.
        wide = ["--window", "0", "--scale", "0.1"]
        parts = self.parts(TINY, "--serve", "--scenario", "again", "--scenario", "shared", *wide)
        again, together, alone = (parts[p] for p in [("again", ""), ("shared", "together"), ("shared", "alone")])
        self.assertEqual((again["prompt_tokens"], again["cached_tokens"]), (800, 399))
        self.assertGreaterEqual(together["cached_tokens"], 190 * 150)
        self.assertEqual(alone["cached_tokens"], 0)

    def test_texts_need_a_tokenizer(self):
        r = self.gale("bench", test_cli.TINY, *named("editing", "--json"))
        self.assertEqual((r.returncode, r.stderr.decode()),
                         (0, "gale: editing: left out, since the model has no tokenizer\n"))
        self.assertEqual(json.loads(r.stdout)["results"], [])

    @test_cli.needs_demo
    def test_drafts_of_a_text_that_repeats_itself(self):
        parts = self.parts(test_cli.DEMO, "--serve", "--scenario", "editing", "-t", "2")
        drafts, plain = parts["editing", "drafts"], parts["editing", "plain"]
        self.assertEqual(drafts["prompt_tokens"], plain["prompt_tokens"])
        self.assertGreater(drafts["right"], 20)
        self.assertGreater(drafts["drafted"], drafts["right"])

    def test_repetitions_and_rate(self):
        report = self.bench(TINY, *named("running", "--scenario", "open", "-r", "3", "--rate", "400"))
        results = {(r["scenario"], r["part"]): r for r in report["results"]}
        self.assertEqual([len(r["samples"]) for r in results.values()], [3] * 4)
        self.assertEqual(results["running", "engine"]["answer_tokens"], 3 * 32)
        self.assertEqual(results["running", "bare"]["answer_tokens"], 3 * 24)
        figure = report["figures"][0]
        self.assertEqual(figure["value"], sorted(figure["samples"])[1])
        poisson = results["open", "poisson"]
        self.assertEqual(poisson["offered"], 400)
        # 23 gaps of 1/400 s on average, of the same seed each time; answers cannot come before questions.
        self.assertGreater(min(poisson["seconds"]), 23 / 400 / 4)

    def test_settings_of_the_session(self):
        # A step that has room for a token of each answer and of the long prompt: the answers must be long enough.
        arguments = ["--kv", "q8", "--window", "0", "--chunk", "8", "--quant", "q4_0"]
        self.assertEqual(len(self.parts(TINY, *named("long", *arguments))), 2)


class Tables(Case):
    def test_text(self):
        text = self.good("bench", TINY, *SMALL, "--scenario", "running", "--scenario", "long").decode()
        self.assertIn("2 threads", text)
        self.assertNotIn(" \n", text)
        _, table, figures = text.split("\n\n")
        heading, *rows = table.splitlines()
        self.assertEqual([r.split("  ")[0] for r in rows], ["running, engine", "running, bare", "long, streams",
                                                            "long, alone"])
        self.assertIn("while the prompt is computed", heading)
        self.assertRegex(rows[0], r"8 of 8 +\S+ tok/s +\S+ a second +\S+ / \S+ ms +\S+ / \S+ ms +0%$")
        self.assertEqual([f.split(":")[0] for f in figures.splitlines()], ["running", "long", "long"])

    def test_markdown_of_two_models(self):
        asked = named("running", "--scenario", "clients-4", "--markdown", "-r", "2")
        text = self.good("bench", TINY, "shape:tiny", *asked).decode()
        lines = [line for line in text.splitlines() if line.startswith("|")]
        # In the order of the models, and of the table of scenarios.
        self.assertEqual([[cell.strip() for cell in line.split("|")[1:3]] for line in lines[2:]],
                         [[m, t] for m in (TINY, "shape:tiny")
                          for t in ("clients-4", "running, engine", "running, bare")])
        self.assertEqual(len({len(line) for line in lines}), 1)
        self.assertRegex(text, r"shape:tiny, running: .*: \S+ \(\S+ to \S+\)")

    def test_csv(self):
        rows = list(csv.DictReader(io.StringIO(self.good("bench", TINY, *SMALL, "--csv").decode())))
        self.assertEqual([(r["scenario"], r["part"]) for r in rows], list(PARTS))
        for r in rows:
            self.assertNotIn(None, r)
            self.assertNotIn(None, r.values())
            self.assertGreater(float(r["tokens_per_second"]), 0)
            self.assertEqual(bool(r["during_p99"]), r["part"] == "streams")
            self.assertEqual(bool(r["first_token_p50"]), r["part"] != "bare")
        figures = {r["scenario"]: [f.split("=")[0] for f in r["figures"].split()] for r in rows if r["figures"]}
        self.assertEqual(figures, {"running": ["over_bare"], "long": ["p99_over_median", "throughput"],
                                   "again": ["over_cold"], "shared": ["over_alone"], "editing": ["over_plain"],
                                   "prose": ["over_plain"]})


class Plot(Case):
    def test_bars(self):
        self.good("bench", TINY, *named("long", "--plot", self.path("out.svg")))
        root = ElementTree.parse(self.path("out.svg")).getroot()
        texts = ["".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")]
        self.assertEqual(texts.count("long, streams"), 4)
        self.assertEqual(texts.count("long, alone"), 2)
        for e in root.iter("{http://www.w3.org/2000/svg}rect"):
            self.assertTrue(0 <= float(e.get("x", 0)) + float(e.get("width")) <= float(root.get("width")))
            self.assertTrue(0 <= float(e.get("y", 0)) + float(e.get("height")) <= float(root.get("height")))

    def test_unwritable(self):
        r = self.gale("bench", TINY, *named("again", "--plot", self.path("none", "out.svg")))
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"out.svg", r.stderr)


class Errors(Case):
    def test_usage(self):
        for arguments, says in [
            (["--serve", "-p", "5"], "--n-prompt goes without --serve"),
            (["--serve", "-b", "5"], "--batch goes without --serve"),
            (["--scenario", "open"], "--scenario goes with --serve"),
            (["--scale", "2"], "--scale goes with --serve"),
            (["--rate", "2"], "--rate goes with --serve"),
            (["-s", "2"], "--seed goes with --serve"),
            (["--serve", "--scenario", "opem"], "'opem' is not one of " + ", ".join(SCENARIOS)),
            (["--serve", "--scale", "0"], "above 0 and up to"),
            (["--serve", "--json", "--csv"], "one of --json, --csv and --markdown"),
        ]:
            with self.subTest(arguments=arguments):
                self.bad(2, "bench", TINY, *arguments, says=says)


if __name__ == "__main__":
    unittest.main()
