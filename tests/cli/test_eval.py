"""gale eval against its protocols: prompts, scores and files, on invented questions and tiny models."""

import array
import hashlib
import io
import json
import math
import os
import random
import re
import signal
import struct
import subprocess
import tarfile
import tempfile
import time
import unittest

import test_cli as cli

needs_demo, DEMO = cli.needs_demo, cli.DEMO
SHAPE = "shape:tiny"


def jsonl(rows):
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)


HELLASWAG = [
    {"ind": 7, "activity_label": "Making tea", "ctx_a": "A man fills a kettle. ", "ctx_b": "the man WAITS",
     "endings": ["for it  to boil.", "[substeps] on a roof.", "and [title] sings.", "no\u00e9l."], "label": "0"},
    {"ind": "x", "activity_label": "Making tea", "ctx_a": "[header] A man fills [b] a cup.", "ctx_b": "",
     "endings": ["a", "bb", "ccc", "dddd"], "label": 3},
    {"ind": 9, "activity_label": "Running", "ctx_a": "She   runs.", "ctx_b": "\u01c6 \u0130X",
     "endings": ["home.", "away.", "a [b\nc] d", "in."], "label": 1},
]
ARC = [
    {"id": "a1", "question": "What is wet?", "choices": {"text": ["water", "sand", "iron"], "label": ["A", "B", "C"]},
     "answerKey": "A"},
    {"id": "a2", "question": {"stem": "What is hot?", "choices": [{"text": t, "label": str(i + 1)} for i, t in
                                                               enumerate(["ice", "snow", "fire", "rain"])]},
     "answerKey": "3"},
]
PIQA = [{"goal": "Open a tin", "sol1": "use an opener", "sol2": "use a spoon", "label": 0},
        {"goal": "Dry a plate", "sol1": "use water", "sol2": "use a towel", "label": 1}]
WINOGRANDE = [{"qID": "w1-1", "sentence": "The box fits the bag as the _ is small .", "option1": "box",
               "option2": "bag", "answer": "1"},
              {"qID": "w1-2", "sentence": "Ann saw Eve and _ waved.", "option1": "Ann", "option2": "Eve", "answer": "2"}]
BOOLQ = [{"question": "is tea hot", "passage": "Tea is hot.", "label": True},
         {"question": "is ice hot", "title": "Ice", "passage": "Ice is cold.", "answer": False}]
GSM8K = [{"question": "Two and two?", "answer": "2 + 2 = 4.\n#### 4"}, {"question": "Ten less one?",
                                                                     "answer": "10 - 1 = 9\n#### 9"}]
TRUTH = [{"question": "Is it?", "mc1_targets": {"choices": ["Yes.", "No."], "labels": [1, 0]},
          "mc2_targets": {"Yes.": 1, "Sure.": 1, "No.": 0}}]
HUMANEVAL = [{"task_id": "T/0", "prompt": "def f():\n", "entry_point": "f"}]
CHOICE = [{"id": 5, "context": "a b", "continuations": [" c", "d", " long one"], "gold": 1},
          {"contexts": ["one", "two"], "continuations": [" end"], "gold": 0}]
FILES = {"hellaswag": HELLASWAG, "arc-easy": ARC, "arc-challenge": ARC, "piqa": PIQA, "winogrande": WINOGRANDE,
         "boolq": BOOLQ, "gsm8k": GSM8K, "gsm8k-cot": GSM8K, "truthfulqa-mc1": TRUTH, "truthfulqa-mc2": TRUTH,
         "humaneval": HUMANEVAL, "choice": CHOICE}


def mmlu_files(header=False):
    files = {}
    for subject, n in (("world_religions", 3), ("anatomy", 2)):
        for split, count in (("dev", 6), ("test", n), ("val", 1)):
            rows = ["question,A,B,C,D,answer"] if header else []
            for i in range(count):
                answer = str(i % 4) if header and i % 2 else "ABCD"[i % 4]
                rows.append(f'" {subject} {split}, ""{i}""?\n",1.0,007,NA,{i},{answer}')
            files[f"data/{split}/{subject}_{split}.csv"] = "\r\n".join(rows) + "\r\n"
    files["data/README.txt"] = "no questions"
    return files


class Case(cli.Case):
    def task(self, name, rows=None):
        return f"{name}=" + self.write(f"{name}.jsonl", jsonl(FILES[name] if rows is None else rows))

    def dry(self, *arguments):
        lines = [json.loads(l) for l in self.good("eval", "--dry-run", *arguments).decode().split("\n")[:-1]]
        self.assertEqual((lines[0]["format"], lines[0]["version"]), ("gale-eval-samples", 1))
        return lines[1:]

    def mmlu(self, **options):
        for name, content in mmlu_files(**options).items():
            self.write(name, content)
        return "mmlu=" + self.path("data")


