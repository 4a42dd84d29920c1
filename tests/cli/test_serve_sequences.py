"""Sequences of requests as clients send them, with their headers, query strings, nulls and fields that are not the server's: a coding
assistant, a page for chats, an editor that completes code, and the libraries of OpenAI's API. Each client keeps its connection. Models
of a few hundred parameters say what they are made to say. GALE in the environment is the tool's path."""

import http.client
import json
import os
import re
import tempfile
import unittest

import test_chat as chains
from serving import SMOLLM2, Answer, Server
from test_serve_anthropic import events as message_events
from test_serve_anthropic import joined as joined_message
from test_serve_chat import joined as joined_chat
from test_serve_ollama import joined as joined_lines

WORKER = [["[/INST]", "[THINK]", "um", "[/THINK]", "OK", "[TOOL_CALLS]", "Glob", "[ARGS]", "{}"], ["[/TOOL_RESULTS]", "Yes"]]
ENDLESS = [["O", "K"], ["[/INST]", "aa"]]
MODELS = {"worker": WORKER, "plain": [*chains.PLAIN, ["."]], "caller": chains.CALLER, "endless": ENDLESS}
CONTEXT = 200000

STAINLESS = {"X-Stainless-Lang": "python", "X-Stainless-Package-Version": "1.0.0", "X-Stainless-OS": "Linux", "X-Stainless-Arch": "x64",
             "X-Stainless-Runtime": "CPython", "X-Stainless-Runtime-Version": "3.12.0", "x-stainless-retry-count": "0",
             "x-stainless-read-timeout": "600", "X-Stainless-Async": "false", "Accept": "application/json",
             "Accept-Encoding": "gzip, deflate, br, zstd", "Connection": "keep-alive"}  # fmt: skip


def write_model(folder, chain):
    chains.write_model(folder, chain)
    with open(os.path.join(folder, "params.json"), "r+") as f:
        params = json.load(f) | {"max_seq_len": CONTEXT}
        f.seek(0)
        json.dump(params, f)


class Client:
    """Requests over one connection, with the headers that the client always sends."""

    def __init__(self, server, headers):
        self.connection = http.client.HTTPConnection(server.address, timeout=120)
        self.connection.connect()
        self.port = self.connection.sock.getsockname()[1]
        self.headers = {"Content-Type": "application/json", **headers}

    def ask(self, method, path, body=None, status=200):
        self.connection.request(method, path, None if body is None else json.dumps(body).encode(), self.headers)
        answer = Answer(self.connection.getresponse())
        assert answer.status == status, (method, path, answer.status, answer.body)
        assert answer.headers["content-encoding"] is None
        assert self.connection.sock.getsockname()[1] == self.port, "the connection was closed"
        return answer

    def get(self, path):
        return self.ask("GET", path).json

    def post(self, path, body, status=200):
        return self.ask("POST", path, body, status)

    def lines(self, path, body):
        answer = self.post(path, body)
        assert answer.headers["content-type"] == "application/x-ndjson"
        return [json.loads(line) for line in answer.body.decode().splitlines()]


class Sequences(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="gale-serve-")
        cls.servers = {}

    @classmethod
    def tearDownClass(cls):
        for server in cls.servers.values():
            assert server.stop() == 0
        cls.folder.cleanup()

    def client(self, name, headers, *options):
        """A client of the model, which is loaded once; its first test says with what options."""
        if name not in self.servers:
            folder = os.path.join(self.folder.name, name)
            write_model(folder, MODELS[name])
            self.servers[name] = Server(folder, "-q", *options)
        client = Client(self.servers[name], headers)
        self.addCleanup(client.connection.close)
        return client


