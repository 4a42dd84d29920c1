"""/v1/chat/completions and /v1/fim/completions: forms, streams, errors with their param, the promise of the seed, tools and
constraints. Models of a few hundred parameters say what they are made to say; others are random. GALE in the environment is the
tool's path."""

import concurrent.futures
import json
import os
import tempfile
import unittest

import test_chat as chains
import test_constrained_answers as random_models
from serving import ROOT, Server

PATH = "/v1/chat/completions"
USER = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {
    "type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 99}}, "required": ["a"]}}}  # fmt: skip


def joined(events, index=0):
    """What the chunks of a choice add up to, as a message, with its finish reason."""
    message, finish = {"content": ""}, None
    for e in events:
        for choice in e["choices"]:
            if choice["index"] != index:
                continue
            delta, finish = choice["delta"], choice["finish_reason"] or finish
            for key in ("content", "reasoning_content"):
                if delta.get(key):
                    message[key] = message.get(key, "") + delta[key]
            message["role"] = delta.get("role", message.get("role"))
            for call in delta.get("tool_calls", []):
                calls = message.setdefault("tool_calls", [])
                if call["index"] == len(calls):
                    calls.append({"id": call["id"], "type": "function", "function": {"name": "", "arguments": ""}})
                for part in ("name", "arguments"):
                    calls[call["index"]]["function"][part] += call["function"][part]
    return message, finish


def whole(answer, index=0):
    message = dict(answer["choices"][index]["message"])
    message["content"] = message["content"] or ""
    return message, answer["choices"][index]["finish_reason"]


class Told(unittest.TestCase):
    """Models that say what they are made to say."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="gale-serve-")
        cls.servers = {}
        for name, chain in (("plain", chains.PLAIN), ("thinker", chains.THINKER), ("caller", chains.CALLER)):
            folder = os.path.join(cls.folder.name, name)
            chains.write_model(folder, chain)
            cls.servers[name] = Server(folder, "-q")

    @classmethod
    def tearDownClass(cls):
        for server in cls.servers.values():
            server.stop()
        cls.folder.cleanup()

    def both(self, name, **body):
        """The whole answer, which a stream of the same request must add up to."""
        server, body = self.servers[name], {"messages": USER, "temperature": 0, **body}
        answer, stream = server.post(PATH, body), server.post(PATH, {**body, "stream": True})
        self.assertEqual((answer.status, stream.status), (200, 200), answer.body)
        self.assertEqual(stream.headers["content-type"], "text/event-stream")
        message, finish = whole(answer.json)
        streamed, streamed_finish = joined(stream.events)
        for call, other in zip(message.get("tool_calls", []), streamed.get("tool_calls", [])):
            self.assertRegex(call["id"], "^[A-Za-z0-9]{9}$")
            call["id"] = other["id"] = ""
        self.assertEqual((message, finish), (streamed, streamed_finish))
        return answer.json

    def test_an_answer(self):
        answer = self.both("plain")
        self.assertEqual(answer["choices"][0], {"index": 0, "message": {"role": "assistant", "content": "OK"},
                                                "logprobs": None, "finish_reason": "stop"})  # fmt: skip
        self.assertEqual(answer["object"], "chat.completion")
        self.assertEqual(answer["usage"]["completion_tokens"], 2)
        self.assertEqual(answer["usage"]["total_tokens"], answer["usage"]["prompt_tokens"] + 2)

    def test_thinking(self):
        answer = self.both("thinker")
        self.assertEqual(answer["choices"][0]["message"], {"role": "assistant", "content": "OK", "reasoning_content": "hm"})
        self.assertGreater(answer["usage"]["completion_tokens_details"]["reasoning_tokens"], 1)
        parts = self.servers["thinker"].post(PATH, {"messages": USER, "temperature": 0, "prompt_mode": "reasoning"}).json
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
        self.assertEqual(parts["choices"][0]["message"]["content"], [thinking, {"type": "text", "text": "OK"}])
        # Such an answer may be sent back.
        talk = [*USER, parts["choices"][0]["message"], {"role": "user", "content": "More"}]
        self.assertEqual(self.servers["thinker"].post(PATH, {"messages": talk, "max_tokens": 1}).status, 200)

    def test_calls(self):
        answer = self.both("caller", tools=chains.TOOLS)["choices"][0]
        call = answer["message"]["tool_calls"][0]
        self.assertEqual((answer["finish_reason"], answer["message"]["content"]), ("tool_calls", "Wait"))
        self.assertEqual(call["function"], {"name": "fg", "arguments": "{}"})
        cut = self.both("caller", tools=chains.TOOLS, max_tokens=8)
        self.assertEqual(cut["choices"][0]["finish_reason"], "length")
        # None may call, and without tools nobody calls.
        self.assertNotIn("tool_calls", self.both("caller", tools=chains.TOOLS, tool_choice="none")["choices"][0]["message"])
        forced = self.both("caller", tools=chains.TOOLS, tool_choice="required", max_tokens=40)["choices"][0]["message"]
        self.assertEqual(forced["content"] or "", "")
        self.assertEqual(forced["tool_calls"][0]["function"]["name"], "fg")

    def test_usage_in_streams(self):
        ask = lambda **o: self.servers["plain"].post(PATH, {"messages": USER, "stream": True, **o}).events  # noqa: E731
        with_it, without, absent = ask(stream_options={"include_usage": True}), ask(stream_options={"include_usage": False}), ask()
        self.assertTrue(all(e["usage"] is None for e in with_it[:-1]))
        self.assertEqual(with_it[-1]["choices"], [])
        self.assertEqual(with_it[-1]["usage"]["completion_tokens"], 2)
        self.assertTrue(all("usage" not in e for e in without + absent[:-1]))
        self.assertEqual(absent[-1]["usage"], with_it[-1]["usage"])
        for e in with_it[:-1]:
            self.assertIn("finish_reason", e["choices"][0])

    def test_continuing(self):
        for name in self.servers:
            server = self.servers[name]
            talk = [*USER, {"role": "assistant", "content": "O"}]
            only_new = server.post(PATH, {"messages": talk, "continue_final_message": True, "temperature": 0, "max_tokens": 1})
            begun = server.post(PATH, {"messages": [*USER, {**talk[1], "prefix": True}], "temperature": 0, "max_tokens": 1})
            self.assertEqual("O" + only_new.json["choices"][0]["message"]["content"],
                             begun.json["choices"][0]["message"]["content"])  # fmt: skip
        stream = self.servers["plain"].post(PATH, {"messages": [*USER, {**talk[1], "prefix": True}], "stream": True}).events
        self.assertEqual(stream[0]["choices"][0]["delta"], {"role": "assistant", "content": "O"})

    def test_stop(self):
        answer = self.both("plain", stop="K")
        self.assertEqual(whole(answer), ({"role": "assistant", "content": "O"}, "stop"))
        self.assertEqual(answer["usage"]["completion_tokens"], 2)

    def test_logprobs(self):
        answer = self.both("plain", logprobs=True, top_logprobs=2)["choices"][0]["logprobs"]["content"]
        self.assertEqual([t["token"] for t in answer], ["O", "K"])
        for t in answer:
            self.assertEqual(t["bytes"], [ord(t["token"])])
            self.assertEqual(len(t["top_logprobs"]), 2)
            self.assertEqual({k: t[k] for k in t["top_logprobs"][0]}, t["top_logprobs"][0])

    def test_errors_name_their_field(self):
        for param, body in {
            "messages": [{"messages": None}, {"messages": []}, {"messages": "Hi"}, {"messages": [{"role": "assistant", "content": "x"}]}],
            "messages[0]": [{"messages": ["x"]}],
            "messages[0].role": [{"messages": [{"role": "x", "content": "x"}]}, {"messages": [{"content": "x"}]}],
            "messages[0].content": [{"messages": [{"role": "user"}]}, {"messages": [{"role": "user", "content": 3}]}],
            "messages[0].content[1].text": [{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text"}]}]}],
            "messages[0].content[0].type": [{"messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]}],
            "messages[1].tool_calls[0].id": [{"messages": [*USER, {"role": "assistant", "tool_calls": [
                {"id": None, "type": "function", "function": {"name": "f", "arguments": "{}"}}]}]}],
            "messages[1].tool_call_id": [{"messages": [*USER, {"role": "tool", "content": "x", "tool_call_id": None}]}],
            "temperature": [{"temperature": t} for t in (-1, 1e308, "1", 10.1)],
            "top_p": [{"top_p": -1}, {"top_p": 2}],
            "min_p": [{"min_p": 2}],
            "top_k": [{"top_k": 2**31}, {"top_k": -2}, {"top_k": 1.5}],
            "seed": [{"seed": 2**64}, {"seed": -(2**63) - 1}, {"seed": "1"}],
            "random_seed": [{"random_seed": 2**64}],
            "n": [{"n": 10**6}, {"n": 0}, {"n": 17}],
            "max_tokens": [{"max_tokens": -2}, {"max_tokens": 0}, {"max_tokens": 2**31}],
            "top_logprobs": [{"top_logprobs": 10**9}, {"top_logprobs": 21}, {"top_logprobs": -1}],
            "presence_penalty": [{"presence_penalty": 3}],
            "frequency_penalty": [{"frequency_penalty": -3}],
            "repetition_penalty": [{"repetition_penalty": 0}, {"repetition_penalty": 11}],
            "stop": [{"stop": 3}, {"stop": ""}, {"stop": ["a"] * 100000}, {"stop": "a" * 1025}],
            "stop[1]": [{"stop": ["a", ""]}, {"stop": ["a", None]}],
            "logit_bias": [{"logit_bias": {"-1": 1}}, {"logit_bias": {"999999": 1}}, {"logit_bias": {"1": 101}}, {"logit_bias": 1}],
            "stop_token_ids[0]": [{"stop_token_ids": [-1]}],
            "stream": [{"stream": "yes"}],
            "tools": [{"tools": [TOOL] * 129}, {"tools": "x"}],
            "tools[0].type": [{"tools": [{"type": "retrieval"}]}],
            "tool_choice": [{"tool_choice": "required"}, {"tool_choice": "x"}],
            "tool_choice.function.name": [{"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}}],
            "response_format.type": [{"response_format": {"type": "xml"}}],
            "guided_regex": [{"guided_regex": "("}, {"guided_regex": "a", "guided_choice": None, "grammar": "x"}][:1],
            "guided_choice": [{"guided_choice": []}, {"guided_choice": ["a", "a"]}],
            "audio": [{"audio": {"voice": "x"}}],
            "functions": [{"functions": [{"name": "f"}]}],
            "best_of": [{"best_of": 3}],
            "safe_prompt": [{"safe_prompt": True}],
        }.items():  # fmt: skip
            for one in body:
                r = self.servers["plain"].post(PATH, {"messages": USER, **one})
                with self.subTest(body=str(one)[:100]):
                    self.assertEqual((r.status, r.json["error"]["param"]), (400, param), r.body[:300])

    def test_two_constraints(self):
        r = self.servers["plain"].post(PATH, {"messages": USER, "guided_regex": "a", "guided_choice": ["b"]})
        self.assertEqual(r.status, 400)

    def test_refused_keywords(self):
        for word, value in {"not": {}, "if": {}, "contains": {}, "uniqueItems": True, "multipleOf": 2, "patternProperties": {},
                            "$anchor": "x", "dependentRequired": {}}.items():  # fmt: skip
            schema = {"type": "object", "properties": {"a": {word: value}}}
            strict = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
            r = self.servers["plain"].post(PATH, {"messages": USER, "response_format": strict})
            self.assertEqual(r.status, 400)
            self.assertEqual(r.json["error"]["param"], f"response_format.json_schema.schema.properties.a.{word}")
            strict["json_schema"]["strict"] = False
            r = self.servers["plain"].post(PATH, {"messages": USER, "response_format": strict, "max_tokens": 1})
            self.assertEqual(r.status, 200, r.body)
        # A property may be called like a keyword.
        r = self.servers["plain"].post(PATH, {"messages": USER, "max_tokens": 1, "guided_json": {"properties": {"not": {}}}})
        self.assertEqual(r.status, 200, r.body)

    def test_nulls_and_unknown_fields_are_ignored(self):
        body = {"messages": USER, "nonsense": 1, "user": "x", "metadata": {}, "store": True, "audio": None, "best_of": 1,
                "modalities": ["text"], "functions": [], **dict.fromkeys(
                    ["temperature", "top_p", "n", "stop", "seed", "tools", "tool_choice", "response_format", "stream",
                     "stream_options", "logit_bias", "max_tokens", "logprobs", "top_logprobs", "model", "parallel_tool_calls"])}  # fmt: skip
        r = self.servers["plain"].post(PATH, body)
        self.assertEqual((r.status, r.json["choices"][0]["message"]["content"]), (200, "OK"), r.body)

    def test_models_and_json(self):
        server = self.servers["plain"]
        r = server.post(PATH, {"messages": USER, "model": "no-such"})
        self.assertEqual((r.status, r.json["error"]["code"]), (404, "model_not_found"))
        for text in ("{", '{"a": 1, "a": 2}', '{"a": NaN}', '{"a": "\\ud800"}', "{} x", "[]", "", '{"a": 1e400}', "[" * 10**5):
            r = server.post(PATH, text)
            self.assertEqual((r.status, r.json["error"]["code"]), (400, "invalid_json"), text[:20])
            self.assertRegex(r.json["error"]["message"], r"byte \d+")
        r = server.post(PATH, {"messages": [{"role": "user", "content": "x" * 5000}]})
        self.assertEqual((r.status, r.json["error"]["code"]), (400, "context_length_exceeded"))

    def test_every_token_banned(self):
        for token in range(2000):
            r = self.servers["plain"].post(PATH, {"messages": USER, "logit_bias": {str(token): 0}, "max_tokens": 1})
            if r.status == 400:
                break
        self.assertEqual(r.status, 400)
        r = self.servers["plain"].post(PATH, {"messages": USER, "logit_bias": {str(i): -100 for i in range(token)}})
        self.assertEqual((r.status, r.json["error"]["param"]), (400, "logit_bias"))

    def test_fill_in_the_middle(self):
        r = self.servers["plain"].post("/v1/fim/completions", {"prompt": "a", "suffix": "b", "max_tokens": 2, "temperature": 0})
        if r.status == 200:
            self.assertEqual(r.json["object"], "chat.completion")
        else:
            self.assertEqual((r.status, r.json["object"], r.json["code"]), (400, "error", "unsupported"))


class Random(unittest.TestCase):
    """A random model with a vocabulary of words, at high temperatures."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="gale-serve-")
        tokenizer = os.path.join(ROOT, "tests/data/text/smollm.json")
        model = random_models.Answers.make_model(tokenizer, os.path.join(cls.folder.name, "random"), "tokenizer.json")
        cls.server = Server(model, "-q", "--template", "chatml")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.folder.cleanup()

    def texts(self, **body):
        r = self.server.post(PATH, {"messages": USER, "max_tokens": 24, "temperature": 1.5, **body})
        self.assertEqual(r.status, 200, r.body)
        return [c["message"]["content"] for c in r.json["choices"]], r

    def test_the_promise_of_the_seed(self):
        several, _ = self.texts(n=4, seed=7)
        alone = [self.texts(seed=7 + i)[0][0] for i in range(4)]
        self.assertEqual(several, alone)
        self.assertGreater(len(set(alone)), 1)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda i: self.texts(seed=7 + i % 4)[0][0], range(16)))
        self.assertEqual(together, alone * 4)
        events = self.server.post(PATH, {"messages": USER, "max_tokens": 24, "temperature": 1.5, "n": 4, "seed": 7, "stream": True}).events
        self.assertEqual([joined(events, i)[0]["content"] for i in range(4)], alone)
        _, r = self.texts()
        self.assertEqual(self.texts(seed=int(r.headers["x-gale-seed"]))[0], self.texts(seed=int(r.headers["x-gale-seed"]))[0])
        text, r = self.texts(seed=-5)
        self.assertEqual(r.headers["x-gale-seed"], "-5")
        self.assertEqual(text, self.texts(seed=2**64 - 5)[0])

    def test_the_cache(self):
        talk = [{"role": "user", "content": " ".join(map(str, range(150)))}]
        first = self.server.post(PATH, {"messages": talk, "max_tokens": 8, "seed": 1}).json
        again = self.server.post(PATH, {"messages": talk, "max_tokens": 8, "seed": 1}).json
        salted = self.server.post(PATH, {"messages": talk, "max_tokens": 8, "seed": 1, "cache_salt": "x"}).json
        self.assertEqual(first["choices"], again["choices"])
        self.assertEqual(first["choices"], salted["choices"])
        prompt = again["usage"]["prompt_tokens"]
        self.assertGreaterEqual(again["usage"]["prompt_tokens_details"]["cached_tokens"], 64 * ((prompt - 1) // 64))
        self.assertEqual(salted["usage"]["prompt_tokens_details"]["cached_tokens"], 0)

    def test_constraints(self):
        for i in range(6):
            for body, check in (
                ({"guided_regex": "[ab]{3,5}"}, lambda t: 3 <= len(t) <= 5 and not set(t) - set("ab")),
                ({"structured_outputs": {"choice": ["yes", "no"]}}, lambda t: t in ("yes", "no")),
                ({"grammar": 'root ::= "x" [0-9]'}, lambda t: t[0] == "x" and t[1] in "0123456789"),
                ({"response_format": {"type": "json_object"}}, lambda t: isinstance(json.loads(t), dict)),
                ({"json_schema": TOOL["function"]["parameters"]}, lambda t: 0 <= json.loads(t)["a"] <= 99),
            ):
                r = self.server.post(PATH, {"messages": USER, "temperature": 2, "seed": i, "max_tokens": 400, **body}).json
                if r["choices"][0]["finish_reason"] == "stop":
                    self.assertTrue(check(r["choices"][0]["message"]["content"]), (body, r))

    def test_calls_meet_their_schema(self):
        other = {"type": "function", "function": {"name": "other"}}
        named = {"type": "function", "function": {"name": "f"}}
        for i in range(6):
            for choice in ("required", named):
                body = {"messages": USER, "temperature": 1, "seed": i, "max_tokens": 500, "tools": [TOOL, other],
                        "tool_choice": choice, "parallel_tool_calls": False}  # fmt: skip
                r = self.server.post(PATH, body).json["choices"][0]
                message, finish = joined(self.server.post(PATH, {**body, "stream": True}).events)
                self.assertEqual(finish, r["finish_reason"])
                if finish == "length":
                    continue
                self.assertEqual(finish, "tool_calls")
                self.assertEqual(len(r["message"]["tool_calls"]), 1)
                call = r["message"]["tool_calls"][0]["function"]
                self.assertEqual(call, message["tool_calls"][0]["function"])
                arguments = json.loads(call["arguments"])
                if choice == named or call["name"] == "f":
                    self.assertEqual(call["name"], "f")
                    self.assertTrue(0 <= arguments["a"] <= 99)

    def test_many_schemas(self):
        for i in range(200):
            r = self.server.post(PATH, {"messages": USER, "max_tokens": 1, "guided_choice": [f"a{i}", "b"]})
            self.assertEqual(r.status, 200)


if __name__ == "__main__":
    unittest.main()