class Prompts(Case):
    def test_plain_tasks(self):
        arc = self.dry(self.task("arc-easy"))
        self.assertEqual(arc[0], {"task": "arc-easy", "index": 0, "id": "a1", "context": "Question: What is wet?\nAnswer:",
                                  "continuations": [" water", " sand", " iron"], "gold": 0})
        self.assertEqual((arc[1]["context"], arc[1]["gold"]), ("Question: What is hot?\nAnswer:", 2))
        piqa = self.dry(self.task("piqa"))
        self.assertEqual((piqa[1]["context"], piqa[1]["continuations"], piqa[1]["gold"], piqa[1]["id"]),
                         ("Question: Dry a plate\nAnswer:", [" use water", " use a towel"], 1, None))
        wino = self.dry(self.task("winogrande"))
        self.assertEqual(wino[0]["contexts"], ["The box fits the bag as the box", "The box fits the bag as the bag"])
        self.assertEqual((wino[0]["continuations"], wino[0]["id"]), ([" is small ."] * 2, "w1-1"))
        boolq = self.dry(self.task("boolq"))
        self.assertEqual((boolq[0]["context"], boolq[0]["gold"]), ("Tea is hot.\nQuestion: is tea hot?\nAnswer:", 1))
        self.assertEqual((boolq[1]["context"], boolq[1]["gold"]), ("Ice -- Ice is cold.\nQuestion: is ice hot?\nAnswer:", 0))
        choice = self.dry(self.task("choice"))
        self.assertEqual((choice[0]["context"], choice[0]["continuations"], choice[0]["id"]), ("a b", [" c", "d", " long one"], 5))
        self.assertEqual((choice[1]["contexts"], choice[1]["continuations"]), (["one", "two"], [" end"] * 2))
        self.assertEqual(self.dry(self.task("humaneval"))[0], {"task": "humaneval", "index": 0, "id": "T/0", "context": "def f():\n"})

    def test_hellaswag_is_cleaned_as_python_does(self):
        def clean(t):
            return re.sub(r"\[.*?\]", "", t.strip().replace(" [title]", ". ")).replace("  ", " ")

        for item, row in zip(self.dry(self.task("hellaswag")), HELLASWAG):
            self.assertEqual(item["context"], clean(row["activity_label"] + ": " + row["ctx_a"] + " " + row["ctx_b"].capitalize()))
            self.assertEqual(item["continuations"], [" " + clean(e) for e in row["endings"]])
            self.assertEqual((item["id"], item["gold"]), (row["ind"], int(row["label"])))

    def test_capital_letters_of_all_scripts(self):
        rng = random.Random(3)
        letters = [chr(c) for c in range(0x20, 0x1F000) if chr(c).isalpha() and chr(c) != "\u03a3" and len(chr(c).lower()) + len(chr(c).upper()) > 0
                   and chr(c).lower() != chr(c).upper()]
        rows = [dict(HELLASWAG[0], ctx_a="", ctx_b="".join(rng.sample(letters, 40))) for _ in range(60)]
        rows += [dict(HELLASWAG[0], ctx_a="", ctx_b=t) for t in ("\u039f\u03a3 \u039f\u03a3\u0391 \u03a3 A\u03a3.", "\ufb01X", "\u00dfA", "\u01c4\u01c4")]
        for item, row in zip(self.dry(self.task("hellaswag", rows)), rows):
            self.assertEqual(item["context"], ("Making tea:  " + row["ctx_b"].capitalize()).replace("  ", " "))

    def test_published_prefixes(self):
        cot = self.dry(self.task("gsm8k-cot"))
        prefix = cot[0]["context"].removesuffix("Q: Two and two?\nA:").encode()
        self.assertEqual((len(prefix), hashlib.sha256(prefix).hexdigest()[:16]), (2141, "3d55795c084e26f6"))
        self.assertEqual((cot[0]["gold"], cot[1]["gold"]), ("4", "9"))
        truth = self.dry(self.task("truthfulqa-mc1"))[0]
        preamble = truth["context"].removesuffix("\n\nQ: Is it?\nA:").encode()
        self.assertEqual((len(preamble), hashlib.sha256(preamble).hexdigest()[:16]), (573, "5c0da5f346e8652c"))
        self.assertEqual((truth["continuations"], truth["gold"]), ([" Yes.", " No."], 0))
        many = self.dry("truthfulqa-mc2=" + self.write("t.json", json.dumps(TRUTH, indent=1)))[0]
        self.assertEqual((many["continuations"], many["labels"]), ([" Yes.", " Sure.", " No."], [1, 1, 0]))

    def test_mmlu(self):
        def text(subject, split, i, strip=True):
            question = f' {subject} {split}, "{i}"?\n'
            return (question.strip() if strip else question.replace("\n", "\r\n" if False else "\n")) + f"\nA. 1.0\nB. 007\nC. NA\nD. {i}\nAnswer:"

        head = "The following are multiple choice questions (with answers) about "
        for header in (False, True):
            items = self.dry(self.mmlu(header=header))
            self.assertEqual([(i["subject"], i["index"]) for i in items],
                             [("anatomy", 0), ("anatomy", 1), ("world_religions", 0), ("world_religions", 1), ("world_religions", 2)])
            want = head + "world religions.\n\n" + "".join(text("world_religions", "dev", i) + " " + "ABCDA"[i] + "\n\n" for i in range(5))
            self.assertEqual(items[3]["context"], want + text("world_religions", "test", 1))
            self.assertEqual((items[3]["continuations"], items[3]["gold"]), ([" A", " B", " C", " D"], 1))
        original = self.dry(self.mmlu(), "--protocol", "original", "--shots", "1")
        want = head + " anatomy.\n\n" + text("anatomy", "dev", 0, False) + " A\n\n"
        self.assertEqual(original[0]["context"], want + text("anatomy", "test", 0, False))
        cloze = self.dry(self.mmlu().replace("mmlu=", "mmlu-cloze="), "--split", "val")
        self.assertEqual(cloze[0]["context"], 'The following are questions (with answers) about anatomy.\n\nQuestion: anatomy val, "0"?\nAnswer:')
        self.assertEqual(cloze[0]["continuations"], [" 1.0", " 007", " NA", " 0"])
        self.assertEqual(len(self.dry(self.mmlu(), "--limit", "1")), 2)

    def test_mmlu_from_other_places(self):
        want = self.dry(self.mmlu())
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as t:
            for name, content in mmlu_files().items():
                info = tarfile.TarInfo(("x" * 120 + "/" if "anatomy" in name else "") + name)
                info.size = len(content.encode())
                t.addfile(info, io.BytesIO(content.encode()))
        self.assertEqual(self.dry("mmlu=" + self.write("data.tar", archive.getvalue())), want)
        for split in ("dev", "test"):
            rows = [{"question": f' {s} {split}, "{i}"?\n', "subject": s, "choices": ["1.0", "007", "NA", str(i)], "answer": i % 4}
                    for s, n in (("world_religions", 3), ("anatomy", 2)) for i in range(6 if split == "dev" else n)]
            self.write(f"rows/{split}.jsonl", "\ufeff" + jsonl(rows))
            for s in ("anatomy", "world_religions"):
                self.write(f"folders/{s}/{split}.jsonl", jsonl({k: v for k, v in r.items() if k != "subject"} | {"answer": "ABCD"[r["answer"]]}
                                                               for r in rows if r["subject"] == s))
        for path in ("rows", "rows/test.jsonl", "folders"):
            self.assertEqual(self.dry("mmlu=" + self.path(path)), want)

    def test_drawn_examples(self):
        rows = [{"question": f"q{i}", "answer": f"{i} #### {i}"} for i in range(40)]
        self.write("gsm/train.jsonl", jsonl(rows))
        self.write("gsm/test.jsonl", jsonl(GSM8K * 5))
        for seed, shots, n in ((1234, 5, 10), (7, 3, 4)):
            r = random.Random(seed)
            items = self.dry("gsm8k=" + self.path("gsm"), "-s", str(seed), "--shots", str(shots), "--limit", str(n))
            self.assertEqual(len(items), n)
            for item in items:
                want = "".join(f"Question: {e['question']}\nAnswer: {e['answer']}\n\n" for e in r.sample(rows, shots))
                self.assertTrue(item["context"].startswith(want + "Question: "), item["context"])

    def test_a_question_is_no_example_of_itself(self):
        rows = [dict(PIQA[0], goal=f"goal {i}") for i in range(30)]
        path = self.task("piqa", rows)
        r = random.Random(1234)
        for i, item in enumerate(self.dry(path, "--fewshot", path.split("=")[1], "--shots", "4")):
            drawn = [x for x in r.sample(rows, 5) if x != rows[i]][:4]
            want = "".join(f"Question: {x['goal']}\nAnswer: use an opener\n\n" for x in drawn)
            self.assertEqual(item["context"], want + f"Question: goal {i}\nAnswer:")

    def test_other_forms_of_files(self):
        lines = "\n".join(f"context {i}\n{i}\na\nb\nc\nd" for i in range(2)) + "\n"
        swag = self.dry("hellaswag=" + self.write("h.txt", lines))
        self.assertEqual([(i["context"], i["gold"], i["id"]) for i in swag], [("context 0", 0, None), ("context 1", 1, None)])
        rows = '0,"A, ""b"" _ c.",x,y,2\r\n1,D _ e,u,v,1\r\n'
        wino = self.dry("winogrande=" + self.write("w.csv", rows))
        self.assertEqual((wino[0]["contexts"], wino[0]["gold"], wino[1]["continuations"]), (['A, "b" x', 'A, "b" y'], 1, [" e"] * 2))
        self.write("dev-labels.lst", "2\n1\n")
        unlabelled = [{k: v for k, v in r.items() if k != "answer"} for r in WINOGRANDE]
        items = self.dry("winogrande=" + self.write("dev.jsonl", jsonl(unlabelled)))
        self.assertEqual([i["gold"] for i in items], [1, 0])
        self.write("valid-labels.lst", "1\r\n0\r\n")
        items = self.dry("piqa=" + self.write("valid.jsonl", jsonl({k: v for k, v in r.items() if k != "label"} for r in PIQA)))
        self.assertEqual([i["gold"] for i in items], [1, 0])
        row = jsonl([dict(PIQA[0], goal="a\u2028b")]).replace("\n", "\r\n")
        self.assertEqual(self.dry("piqa=" + self.write("crlf.jsonl", row))[0]["context"], "Question: a\u2028b\nAnswer:")