class CodingAssistant(Sequences):
    MARK = {"cache_control": {"type": "ephemeral", "ttl": "5m"}}
    HEADERS = {**STAINLESS, "anthropic-version": "2023-06-01", "anthropic-beta": "tools-2025-01-01,thinking-2025-05-14",
               "anthropic-dangerous-direct-browser-access": "true", "User-Agent": "assistant-cli/2.0.0 (external, cli)", "x-app": "cli",
               "x-api-key": "key", "Authorization": "Bearer key", "x-stainless-helper-method": "stream"}  # fmt: skip

    def tool(self, name):
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": False,
                  "properties": {"pattern": {"type": "string", "description": "What to look for."},
                                 "path": {"type": "string", "description": "Where."},
                                 "timeout": {"type": "number", "exclusiveMinimum": 0},
                                 "edits": {"type": "array", "minItems": 1, "items": {
                                     "type": "object", "additionalProperties": False, "properties": {"old": {"type": "string", "default": ""}}}}},
                  "required": ["pattern"]}  # fmt: skip
        return {"name": name, "description": f"{name} works on files.", "input_schema": schema}

    def body(self, **more):
        names = ["Glob", "mcp__server__look_up", *(f"Tool{i}" for i in range(13))]
        return {
            "model": "of-another-house-4-5-20250101",
            "system": [{"type": "text", "text": "You write programs.", **self.MARK},
                       {"type": "text", "text": "Work in /home/user.\n\nBe brief.", **self.MARK}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "<reminder>\nNothing to do.\n</reminder>"},
                                                      {"type": "text", "text": "Which files are there?", **self.MARK}]}],
            "tools": [self.tool(name) for name in names], "metadata": {"user_id": "user_0a_account__session_1b"}, "max_tokens": 32000,
            "temperature": 1, "thinking": {"type": "enabled", "budget_tokens": 31999}, "stream": True, **more}  # fmt: skip

    def count(self, client, body):
        kept = {k: body[k] for k in ("model", "system", "messages", "tools", "thinking")}
        return client.post("/v1/messages/count_tokens?beta=true", kept).json

    def whole_prompt(self, message):
        return message["usage"]["input_tokens"] + message["usage"]["cache_read_input_tokens"]

    def test_a_task(self):
        client = self.client("worker", self.HEADERS, "--alias", "*", "--api-key", "key")
        self.assertEqual(client.ask("HEAD", "/").body, b"")
        models = client.get("/v1/models?limit=1000")
        self.assertEqual((models["data"][0]["type"], models["has_more"]), ("model", False))
        # A first request of one token asks whether there is anybody.
        quota = {"model": "small", "max_tokens": 1, "messages": [{"role": "user", "content": "quota"}], "metadata": {"user_id": "u"}}
        self.assertEqual(client.post("/v1/messages?beta=true", quota).json["stop_reason"], "max_tokens")

        body = self.body()
        counted = self.count(client, body)
        answer = client.post("/v1/messages?beta=true", body)
        self.assertTrue(answer.headers["request-id"])
        first = joined_message(message_events(answer))
        self.assertEqual(first["model"], body["model"])
        self.assertEqual([b["type"] for b in first["content"]], ["thinking", "text", "tool_use"])
        self.assertEqual((first["stop_reason"], first["content"][2]["name"]), ("tool_use", "Glob"))
        self.assertEqual(counted, {"input_tokens": self.whole_prompt(first)})

        call = first["content"][2]
        for result in (
            {"content": [{"type": "text", "text": "a.c\nb.c"}]},
            {"content": "a.c", "is_error": False},
            {"content": "No such folder.", "is_error": True},
            {"content": [], **self.MARK},
            {},
        ):
            back = {"type": "tool_result", "tool_use_id": call["id"], **result}
            turns = [{"role": "assistant", "content": first["content"]},
                     {"role": "user", "content": [back, {"type": "text", "text": "<reminder>Go on.</reminder>", **self.MARK}]}]  # fmt: skip
            with self.subTest(result=str(result)):
                told = self.body(messages=body["messages"] + turns[:1] + [{"role": "user", "content": [back]}])
                then = joined_message(message_events(client.post("/v1/messages?beta=true", told)))
                self.assertEqual(([b["text"] for b in then["content"]], then["stop_reason"]), (["Yes"], "end_turn"))
                self.assertEqual(self.count(client, told), {"input_tokens": self.whole_prompt(then)})
                # What the first turn has computed is not computed again.
                self.assertGreaterEqual(then["usage"]["cache_read_input_tokens"], counted["input_tokens"] // 64 * 64 - 64)
                client.post("/v1/messages?beta=true", self.body(messages=body["messages"] + turns))

    def test_calls_side_by_side(self):
        """Two calls of one turn, each with its result; ids may be another server's."""
        client = self.client("worker", self.HEADERS, "--alias", "*", "--api-key", "key")
        ids = ["toolu_01AbCdEfGhIjKlMnOpQrStUv", "toolu_01BbCdEfGhIjKlMnOpQrStUv"]
        calls = [{"type": "tool_use", "id": i, "name": "Tool1", "input": {"pattern": "*", "edits": [{"old": "\u00e9"}]}, **self.MARK} for i in ids]
        results = [{"type": "tool_result", "tool_use_id": i, "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}]} for i in ids]
        messages = [*self.body()["messages"], {"role": "assistant", "content": calls}, {"role": "user", "content": results}]
        answer = client.post("/v1/messages?beta=true", self.body(messages=messages, stream=False))
        self.assertEqual(answer.json["content"], [{"type": "text", "text": "Yes"}])

    def test_fields_of_other_versions(self):
        """None of them changes the prompt."""
        client = self.client("worker", self.HEADERS, "--alias", "*", "--api-key", "key")
        tools = [{**t, "type": "custom", "strict": None, "eager_input_streaming": True, "input_examples": [{"pattern": "x"}]}
                 for t in self.body()["tools"]]  # fmt: skip
        edits = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
        counted = self.count(client, self.body())["input_tokens"]
        for more in (
            {"tools": tools, "tool_choice": None, "stop_sequences": None},
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "high"}, "context_management": edits},
            {"top_k": None, "top_p": None, "temperature": None, "container": None, "mcp_servers": [], "betas": ["x"], "speed": "standard"},
        ):
            answer = client.post("/v1/messages?beta=true", self.body(stream=False, **more)).json
            self.assertEqual((answer["stop_reason"], self.whole_prompt(answer)), ("tool_use", counted))

    def test_a_key_is_either_header(self):
        for header in ({"x-api-key": "key"}, {"Authorization": "Bearer key"}):
            self.client("worker", header, "--alias", "*", "--api-key", "key").get("/v1/models?limit=1")
        wrong = self.client("worker", {"x-api-key": "other", "anthropic-version": "2023-06-01"}, "--alias", "*", "--api-key", "key")
        r = wrong.post("/v1/messages?beta=true", self.body(), status=401).json
        self.assertEqual((r["type"], r["error"]["type"]), ("error", "authentication_error"))


class ChatPage(Sequences):
    HEADERS = {"User-Agent": "Python/3.11 aiohttp/3.11", "Accept": "*/*", "Accept-Encoding": "gzip, deflate", "Authorization": "Bearer none",
               "X-Page-User-Name": "A", "X-Page-User-Email": "a@localhost", "X-Page-Chat-Id": "0-1"}  # fmt: skip
    TALK = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi", "images": None},
            {"role": "assistant", "content": "OK", "images": []}, {"role": "user", "content": "Again."}]  # fmt: skip

    def test_ollama(self):
        client = self.client("plain", self.HEADERS)
        self.assertTrue(client.get("/api/version")["version"])
        name = client.get("/api/tags")["models"][0]["model"]
        self.assertEqual([m["model"] for m in client.get("/api/ps")["models"]], [name])
        self.assertIn("completion", client.post("/api/show", {"name": name}).json["capabilities"])
        body = {"model": name, "messages": self.TALK, "stream": True, "keep_alive": "5m",
                "options": {"temperature": 0.7, "num_ctx": 2048, "num_keep": 24, "mirostat": 0, "mirostat_eta": 0.1, "tfs_z": 1, "repeat_last_n": 64,
                            "use_mmap": True, "num_thread": 2, "num_gpu": 0, "top_k": 40, "seed": 0, "stop": ["</end>"], "min_p": 0.0},
                "chat_id": "0-1", "session_id": "s", "metadata": {"user": {"id": "u"}}}  # fmt: skip
        lines = client.lines("/api/chat", body)
        self.assertEqual((joined_lines(lines)["content"], lines[-1]["done_reason"]), ("OK", "stop"))
        self.assertEqual({line["model"] for line in lines}, {name})
        title = {"model": name, "messages": [{"role": "user", "content": "Write a title of the talk, as JSON."}], "stream": False,
                 "options": {"num_predict": 1000}, "keep_alive": None, "format": None}  # fmt: skip
        answer = client.post("/api/chat", title)
        self.assertEqual((answer.headers["content-type"].split(";")[0], answer.json["message"]["content"]), ("application/json", "OK"))
        embedded = client.post("/api/embed", {"model": name, "input": ["One.", "Two."], "truncate": True, "keep_alive": 300, "options": {}}).json
        self.assertEqual(len(embedded["embeddings"]), 2)
        self.assertEqual(client.post("/api/chat", {"model": name, "keep_alive": 0, "messages": []}).json["done_reason"], "load")

    def test_openai(self):
        client = self.client("plain", self.HEADERS)
        name = client.get("/v1/models")["data"][0]["id"]
        own = {"chat_id": "0-1", "session_id": "s", "id": "m", "parent_id": None, "params": {}, "variables": {"{{NAME}}": "A"}, "filter_ids": [],
               "tool_ids": [], "tool_servers": [], "files": [], "features": {"web_search": False, "image_generation": False}, "model_item": {},
               "background_tasks": {"title_generation": True}, "metadata": {"chat_id": "0-1", "variables": {}}}  # fmt: skip
        body = {"model": name, "stream": True, "stream_options": {"include_usage": True}, "messages": self.TALK, **own}
        events = client.post("/v1/chat/completions", body).events
        message, finish = joined_chat(events)
        self.assertEqual((message["content"], finish), ("OK", "stop"))
        self.assertEqual(len({e["id"] for e in events}), 1)
        self.assertEqual([e["choices"] == [] for e in events], [False] * (len(events) - 1) + [True])
        self.assertTrue(all(e["usage"] is None for e in events[:-1]))
        title = {"model": name, "stream": False, "messages": [{"role": "user", "content": "A title?"}], "max_completion_tokens": 1000,
                 "metadata": {"task": "title_generation", "task_body": {"messages": []}}}  # fmt: skip
        plain = client.post("/v1/chat/completions?task=title", title).json
        self.assertEqual(plain["choices"][0]["message"]["content"], "OK")
        # What is unknown has no effect: the prompt is as long as without it.
        self.assertEqual(events[-1]["usage"]["prompt_tokens"],
                         client.post("/v1/chat/completions", {"messages": self.TALK}).json["usage"]["prompt_tokens"])  # fmt: skip


