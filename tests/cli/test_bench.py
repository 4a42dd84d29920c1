"""gale bench: which tests run, and every way of printing them. No test depends on how fast anything is."""

import csv
import io
import json
import os
import unittest
import xml.etree.ElementTree as ElementTree

import test_cli as cli

TINY = "shape:tiny@q8_0"  # 2 layers, window 8
QUICK = ["-p", "12", "-n", "3", "-b", "1", "-d", "0", "-r", "2", "-t", "2"]
LIMITS = ["read_bytes_per_second", "int8_ops_per_second", "float_ops_per_second"]


class Case(cli.Case):
    def bench(self, *arguments):
        return json.loads(self.good("bench", *arguments, "--json"))

    def measured(self, *arguments):
        """(test, tokens, batch, depth, window) of each result but loading."""
        results = self.bench(*arguments)["results"]
        return [tuple(r[k] for k in ("test", "tokens", "batch", "depth", "window")) for r in results
                if r["test"] != "load"]


class Json(Case):
    def test_contract(self):
        report = self.bench(TINY, *QUICK)
        machine, results = report["machine"], report["results"]
        for key in LIMITS:
            self.assertGreater(machine[key], 0)
            self.assertEqual(machine[key], max(p[key] for p in machine["probes"]))
            self.assertEqual(machine["sustained"][key], max(p["sustained"][key] for p in machine["probes"]))
            self.assertLessEqual(machine["sustained"][key], machine[key])
        self.assertEqual(machine["threads"], 2)
        self.assertIn(machine["cpu"], ["generic", "avx2", "avxvnni", "avx512", "amx", "neon"])
        self.assertTrue(machine["processor"])
        self.assertGreater(len(machine["probes"]), 0)
        self.assertEqual([r["test"] for r in results], ["load", "prefill", "decode"])
        load, prefill, decode = results
        self.assertGreater(load["seconds"], 0)
        self.assertGreater(load["bytes"], 0)
        self.assertEqual(load["samples"], [load["seconds"]])
        for r, tokens in ((prefill, 12), (decode, 3)):
            self.assertEqual((r["model"], r["tokens"], r["batch"], r["depth"]), (TINY, tokens, 1, 0))
            self.assertEqual(len(r["samples"]), 2)
            self.assertAlmostEqual(r["tokens_per_second"] / (sum(r["samples"]) / 2), 1, places=5)
            self.assertEqual(r["of_limit"], max(r["of_memory_limit"], r["of_arithmetic_limit"]))
            self.assertEqual(r["limit"], "memory" if r["of_memory_limit"] > r["of_arithmetic_limit"] else "arithmetic")
            self.assertGreater(min(r["of_memory_limit"], r["of_arithmetic_limit"]), 0)
            self.assertGreaterEqual(r["of_sustained"], r["of_limit"])
            self.assertNotIn("ratio", r)

    def test_loading_with_a_cache(self):
        self.environment["GALE_CACHE_LEAST"] = "0"
        for _ in range(2):
            results = self.bench(cli.TINY, *QUICK)["results"]
            self.assertEqual([r["test"] for r in results], ["load", "load_from_cache", "prefill", "decode"])
            self.assertGreater(min(r["seconds"] for r in results[:2]), 0)
        text = self.good("bench", cli.TINY, *QUICK, "--plot", self.path("out.svg")).decode()
        self.assertRegex(text, r"(?m)^load  .*\nload from cache  ")
        results = self.bench(cli.TINY, *QUICK, "--no-cache")["results"]
        self.assertEqual([r["test"] for r in results], ["load", "prefill", "decode"])

    def test_which_tests_run(self):
        for arguments, wanted in [
            (["-p", "4,5", "-n", "2,3", "-b", "1,3", "-d", "0"],
             [("prefill", 4, 1, 0, 8), ("prefill", 5, 1, 0, 8), ("decode", 2, 1, 0, 8), ("decode", 3, 1, 0, 8),
              ("decode", 2, 3, 0, 8)]),
            (["-p", "4", "-n", "0", "-d", "0,8,9"],
             [("prefill", 4, 1, 0, 8), ("prefill", 4, 1, 8, 8), ("prefill", 4, 1, 9, 8), ("prefill", 4, 1, 9, 0)]),
            (["-p", "0", "-n", "2", "-b", "2,1", "-d", "3,100"],
             [("decode", 2, 2, 3, 8), ("decode", 2, 1, 3, 8), ("decode", 2, 2, 100, 8), ("decode", 2, 2, 100, 0)]),
            (["-p", "0", "-n", "1", "-b", "5", "-d", "100", "--window", "30"], [("decode", 1, 5, 100, 30)]),
            (["-p", "0", "-n", "1", "-b", "1", "-d", "100", "--window", "0"], [("decode", 1, 1, 100, 0)]),
            (["-p", "0", "-n", "0", "-d", "0"], []),
            # beyond the 256 positions that the model was made for; prompts of several steps
            (["-p", "300", "-n", "1", "-b", "1", "-d", "400", "--window", "0", "--chunk", "70"],
             [("prefill", 300, 1, 400, 0), ("decode", 1, 1, 400, 0)]),
        ]:
            with self.subTest(arguments=arguments):
                self.assertEqual(self.measured(TINY, *arguments, "-r", "1", "-t", "1"), wanted)

    def test_an_option_given_twice_adds_to_its_list(self):
        self.assertEqual([t[1] for t in self.measured(TINY, "-p", "2", "-p", "3,4", "-n", "0", "-d", "0", "-r", "1")],
                         [2, 3, 4])

    def test_settings_of_the_session(self):
        for arguments in (["--kv", "q8"], ["--kv", "f32"], ["--cpu", "generic"], ["--quant", "q4_0"]):
            with self.subTest(arguments=arguments):
                report = self.bench("shape:tiny-moe@f32", *QUICK, "-d", "70", *arguments)
                self.assertEqual(len(report["results"]), 5)
                if arguments[0] == "--cpu":
                    self.assertEqual(report["machine"]["cpu"], "generic")

    def test_models_side_by_side(self):
        results = self.bench(TINY, "shape:tiny-moe@f32", *QUICK)["results"]
        first, second = results[:3], results[3:]
        self.assertEqual([r["model"] for r in results], [TINY] * 3 + ["shape:tiny-moe@f32"] * 3)
        for a, b in zip(first, second):
            self.assertNotIn("ratio", a)
            ratio = a["seconds"] / b["seconds"] if a["test"] == "load" else b["tokens_per_second"] / a["tokens_per_second"]
            self.assertAlmostEqual(b["ratio"] / ratio, 1, places=4)