class Refusals(Case):
    def refused(self, task, content, line, says="", name="bad.jsonl", *arguments):
        path = self.write(name, content)
        message = self.bad(1, "eval", "no-such-model", f"{task}={path}", *arguments, says=f"{path}:{line}: ")
        self.assertIn(says, message)

    def test_malformed_files_are_told_by_line(self):
        good = {name: jsonl(rows[:1]) for name, rows in FILES.items()}
        for task in FILES:
            with self.subTest(task=task):
                self.refused(task, good[task] + "{\n", 2, "not JSON")
                self.refused(task, good[task] + "[]\n" if task != "x" else "", 2, "not a JSON object")
                self.refused(task, good[task].encode() + b"\n\xff\n", 3, "not UTF-8")
                self.refused(task, good[task] + "{}\n", 2)
                self.refused(task, "", 1)
        self.refused("hellaswag", jsonl([dict(HELLASWAG[0], label="")]), 1, "label")
        self.refused("hellaswag", jsonl([dict(HELLASWAG[0], label=4)]), 1, "label")
        self.refused("hellaswag", "c\n1\na\nb\nc\nd\nc\n7\na\nb\nc\nd\n", 8, "label", "h.txt")
        self.refused("hellaswag", "c\n1\na\nb\n", 4, "lines", "h.txt")
        self.refused("arc-easy", jsonl([dict(ARC[0], answerKey="E")]), 1, "answerKey")
        self.refused("winogrande", jsonl([dict(WINOGRANDE[0], sentence="no gap")]), 1, "gap")
        self.refused("winogrande", "0,a _ b,x,y,1\n1,\"open,x,y,1\n", 2, "quote", "w.csv")
        self.refused("winogrande", "0,a _ b,x,y\n", 1, "cells", "w.csv")
        self.refused("gsm8k", jsonl([dict(GSM8K[0], answer="4")]), 1, "####")
        self.refused("truthfulqa-mc1", "[\n" + json.dumps(TRUTH[0]) + ",\n{\"question\": 1}]", 3)
        self.refused("choice", jsonl([dict(CHOICE[0], gold=3)]), 1, "gold")
        path = self.write("data/anatomy_test.csv", "q,1,2,3,4,A\nq,1,2,3,4,E\n")
        self.bad(1, "eval", "m", "mmlu=" + self.path("data"), says=f"{path}:2: ")
        self.write("l-labels.lst", "1\n2\n")
        self.write("l.jsonl", jsonl([{"goal": "g", "sol1": "a", "sol2": "b"}] * 2))
        self.bad(1, "eval", "m", "piqa=" + self.path("l.jsonl"), says=self.path("l-labels.lst") + ":2: " if False else "l.jsonl:2: ")

    def test_other_formats_name_the_tool(self):
        for content in (b"PAR1....", b"ARROW1\0\0", b"\xff\xff\xff\xff\x10"):
            self.refused("piqa", content, 1, "tools/eval_data.py")

    def test_too_few_examples(self):
        for arguments in ([self.task("piqa"), "--shots", "1"], [self.task("gsm8k")],
                          [self.task("piqa"), "--shots", "2", "--fewshot", self.path("piqa.jsonl")],
                          [self.task("gsm8k-cot"), "--shots", "9"], [self.mmlu(), "--shots", "7"]):
            self.bad(1, "eval", "m", *arguments, says="--fewshot")

    def test_usage(self):
        piqa = self.task("piqa")
        message = self.bad(2, "eval", "m", "trivia=x", says="unknown task 'trivia'")
        for name in FILES:
            self.assertIn(name, message)
        for says, arguments in [("no TASK=PATH", ["m"]), ("MODEL is missing", [piqa]), ("twice", ["m", piqa, piqa]),
                                ("mmlu alone", ["m", piqa, "--protocol", "original"]), ("--split", ["m", piqa, "--split", "val"]),
                                ("--repeats", ["m", piqa, "--repeats", "2"]), ("--resume", ["m", piqa, "--resume"]),
                                ("not one of lm-eval, original", ["m", piqa, "--protocol", "x"]), ("path is missing", ["m", "piqa="]),
                                ("one model", ["m", "n", piqa, "--samples", "x"]), ("examples", ["m", self.task("humaneval"), "--shots", "1"])]:
            self.bad(2, "eval", *arguments, says=says)
        self.assertIn(b"hellaswag", self.good("eval", "--list"))