class Editor(Sequences):
    HEADERS = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate, br", "User-Agent": "node-fetch", "Authorization": "Bearer "}
    STOP = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<file_sep>", "<|endoftext|>", "/src/", "```", "\nclass", "\n\n\n"]

    def body(self, before, **options):
        return {"model": None, "raw": True, "keep_alive": 1800, "stream": True,
                "prompt": "<fim_prefix>int f(void) {\n<fim_suffix>\n}\n<fim_middle>" + before,
                "options": {"temperature": 0.01, "num_predict": 2048, "num_ctx": 4096, "stop": self.STOP, **options}}  # fmt: skip

    def cancelled(self, server):
        told = server.ask("GET", "/metrics").body.decode()
        found = re.search(r'^gale_requests_finished_total\{reason="cancelled"\} (\d+)', told, re.M)
        return int(found[1]) if found else 0

    def test_keys_are_pressed_faster_than_answers_come(self):
        """One request at a time is computed, and none of them would end soon: each waits until the one before has been dropped."""
        self.client("endless", {}, "--parallel", "1", "--no-prefix-cache")
        server, typed = self.servers["endless"], "a"
        for n in range(1, 4):
            left = Client(server, self.HEADERS)
            left.connection.request("POST", "/api/generate", json.dumps(self.body(typed, num_predict=-1)), left.headers)
            response = left.connection.getresponse()
            self.assertEqual(response.status, 200)
            self.assertEqual(json.loads(response.readline())["response"], "a")
            response.close()
            left.connection.close()
            lines = self.client("endless", self.HEADERS).lines("/api/generate", self.body(typed, num_predict=2 + n))
            self.assertEqual((joined_lines(lines)["content"], lines[-1]["done_reason"]), ("a" * (2 + n), "length"))
            typed += "a"
            self.assertEqual(self.cancelled(server), n)

    def test_fill_in_the_middle(self):
        client = self.client("endless", self.HEADERS, "--parallel", "1", "--no-prefix-cache")
        lines = client.lines("/api/generate", {"prompt": "x=O", "suffix": "\n}\n", "stream": True, "options": {"stop": self.STOP, "num_predict": 64}})
        self.assertEqual(joined_lines(lines)["content"], "K")
        body = {"model": "endless", "prompt": "x=O", "suffix": "\n}\n", "max_tokens": 64, "temperature": 0, "stop": self.STOP, "stream": True}
        for more in ({}, {"random_seed": None, "min_tokens": None, "top_p": None, "metadata": None}):
            message, finish = joined_chat(client.post("/v1/fim/completions", {**body, **more}).events)
            self.assertEqual((message["content"], finish), ("K", "stop"))


@unittest.skipUnless(os.path.exists(SMOLLM2), "SmolLM2 is not there")
class NoMarks(unittest.TestCase):
    """A published model whose vocabulary has no marks for filling in."""

    def test_fill_in_the_middle(self):
        server = Server(SMOLLM2, "-q", "--context", "2048")
        client = Client(server, Editor.HEADERS)
        try:
            error = client.post("/v1/fim/completions", {"prompt": "int x", "suffix": ";", "stream": True}, status=400).json
            self.assertEqual(set(error), {"object", "message", "type", "param", "code"})
            self.assertEqual((error["object"], error["type"]), ("error", "invalid_request_error"))
            error = client.post("/api/generate", {"prompt": "int x", "suffix": ";"}, status=400).json
            self.assertEqual(list(error), ["error"])
            # Text that looks like marks is text, and the connection serves on.
            lines = client.lines("/api/generate", {"prompt": "<fim_prefix>int x<fim_suffix>;<fim_middle>", "raw": True,
                                                   "options": {"num_predict": 4, "stop": Editor.STOP}})  # fmt: skip
            self.assertIn(lines[-1]["done_reason"], ("stop", "length"))
        finally:
            client.connection.close()
            self.assertEqual(server.stop(), 0)


class Libraries(Sequences):
    HEADERS = {**STAINLESS, "User-Agent": "OpenAI/Python 1.0.0", "Authorization": "Bearer none", "OpenAI-Organization": "o", "OpenAI-Project": "p"}
    NULLS = dict.fromkeys(
        "audio best_of echo frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens metadata modalities "
        "moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key reasoning_effort response_format safety_identifier seed "
        "service_tier stop store stream stream_options suffix temperature tool_choice tools top_logprobs top_p user verbosity "
        "web_search_options".split())  # fmt: skip
    PATH = "/v1/chat/completions"

    def test_defaults(self):
        client = self.client("plain", self.HEADERS)
        for more in (
            {"n": 1, "logprobs": None, "stream": False, "temperature": 0.7, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0},
            {"n": 1, "logprobs": False, "best_of": 1, "tools": [], "stop": [], "logit_bias": {}, "modalities": ["text"], "response_format": {"type": "text"}},
            self.NULLS,
        ):
            for path in (self.PATH, self.PATH + "?api-version=2024-10-21&x="):
                answer = client.post(path, {**more, "model": "plain", "messages": [{"role": "user", "content": "Hi", "name": "a"}]})
                (choice,) = answer.json["choices"]
                self.assertEqual((choice["message"]["content"], choice["logprobs"], choice["finish_reason"]), ("OK", None, "stop"))
                self.assertTrue(answer.headers["x-request-id"])
        nulls = {k: v for k, v in self.NULLS.items() if k not in ("modalities", "functions")}
        self.assertEqual(client.post("/v1/completions?x=1", {**nulls, "prompt": "O"}).json["choices"][0]["text"], "K")
        ids = client.post("/tokenize", {"prompt": "One.", "add_special_tokens": False}).json["tokens"]
        for given in ("One.", ["One."], [ids, ids]):
            body = {"model": "plain", "input": given, "encoding_format": "base64", "dimensions": None, "user": None}
            self.assertIsInstance(client.post("/v1/embeddings", body).json["data"][0]["embedding"], str)

    def test_responses(self):
        client = self.client("plain", self.HEADERS)
        nulls = dict.fromkeys("background conversation instructions max_output_tokens max_tool_calls metadata previous_response_id prompt "
                              "prompt_cache_key safety_identifier service_tier temperature top_logprobs top_p truncation user".split())  # fmt: skip
        body = {"model": "plain", "input": [{"role": "user", "content": "Hi"}], "include": [], "store": False, "tools": [], "tool_choice": "auto",
                "text": {"format": {"type": "text"}, "verbosity": "medium"}, "reasoning": {"effort": None, "summary": None}, **nulls}  # fmt: skip
        self.assertEqual(client.post("/v1/responses?x=1", body).json["output"][-1]["content"][0]["text"], "OK")

    def test_tools(self):
        """The message of the answer goes back as the libraries give it out, with their nulls."""
        client = self.client("caller", self.HEADERS)
        talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
        body = {"model": "caller", "messages": talk, "tools": chains.TOOLS, "tool_choice": None, "parallel_tool_calls": None, "stream": True,
                "stream_options": {"include_usage": True, "include_obfuscation": False}}  # fmt: skip
        message, finish = joined_chat(client.post(self.PATH, body).events)
        self.assertEqual((message["content"], finish), ("Wait", "tool_calls"))
        (call,) = message["tool_calls"]
        for content in (message["content"], None, ""):
            back = {"role": "assistant", "content": content, "refusal": None, "audio": None, "annotations": [], "function_call": None,
                    "name": None, "tool_calls": [{**call, "index": 0}]}  # fmt: skip
            for result in ("5", [{"type": "text", "text": "5"}]):
                more = [back, {"role": "tool", "tool_call_id": call["id"], "name": "fg", "content": result, "artifact": None, "status": "success"}]
                then = client.post(self.PATH, {**body, "messages": talk + more, "stream": False, "stream_options": None}).json
                self.assertEqual(then["choices"][0]["message"]["content"], "Done")
                self.assertIsNone(then["choices"][0]["message"].get("tool_calls"))


if __name__ == "__main__":
    unittest.main()
