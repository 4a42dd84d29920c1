"""gale batch: lines of requests become lines of answers, the same for any shards and restarts."""

import json
import os
import signal
import subprocess
import time
import unittest

from test_cli import Case, DEMO, GALE, TIMEOUT, needs_demo


def line(custom_id, url="/v1/completions", method="POST", **body):
    return json.dumps({"custom_id": custom_id, "method": method, "url": url, "body": body})


REQUESTS = [
    line("chat", "/v1/chat/completions", messages=[{"role": "user", "content": "Hi"}], max_tokens=6),
    line("texts", prompt=["Once upon", "A list:"], n=2, max_tokens=5, logprobs=1),
    "",
    line("seeded", prompt="Once upon", seed=7, max_tokens=5),
    line("é/\u2028 \"q\"", "/v1/embeddings", input=["x", "y"]),
    line("greedy", prompt="Once upon", temperature=0, max_tokens=5),
]
BAD = [
    line("method", method="GET"),
    line("url", "/v1/models"),
    line("field", prompt="x", max_tokens=-5),
    line("stream", prompt="x", stream=True),
    "no JSON",
    '{"custom_id": 5}',
]


@needs_demo
class Batch(Case):
    def batch(self, lines, out="out.jsonl", status=0, *options):
        source = self.write("in.jsonl", "\n".join(lines) + "\n")
        r = self.gale("batch", DEMO, source, self.path(out), "--no-cache", *options)
        self.assertEqual(r.returncode, status, r.stderr)
        self.assertEqual(r.stdout, b"")
        with open(self.path(out), "rb") as f:
            return f.read().decode().split("\n")[:-1]

    def test_answers(self):
        answers = {a["custom_id"]: a for a in map(json.loads, self.batch(REQUESTS))}
        self.assertEqual(len(answers), 5)
        for answer in answers.values():
            self.assertEqual(list(answer), ["id", "custom_id", "response", "error"])
            self.assertIsNone(answer["error"])
            self.assertEqual(list(answer["response"]), ["status_code", "request_id", "body"])
            self.assertEqual(answer["response"]["status_code"], 200)
        chat = answers["chat"]["response"]["body"]
        self.assertEqual((chat["object"], chat["created"]), ("chat.completion", 0))
        self.assertEqual(len(answers["texts"]["response"]["body"]["choices"]), 4)
        self.assertEqual(len(answers["é/\u2028 \"q\""]["response"]["body"]["data"]), 2)
        greedy = answers["greedy"]["response"]["body"]["choices"][0]["text"]
        run = self.good("run", DEMO, "Once upon", "--raw", "--temp", "0", "-n", "5", "-q", "--no-cache").decode()
        self.assertEqual(greedy, run.rstrip("\n"))

    def test_shards_and_settings_give_the_same(self):
        whole = sorted(self.batch(REQUESTS))
        shards = []
        for i in range(3):
            shards += self.batch(REQUESTS, f"{i}.jsonl", 0, "--shard", f"{i}/3", "-t", "1", "--chunk", "7")
        self.assertEqual(sorted(shards), whole)
        self.assertEqual(sorted(self.batch(REQUESTS, "one.jsonl", 0, "--parallel", "1", "--no-prefix-cache")), whole)

    def test_goes_on_where_it_ended(self):
        whole = self.batch(REQUESTS)
        with open(self.path("out.jsonl"), "w", newline="") as f:
            f.write("\n".join(whole[:2]) + "\n" + whole[2][:20])
        again = self.batch(REQUESTS)
        self.assertEqual(again[:2], whole[:2])
        self.assertEqual(sorted(again), sorted(whole))
        self.assertEqual(self.batch(REQUESTS), again)

    def test_killed(self):
        whole = sorted(self.batch(REQUESTS, "whole.jsonl"))
        source, out = self.path("in.jsonl"), self.path("out.jsonl")
        p = subprocess.Popen([GALE, "batch", DEMO, source, out, "--no-cache", "--parallel", "1"], env=self.environment)
        end = time.monotonic() + TIMEOUT
        while (not os.path.exists(out) or os.path.getsize(out) == 0) and p.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        p.send_signal(signal.SIGKILL)
        p.wait()
        self.assertEqual(sorted(self.batch(REQUESTS)), whole)

    def test_bad_lines(self):
        answers = [json.loads(a) for a in self.batch(REQUESTS[:1] + BAD, "out.jsonl", 1)]
        by_id = {a["custom_id"] or a["id"]: a for a in answers}
        self.assertEqual(by_id["chat"]["response"]["status_code"], 200)
        for name, says in (("method", "method"), ("stream", "stream"), ("line-6", "byte 0"), ("line-7", "custom_id")):
            self.assertIsNone(by_id[name]["response"])
            self.assertEqual(by_id[name]["error"]["code"], "invalid_line")
            self.assertIn(says, by_id[name]["error"]["message"])
        self.assertEqual(by_id["url"]["response"]["status_code"], 404)
        self.assertEqual(by_id["field"]["response"]["status_code"], 400)
        self.assertEqual(by_id["field"]["response"]["body"]["error"]["param"], "max_tokens")
        self.assertEqual([json.loads(a) for a in self.batch(REQUESTS[:1] + BAD, "out.jsonl", 1)], answers)

    def test_what_is_refused_before_work(self):
        source = self.write("twice.jsonl", line("a", prompt="x") + "\n\n" + line("a", prompt="y") + "\n")
        message = self.bad(1, "batch", DEMO, source, self.path("out"), says='twice.jsonl:3: custom_id "a" is that of line 1 too')
        self.assertNotIn("out of memory", message)
        self.assertFalse(os.path.exists(self.path("out")))
        source = self.write("in.jsonl", line("a", prompt="x") + "\n")
        self.bad(1, "batch", DEMO, source, self.write("other", "something else\n"), says="other:1: not an answer")
        self.bad(1, "batch", DEMO, self.path("absent"), self.path("out"))
        for shard in ("3/3", "-1/3", "1", "0/0", "1/3x"):
            self.bad(2, "batch", DEMO, source, self.path("out"), "--shard", shard, says="--shard")


if __name__ == "__main__":
    unittest.main()