class Rescoring(Case):
    def score(self, rows, *arguments, **header):
        header = {"format": "gale-eval-samples", "version": 1, **header}
        return json.loads(self.good("eval", "--rescore", self.write("s.jsonl", jsonl([header, *rows])), "--json", *arguments))["tasks"]

    def near(self, a, b):
        self.assertTrue(a == b or math.isclose(a, b, rel_tol=1e-12), (a, b))

    def test_choices(self):
        rows = [{"task": "arc-easy", "continuations": [" ab", " abcdefgh"], "loglikelihoods": [-2, -6], "gold": g} for g in (0, 1, 1)]
        t = self.score(rows, tasks=[{"task": "arc-easy"}])[0]
        for name, p in (("acc", 1 / 3), ("acc_norm", 2 / 3)):
            m = t["metrics"][name]
            self.near(m["value"], p)
            self.near(m["standard_error"], 1 / 3)
            z, n = 1.96, 3
            middle, half = (p + z * z / 2 / n) / (1 + z * z / n), z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
            for got, want in zip(m["interval_95"], (middle - half, middle + half)):
                self.near(got, want)
        self.assertIsNone(self.score(rows[:1], tasks=[{"task": "arc-easy"}])[0]["metrics"]["acc"]["standard_error"])

    def test_truths(self):
        rows = [{"task": "truthfulqa-mc2", "continuations": [" a", " b", " c"], "labels": [1, 0, 1], "loglikelihoods": l}
                for l in ([-1000, -1001, -1002], [-1, -1, -1])]
        m = self.score(rows, tasks=[{"task": "truthfulqa-mc2"}])[0]["metrics"]["mc2"]
        a, b = (1 + math.exp(-2)) / (1 + math.exp(-1) + math.exp(-2)), 2 / 3
        self.near(m["value"], (a + b) / 2)
        self.near(m["standard_error"], abs(a - b) / 2)
        self.near(m["interval_95"][0], (a + b) / 2 - 1.96 * abs(a - b) / 2)

    def test_groups_of_mmlu(self):
        counts = {"anatomy": [1, 0, 0], "philosophy": [1], "virology": [1, 1, 0, 0]}
        rows = [{"task": "mmlu", "subject": s, "continuations": [" A", " B", " C", " D"], "loglikelihoods": [0, -1, -1, -1],
                 "gold": 0 if x else 1} for s, xs in counts.items() for x in xs]
        for protocol, groups in (("lm-eval", {"stem": ["anatomy"], "humanities": ["philosophy"], "other": ["virology"]}),
                                 ("original", {"humanities": ["philosophy"], "other": ["anatomy", "virology"]})):
            t = self.score(rows, tasks=[{"task": "mmlu", "protocol": protocol}])[0]
            self.near(t["metrics"]["acc_by_subject"]["value"], (1 / 3 + 1 + 1 / 2) / 3)
            self.assertEqual({g["name"]: g["n"] for g in t["groups"]}, {g: sum(len(counts[s]) for s in ss) for g, ss in groups.items()})
            self.assertEqual([(s["name"], s["n"]) for s in t["subjects"]], [(s, len(x)) for s, x in counts.items()])

            def pooled(subjects):
                total, k, s = sum(len(counts[s]) for s in subjects), len(subjects), 0
                for x in (counts[s] for s in subjects):
                    n, mean = len(x), sum(x) / len(x)
                    e2 = sum((v - mean) ** 2 for v in x) / (n - 1) / n if n > 1 else 0
                    s += (n - 1) * n * e2
                return math.sqrt(s / (total - k) / total) if total > k else None

            for g in t["groups"]:
                got, want = g["metrics"]["acc"]["standard_error"], pooled(groups[g["name"]])
                self.assertTrue(got == want or math.isclose(got, want, rel_tol=1e-12))
            self.near(t["metrics"]["acc"]["standard_error"], pooled(list(counts)))

    def test_answers(self):
        strict = r"#### (\-?[0-9\.\,]+)"
        chain = r"The answer is (\-?[0-9\.\,]+)."
        flexible = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"
        vote = r"The answer is (\-?[0-9\.\,]*[0-9]+)"

        def first(pattern, text, which=0):
            found = re.findall(pattern, text)
            if not found:
                return "[invalid]"
            return found[which] if isinstance(found[which], str) else next((x for x in found[which] if x), "[invalid]")

        def plain(t):
            for pattern in (",", r"\$", "(?s).*#### ", r"\.$"):
                t = re.sub(pattern, "", t)
            return t.lower()

        rng = random.Random(5)
        parts = ["The answer is ", "#### ", "-", "1", "23", ".", ",", "$", " ", "\n", "x", "\u00e9"]
        texts = ["".join(rng.choice(parts) for _ in range(rng.randrange(12))) for _ in range(400)]
        for task, pattern in (("gsm8k", strict), ("gsm8k-cot", chain)):
            golds = [rng.choice(["23", "1", "-1", "x #### 1,1.", "[INVALID]", "1.\n"]) for _ in texts]
            rows = [{"task": task, "gold": g, "responses": [t]} for t, g in zip(texts, golds)]
            m = self.score(rows, tasks=[{"task": task}])[0]["metrics"]
            for name, got in (("strict_match", [first(pattern, t) for t in texts]), ("flexible_extract", [first(flexible, t, -1) for t in texts])):
                self.near(m[name]["value"], sum(plain(a) == plain(g) for a, g in zip(got, golds)) / len(texts))
        for k in (2, 5):
            rows, right = [], [0, 0]
            for _ in range(100):
                responses = [rng.choice(texts + ["The answer is 1.", "The answer is 1,1"]) for _ in range(k)]
                answers = [first(vote, t) for t in responses]
                gold = rng.choice(["1", "11", "23"])
                best = max(answers, key=lambda a: (answers.count(a), -answers.index(a)))
                right[0] += plain(best) == plain(gold)
                right[1] += plain(answers[0]) == plain(gold)
                rows.append({"task": "gsm8k-cot", "gold": gold, "responses": responses})
            m = self.score(rows, tasks=[{"task": "gsm8k-cot", "repeats": k}])[0]["metrics"]
            self.near(m[f"maj@{k}"]["value"], right[0] / 100)
            self.near(m["first"]["value"], right[1] / 100)

    def test_refusals(self):
        head = {"format": "gale-eval-samples", "version": 1, "tasks": [{"task": "piqa"}]}
        for line, rows in ((1, [dict(head, version=2)]), (1, [dict(head, format="x")]), (1, [{"format": "gale-eval-samples", "version": 1}]),
                           (2, [head, {"task": "boolq"}]), (2, [head, {"task": "piqa", "gold": 0, "continuations": [" a", " b"]}]),
                           (2, [head, {"task": "piqa", "gold": 2, "continuations": [" a", " b"], "loglikelihoods": [1, 2]}])):
            path = self.write("bad.jsonl", jsonl(rows))
            self.bad(1, "eval", "--rescore", path, says=f"{path}:{line}: ")


