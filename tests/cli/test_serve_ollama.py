"""The paths of Ollama's API: answers and their streams, thinking, tools, formats, embeddings, models, errors. Models of a few hundred
parameters say what they are made to say. GALE in the environment is the tool's path."""

import json
import unittest

import test_chat as chains
import serving

USER = [{"role": "user", "content": "Hi"}]
COUNTS = ("prompt_eval_count", "eval_count")
TIMES = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


def joined(lines):
    """What the lines of a stream add up to; all but the last are not done."""
    whole = {"content": "", "thinking": ""}
    assert [x["done"] for x in lines] == [False] * (len(lines) - 1) + [True], lines
    for line in lines:
        message = line.get("message", {"content": line.get("response")})
        whole["content"] += message["content"]
        whole["thinking"] += message.get("thinking") or line.get("thinking") or ""
        if "tool_calls" in message:
            assert "tool_calls" not in whole
            whole["tool_calls"] = message["tool_calls"]
        whole.setdefault("logprobs", []).extend(line.get("logprobs", []))
    return whole


def without_ids(calls):
    return [call["function"] for call in calls]


class Ollama(serving.ToldServers):
    def both(self, name, path="/api/chat", **body):
        """The whole answer, which the stream that is the default must add up to."""
        server, body = self.servers[name], {"messages": USER, **body}
        body["options"] = {"temperature": 0, **body.get("options", {})}
        answer, stream = server.post(path, {**body, "stream": False}), server.post(path, body)
        self.assertEqual((answer.status, stream.status), (200, 200), answer.body)
        self.assertEqual(stream.headers["content-type"], "application/x-ndjson")
        lines = [json.loads(line) for line in stream.body.decode().splitlines()]
        one, other = joined([answer.json]), joined(lines)
        for key in ("done_reason", *COUNTS):
            self.assertEqual(answer.json[key], lines[-1][key])
        for key in TIMES:
            self.assertTrue(isinstance(lines[-1][key], int) and answer.json[key] >= 0, key)
        for line in lines:
            self.assertRegex(line["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$")
        for message in (one, other):
            if "tool_calls" in message:
                message["tool_calls"] = without_ids(message["tool_calls"])
        self.assertEqual(one, other)
        return {**one, **{k: answer.json[k] for k in ("done_reason", "model", *COUNTS)}}

    def test_an_answer(self):
        m = self.both("plain")
        self.assertEqual((m["content"], m["done_reason"], m["eval_count"], m["model"]), ("OK", "stop", 2, "plain"))
        self.assertGreater(m["prompt_eval_count"], 2)
        self.assertEqual(self.both("plain", model="plain:latest")["model"], "plain:latest")

    def test_ends(self):
        m = self.both("plain", options={"num_predict": 1})
        self.assertEqual((m["content"], m["done_reason"]), ("O", "length"))
        for n in (-1, -2):
            self.assertEqual(self.both("plain", options={"num_predict": n, "num_ctx": 128, "mirostat": 1})["content"], "OK")
        for stop in ("K", ["x", "K"]):
            m = self.both("plain", options={"stop": stop})
            self.assertEqual((m["content"], m["done_reason"]), ("O", "stop"))

    def test_generate(self):
        generate = "/api/generate"
        self.assertEqual(self.both("plain", generate, prompt="Hi", system="Be kind.")["content"], "OK")
        self.assertEqual(self.both("thinker", generate, prompt="Hi")["thinking"], "hm")
        raw = self.both("plain", generate, prompt="O", raw=True)
        self.assertEqual(raw["content"], "K")
        self.assertLess(raw["prompt_eval_count"], self.both("plain", generate, prompt="O")["prompt_eval_count"])
        r = self.servers["plain"].post(generate, {"prompt": "a", "suffix": "b", "stream": False})
        self.assertIn(r.status, (200, 400))

    def test_a_request_without_a_prompt_loads(self):
        for path, body in (("/api/chat", {}), ("/api/chat", {"messages": []}), ("/api/generate", {}), ("/api/generate", {"prompt": ""})):
            r = self.servers["plain"].post(path, {"model": "plain", "keep_alive": -1, **body})
            self.assertEqual((r.status, r.json["done"], r.json["done_reason"]), (200, True, "load"))

    def test_thinking(self):
        for think in ({}, {"think": True}, {"think": "high"}):
            m = self.both("thinker", **think)
            self.assertEqual((m["content"], m["thinking"]), ("OK", "hm"))
        self.assertEqual(self.both("thinker", think=False)["thinking"], "")

    def test_tools(self):
        m = self.both("caller", tools=chains.TOOLS)
        self.assertEqual((m["content"], m["tool_calls"]), ("Wait", [{"index": 0, "name": "fg", "arguments": {}}]))
        self.assertEqual(m["done_reason"], "stop")
        call = {"function": {"name": "fg", "arguments": {}}}
        talk = [*USER, {"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "tool_name": "fg", "content": "5"}]
        self.assertEqual(self.both("caller", messages=talk, tools=chains.TOOLS)["content"], "Done")

    def test_formats(self):
        schema = {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"]}
        m = self.both("plain", format=schema, options={"num_predict": 60})
        if m["done_reason"] == "stop":
            self.assertEqual(json.loads(m["content"]), {"a": 1})
        self.assertEqual(self.both("plain", format="")["content"], "OK")

    def test_logprobs(self):
        m = self.both("plain", logprobs=True, top_logprobs=2)
        self.assertEqual([t["token"] for t in m["logprobs"]], ["O", "K"])
        self.assertTrue(all(len(t["top_logprobs"]) == 2 and t["logprob"] <= 0 for t in m["logprobs"]))

    def test_embeddings(self):
        r = self.servers["plain"].post("/api/embed", {"model": "plain", "input": ["ab", "c"], "truncate": True}).json
        one = self.servers["plain"].post("/api/embed", {"input": "ab"}).json
        self.assertEqual(len(r["embeddings"]), 2)
        self.assertEqual(r["embeddings"][0], one["embeddings"][0])
        self.assertGreater(r["prompt_eval_count"], one["prompt_eval_count"])
        self.assertEqual(self.servers["plain"].post("/api/embeddings", {"prompt": "ab"}).json, {"embedding": one["embeddings"][0]})

    def test_models(self):
        server = self.servers["thinker"]
        for path in ("/api/tags", "/api/ps"):
            (m,) = server.ask("GET", path).json["models"]
            self.assertEqual((m["name"], m["model"]), ("thinker", "thinker"))
            self.assertRegex(m["digest"], "^[0-9a-f]{64}$")
            self.assertGreater(m["size"], 0)
            for key in ("format", "family", "families", "parameter_size", "quantization_level"):
                self.assertTrue(m["details"][key], key)
        for body in ({"model": "thinker"}, {"name": "thinker", "verbose": True}):
            r = server.post("/api/show", body).json
            self.assertLessEqual({"completion", "tools", "thinking"}, set(r["capabilities"]))
            family = r["model_info"]["general.architecture"]
            self.assertEqual(r["model_info"][family + ".context_length"], 4096)
            self.assertTrue(r["template"])
        self.assertEqual(server.post("/api/show", {"model": "x"}).status, 404)
        self.assertTrue(server.ask("GET", "/api/version").json["version"])
        self.assertEqual(server.ask("HEAD", "/api/version").body, b"")

    def test_the_store_is_not_there(self):
        for method, path in (("POST", "pull"), ("POST", "push"), ("POST", "create"), ("POST", "copy"), ("DELETE", "delete"),
                             ("POST", "blobs/sha256:0"), ("HEAD", "blobs/sha256:0")):  # fmt: skip
            r = self.servers["plain"].ask(method, "/api/" + path, "{}" if method != "HEAD" else None)
            self.assertEqual(r.status, 501, path)
            if method != "HEAD":
                self.assertEqual(list(r.json), ["error"])

    def test_errors_name_their_field(self):
        for field, body in {
            "messages[0].role": [{"messages": [{"content": "x"}]}, {"messages": [{"role": "x", "content": "x"}]}],
            "messages[0].content": [{"messages": [{"role": "user", "content": 3}]}],
            "messages[0].images": [{"messages": [{"role": "user", "content": "x", "images": ["aGk="]}]}],
            "messages[0].tool_calls[0].function.arguments": [
                {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "x"}}]}]}],
            "options": [{"options": 3}],
            "options.temperature": [{"options": {"temperature": -1}}],
            "options.num_ctx": [{"options": {"num_ctx": 10**6}}],
            "options.num_predict": [{"options": {"num_predict": -3}}],
            "options.seed": [{"options": {"seed": "x"}}],
            "options.stop": [{"options": {"stop": 3}}],
            "format": [{"format": "xml"}, {"format": 3}],
            "format.properties.a.not": [{"format": {"properties": {"a": {"not": {}}}}}],
            "tools[0].type": [{"tools": [{"type": "x"}]}],
            "tools[0].function.parameters": [{"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": 3}}}]}],
            "template": [{"template": "x"}],
            "context": [{"context": [1]}],
            "think": [{"think": "much"}],
            "stream": [{"stream": "no"}],
            "top_logprobs": [{"top_logprobs": 21}],
        }.items():  # fmt: skip
            for one in body:
                r = self.servers["plain"].post("/api/chat", {"messages": USER, **one})
                with self.subTest(body=str(one)[:100]):
                    self.assertEqual((r.status, list(r.json)), (400, ["error"]), r.body[:200])
                    self.assertEqual(r.json["error"].split(": ")[0], field)
        self.assertEqual(self.servers["plain"].post("/api/chat", {"model": "no-such", "messages": USER}).status, 404)
        self.assertEqual(self.servers["plain"].post("/api/generate", "{").status, 400)


if __name__ == "__main__":
    unittest.main()