class Tables(Case):
    def test_text(self):
        text = self.good("bench", TINY, *QUICK, "-d", "1000").decode()
        self.assertIn("2 threads", text)
        self.assertIn("GB/s", text)
        self.assertNotIn(" \n", text)
        heading, *rows = text.split("\n\n")[1].splitlines()
        self.assertEqual(heading.split(), "test speed lowest to highest of limit of sustained limit".split())
        self.assertEqual([r.split("  ")[0] for r in rows],
                         ["load", "prefill 12", "prefill 12 at depth 1,000, window 8",
                          "prefill 12 at depth 1,000, no window", "decode 3", "decode 3 at depth 1,000, window 8",
                          "decode 3 at depth 1,000, no window"])
        for r in rows[1:]:
            self.assertRegex(r, r" tok/s +\S+ to \S+ +\d+% +\d+% +(memory|arithmetic)$")

    def test_markdown_of_two_models(self):
        text = self.good("bench", TINY, "shape:tiny", *QUICK, "--markdown").decode()
        lines = [line for line in text.splitlines() if line.startswith("|")]
        self.assertEqual(len(lines), 2 + 6)
        self.assertEqual({line.count("|") for line in lines}, {9})
        self.assertEqual(len({len(line) for line in lines}), 1)
        self.assertRegex(lines[1], r"^[|-]+$")
        self.assertIn(f"times {TINY}", lines[0])
        self.assertRegex(lines[-1], r"\d\.\d\d +\|$")

    def test_csv(self):
        rows = list(csv.DictReader(io.StringIO(self.good("bench", TINY, *QUICK, "--csv").decode())))
        self.assertEqual([r["test"] for r in rows], ["load", "prefill", "decode"])
        for r in rows:
            self.assertNotIn(None, r)
            self.assertEqual(r["model"], TINY)
            self.assertEqual(bool(r["seconds"]), r["test"] == "load")
            self.assertEqual(bool(r["tokens_per_second"]), r["test"] != "load")
            for key in LIMITS:
                self.assertGreater(float(r[key]), 0)
            self.assertEqual(len([float(s) for s in r["samples"].split()]), 1 if r["test"] == "load" else 2)
        self.assertEqual((rows[1]["tokens"], rows[1]["batch"], rows[1]["depth"], rows[1]["window"]),
                         ("12", "1", "0", "8"))