def tiny_model(folder):
    """A checkpoint of random weights with the tokenizer of the tests; it adds no BOS."""
    tokenizer = os.path.join(cli.ROOT, "tests/data/text/smollm.json")
    with open(tokenizer, encoding="utf-8") as f:
        content = f.read()
    vocab = len(json.loads(content)["model"]["vocab"])
    dim, hidden, layers, heads, kv = 32, 48, 2, 4, 2
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": dim, "intermediate_size": hidden,
              "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv, "head_dim": dim // heads,
              "hidden_act": "silu", "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
              "tie_word_embeddings": True, "vocab_size": vocab, "bos_token_id": 1, "eos_token_id": 2}
    rng = random.Random(11)
    shapes = {"model.embed_tokens.weight": (vocab, dim), "model.norm.weight": (dim,)}
    for l in range(layers):
        p = f"model.layers.{l}."
        shapes |= {p + "input_layernorm.weight": (dim,), p + "post_attention_layernorm.weight": (dim,),
                   p + "self_attn.q_proj.weight": (dim, dim), p + "self_attn.o_proj.weight": (dim, dim),
                   p + "self_attn.k_proj.weight": (dim // 2, dim), p + "self_attn.v_proj.weight": (dim // 2, dim),
                   p + "mlp.gate_proj.weight": (hidden, dim), p + "mlp.up_proj.weight": (hidden, dim),
                   p + "mlp.down_proj.weight": (dim, hidden)}
    header, blobs, at = {}, [], 0
    for name, shape in shapes.items():
        n = math.prod(shape)
        values = [1.0] * n if len(shape) == 1 else [rng.gauss(0, 0.3) for _ in range(n)]
        blobs.append(array.array("f", values).tobytes())
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + 4 * n]}
        at += 4 * n
    head = json.dumps(header).encode()
    os.makedirs(folder)
    for name, data in (("config.json", json.dumps(config).encode()), ("tokenizer.json", content.encode()),
                       ("model.safetensors", struct.pack("<Q", len(head)) + head + b"".join(blobs))):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
    return folder


def log_softmax(row):
    top = max(row)
    offset = top + math.log(math.fsum(math.exp(x - top) for x in row))
    return [x - offset for x in row]


class Computing(Case):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="gale-eval-")
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.known = {"": []}
        cls.model = tiny_model(os.path.join(cls.temporary.name, "model"))

    def run_eval(self, *arguments, samples=None):
        """The JSON of a run without its work, that work, and the bytes of its samples."""
        path = samples or self.path("samples.jsonl")
        if not samples and os.path.exists(path):
            os.remove(path)
        result = json.loads(self.good("eval", self.model, *arguments, "--json", "--samples", path))
        work = [t.pop("work") for t in result["tasks"]]
        with open(path, "rb") as f:
            return result, work, f.read()

    def tokenize(self, texts):
        """Keeps the ids of texts, which are found all at once."""
        texts = [t for t in dict.fromkeys(texts) if t not in self.known]
        lines = self.good("tokenize", self.model, "--lines", self.write("texts", "".join(json.dumps(t) + "\n" for t in texts)))
        self.known.update(zip(texts, ([int(x) for x in l.split()] for l in lines.decode().split("\n"))))

    def ids(self, text):
        if text not in self.known:
            self.tokenize([text])
        return self.known[text]

    def rows(self, ids, *options):
        out = self.path("rows.npy")
        self.good("logits", self.model, "--ids", self.write("ids", " ".join(map(str, ids))), "--out", out, *options)
        with open(out, "rb") as f:
            values = array.array("f", f.read()[128:])
        n = len(values) // len(ids)
        return [values[i : i + n] for i in range(0, len(values), n)]

    def pair(self, context, continuation, size=2048):
        """What is computed, from which row on it counts, and what is predicted."""
        head = context.rstrip()
        before, whole = self.ids(head), self.ids(context + continuation)
        if not before:
            before = [0]  # the vocabulary has no BOS, and this EOS
            after = self.ids(context + continuation)
        else:
            after = whole[len(before) :]
        kept = (before + after)[-(size + 1) :]
        return kept[:-1], len(kept) - len(after) - 1, after

    def check(self, line, size=2048, *options):
        contexts = line.get("contexts") or [line["context"]] * len(line["continuations"])
        for context, continuation, ll, tokens in zip(contexts, line["continuations"], line["loglikelihoods"], line["tokens"]):
            ids, first, after = self.pair(context, continuation, size)
            rows = self.rows(ids, *options)
            want = math.fsum(log_softmax(rows[first + i])[t] for i, t in enumerate(after))
            self.assertEqual(tokens, len(after))
            self.assertTrue(math.isclose(ll, want, rel_tol=1e-9), (ll, want, line))

    def tree_size(self, inputs):
        return len({tuple(ids[: i + 1]) for ids in inputs for i in range(len(ids))})

    def test_likelihoods(self):
        tasks = [self.task(t) for t in ("hellaswag", "arc-easy", "winogrande", "piqa", "boolq", "truthfulqa-mc1", "truthfulqa-mc2")]
        choice = [*CHOICE, {"context": "ends in blanks \n ", "continuations": ["a", " b"], "gold": 0},
                  {"context": "", "continuations": ["x", "yz"], "gold": 0}]
        tasks.append(self.task("choice", choice))
        result, work, samples = self.run_eval(*tasks)
        lines = [json.loads(l) for l in samples.decode().split("\n")[1:-1]]
        self.assertEqual(len(lines), 3 + 2 + 2 + 2 + 2 + 1 + 1 + 4)
        def pairs(line):
            return list(zip(line.get("contexts") or [line["context"]] * len(line["continuations"]), line["continuations"]))

        self.tokenize([t for l in lines for c, k in pairs(l) for t in (c.rstrip(), c + k)])
        for line in lines:
            if line["index"] == 0 or line["task"] == "choice":
                self.check(line)
            best = max(range(len(line["loglikelihoods"])), key=lambda i: line["loglikelihoods"][i])
            if "labels" not in line:
                self.assertEqual((line["prediction"], line["acc"]), (best, int(best == line["gold"])))
            if "prediction_norm" in line:
                norms = [ll / len(c.removeprefix(" ")) for ll, c in zip(line["loglikelihoods"], line["continuations"])]
                self.assertEqual(line["prediction_norm"], norms.index(max(norms)))
        for task, w in zip(result["tasks"], work):
            mine = [l for l in lines if l["task"] == task["task"]]
            inputs = [self.pair(c, k)[0] for l in mine for c, k in pairs(l)]
            self.assertEqual(w["computed_tokens"], self.tree_size(inputs))
        again = json.loads(self.good("eval", "--rescore", self.path("samples.jsonl"), "--json"))
        for a, b in zip(again["tasks"], result["tasks"]):
            self.assertEqual({k: v for k, v in a.items() if k not in ("path", "work")}, {k: v for k, v in b.items() if k != "path"})

    def test_same_bytes_however_it_is_computed(self):
        tasks = [self.mmlu(), self.task("hellaswag", HELLASWAG * 3), self.task("gsm8k-cot"), "-n", "12", "--repeats", "3"]
        result, work, samples = self.run_eval(*tasks)
        for options in (["--no-share"], ["--batch", "1"], ["--chunk", "7"], ["-t", "3", "--batch", "5", "--chunk", "64"]):
            with self.subTest(options=options):
                other, more, bytes = self.run_eval(*tasks, *options)
                self.assertEqual((other, bytes), (result, samples))
                if options == ["--no-share"]:
                    self.assertEqual([w["computed_tokens"] for w in more], [w["prompt_tokens"] for w in work])
                else:
                    self.assertEqual([w["computed_tokens"] for w in more], [w["computed_tokens"] for w in work])
        self.assertEqual([t["task"] for t in result["tasks"]], ["mmlu", "hellaswag", "gsm8k-cot"])
        self.assertEqual(list(result["tasks"][2]["metrics"]), ["maj@3", "first"])
        mmlu = [json.loads(l) for l in samples.decode().split("\n")[1:6]]
        self.check(mmlu[0])
        self.assertLess(work[0]["computed_tokens"], 0.5 * work[0]["prompt_tokens"])

    def test_answers_are_drawn_apart(self):
        one = self.run_eval(self.task("gsm8k-cot"), "--repeats", "4", "-n", "8")[2]
        lines = [json.loads(l) for l in one.decode().split("\n")[1:-1]]
        self.assertEqual(len({r for l in lines for r in l["responses"]}), 8)
        few = self.run_eval(self.task("gsm8k-cot"), "--repeats", "2", "-n", "8", "--limit", "1")[2]
        self.assertEqual(json.loads(few.decode().split("\n")[1])["responses"], lines[0]["responses"][:2])
        self.assertNotEqual(self.run_eval(self.task("gsm8k-cot"), "--repeats", "4", "-n", "8", "-s", "5")[2], one)

    def test_answers_are_greedy_and_cut(self):
        path = self.task("gsm8k", GSM8K)
        lines = [json.loads(l) for l in self.run_eval(path, "--shots", "0", "-n", "16")[2].decode().split("\n")[1:-1]]
        for line, row in zip(lines, GSM8K):
            want = self.good("run", self.model, line["context"], "--raw", "--temp", "0", "-n", "16", "-q").decode()
            self.assertEqual(line["responses"][0].strip(), want.split("Question:")[0].strip())
            self.assertEqual(line["gold"], row["answer"])
        out = self.path("completions.jsonl")
        self.run_eval(self.task("humaneval"), "-n", "5", "--completions", out)
        with open(out, encoding="utf-8") as f:
            self.assertEqual(json.loads(f.read())["task_id"], "T/0")

    def test_a_small_context(self):
        rows = [dict(ARC[0], question="wet " * 60), ARC[0]]
        result, _, samples = self.run_eval(self.task("arc-easy", rows), "-c", "32")
        lines = [json.loads(l) for l in samples.decode().split("\n")[1:-1]]
        self.assertEqual(([l.get("truncated", False) for l in lines], result["tasks"][0]["truncated"]), ([True, False], 1))
        self.assertEqual(result["settings"]["context"], 32)
        for line in lines:
            self.check(line, 32, "-c", "32")
        size = len(self.ids(self.dry(self.mmlu(), "--protocol", "original")[0]["context"])) - 5
        arguments = [self.mmlu(), "--protocol", "original", "-c", str(size)]
        result, _, samples = self.run_eval(*arguments)
        line = json.loads(samples.decode().split("\n")[1])
        self.assertEqual(line["context"].count("Answer: "), 4)
        self.assertTrue(line["truncated"])
        self.assertEqual(self.run_eval(*arguments, "--resume", samples=self.path("samples.jsonl"))[2], samples)
        self.assertEqual(self.dry(self.mmlu(), "--protocol", "original", "-c", str(size))[0]["context"].count("Answer: "), 5)

    def test_resuming(self):
        arguments = [self.mmlu(), self.task("hellaswag"), self.task("gsm8k-cot"), "-n", "8"]
        result, _, samples = self.run_eval(*arguments)
        path = self.path("again.jsonl")
        message = self.bad(1, "eval", self.model, *arguments, "--samples", self.path("samples.jsonl"), says="--resume")
        for cut in (0, 10, samples.index(b"\n") + 1, len(samples) // 2, len(samples) - 3, len(samples)):
            with open(path, "wb") as f:
                f.write(samples[:cut])
            other, _, bytes = self.run_eval(*arguments, "--resume", samples=path)
            self.assertEqual((other, bytes), (result, samples))
        for other in (["--kv", "q8"], ["-s", "3"], ["-c", "1024"]):
            message = self.bad(1, "eval", self.model, *arguments, *other, "--samples", path, "--resume", says=":1: ")
        self.write("hellaswag.jsonl", jsonl([HELLASWAG[0], dict(HELLASWAG[1], label=0)]))
        message = self.bad(1, "eval", self.model, *arguments, "--samples", path, "--resume", says=":8: ")
        with open(path, "rb") as f:
            self.assertEqual(f.read(), samples)
        self.bad(1, "eval", self.model, *arguments[:1], "--samples", path, "--resume", says=":1: ")

    def test_killed_at_any_time(self):
        rows = [dict(HELLASWAG[0], ctx_a=f"A man number {i} fills a kettle. " * 8) for i in range(150)]
        arguments = [self.task("hellaswag", rows), "-t", "1", "--batch", "2"]
        want = self.run_eval(*arguments)[2]
        path = self.path("killed.jsonl")
        kills = 0
        for wait in (0.05, 0.15, 0.3):
            with subprocess.Popen([cli.GALE, "eval", self.model, *arguments, "--samples", path, "--resume"],
                                  env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as p:
                time.sleep(wait)
                p.kill()
                kills += p.wait() == -signal.SIGKILL
        self.assertGreater(kills, 0)
        self.assertEqual(self.run_eval(*arguments, "--resume", samples=path)[2], want)

    def test_two_models(self):
        piqa = self.task("piqa", [dict(PIQA[0], goal=f"goal {i}", label=i % 2) for i in range(8)])
        both = json.loads(self.good("eval", self.model, self.model, piqa, "--json"))
        c = both["comparison"][0]["metrics"]["acc"]
        self.assertEqual((c["difference"]["value"], c["difference"]["standard_error"], c["differing"]), (0, 0, []))
        self.good("quantize", self.model, self.path("q.gguf"), "--type", "q4_0")
        both = json.loads(self.good("eval", self.model, self.path("q.gguf"), piqa, "--json"))
        a, b = (m["tasks"][0]["metrics"]["acc"]["value"] for m in both["models"])
        c = both["comparison"][0]["metrics"]["acc"]
        self.assertAlmostEqual(c["difference"]["value"], b - a)
        self.assertEqual(sum(y - x for x, y in (d["scores"] for d in c["differing"])) / 8, c["difference"]["value"])
        self.assertIn(b"differ", self.good("eval", self.model, self.path("q.gguf"), piqa))


if __name__ == "__main__":
    unittest.main()