class Plot(Case):
    def texts(self, *arguments):
        self.good("bench", *arguments, "--plot", self.path("out.svg"))
        root = ElementTree.parse(self.path("out.svg")).getroot()
        self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
        for e in root.iter():
            for key in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height"):
                value = float(e.get(key, 0))
                self.assertTrue(0 <= value <= float(root.get("height" if "y" in key else "width", 0)) or key == "height")
        return ["".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")]

    def test_curves_with_and_without_the_window(self):
        texts = self.texts(TINY, *QUICK, "-d", "50,100")
        self.assertIn(TINY + ", window 8", texts)
        self.assertIn(TINY + ", without its window", texts)
        self.assertIn("decode 3 at depth 100, no window", texts)

    def test_no_window_and_no_decoding(self):
        self.assertNotIn("shape:tiny-moe, without its window", self.texts("shape:tiny-moe", *QUICK, "-d", "300"))
        self.texts("shape:tiny-moe", "-p", "0", "-n", "0", "-d", "0")

    def test_names_are_escaped(self):
        path = self.write("a<b>&\"c\xe9.gguf", b"")
        self.good("synth", "tiny", path, "--type", "q4_0")
        self.assertTrue(any("a<b>&\"c" in t for t in self.texts(path, *QUICK)))

    def test_unwritable(self):
        r = self.gale("bench", TINY, *QUICK, "--plot", self.path("none", "out.svg"))
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"out.svg", r.stderr)


class Errors(Case):
    def test_usage(self):
        for arguments, says in [
            ([], "usage is: gale bench MODEL"),
            ([TINY, "--json", "--csv"], "one of --json, --csv and --markdown"),
            ([TINY, "-p", ""], "-p: '' is not a whole number from 0 to"),
            ([TINY, "-p", "1,"], "-p: '' is not a whole number"),
            ([TINY, "-p", "1,x"], "-p: 'x' is not a whole number"),
            ([TINY, "-n", "-1"], "-n: '-1' is not a whole number from 0 to"),
            ([TINY, "-b", "1,0"], "-b: '0' is not a whole number from 1 to"),
            ([TINY, "--n-depth=0,99999999999999999999999999"], "is not a whole number from 0 to"),
            ([TINY, "-r", "0"], "-r: '0' is not"),
            ([TINY, "-b", ",".join(["1"] * 17)], "more than 16 numbers"),
            ([TINY] * 9, "unexpected argument"),
            ([TINY, "-b", "1024", "-n", "1048576", "-n", "4194304"], "-n: '4194304' is not"),
        ]:
            with self.subTest(arguments=arguments):
                self.bad(2, "bench", *arguments, says=says)

    def test_models(self):
        self.bad(1, "bench", "shape:huge", *QUICK, says="huge")
        self.bad(1, "bench", TINY, os.path.join(self.folder, "none.gguf"), *QUICK, says="none.gguf")


if __name__ == "__main__":
    unittest.main()
