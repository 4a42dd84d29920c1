"""/v1/messages and /v1/messages/count_tokens: answers and their streams, thinking, tools in and out, counts, errors. Models of a few
hundred parameters say what they are made to say. GALE in the environment is the tool's path."""

import json
import unittest

import serving

PATH = "/v1/messages"
USER = [{"role": "user", "content": "Hi"}]
TOOLS = [{"name": "fg", "description": "f", "input_schema": {"type": "object", "properties": {}}}]


def events(answer):
    """The data of the events, each of the type that its event: line names."""
    found = []
    for block in answer.body.decode().strip().split("\n\n"):
        if not block.startswith(":"):
            name, data = block.split("\n")
            found.append(json.loads(data.removeprefix("data: ")))
            assert name == "event: " + found[-1]["type"], block
    return found


def joined(stream):
    """The message that the events add up to; they must come in order."""
    begin, *middle, delta, stop = [e for e in stream if e["type"] != "ping"]
    assert (begin["type"], delta["type"], stop) == ("message_start", "message_delta", {"type": "message_stop"}), stream
    message, open_block = begin["message"], None
    assert message["content"] == [] and message["stop_reason"] is None
    for e in middle:
        kind = e["type"]
        if kind == "content_block_start":
            assert open_block is None and e["index"] == len(message["content"])
            open_block = dict(e["content_block"], json="")
            message["content"].append(open_block)
            continue
        assert e["index"] == len(message["content"]) - 1
        if kind == "content_block_stop":
            if open_block["type"] == "tool_use":
                assert open_block["input"] == {}
                open_block["input"] = json.loads(open_block["json"] or "{}")
            del open_block["json"]
            open_block = None
            continue
        assert kind == "content_block_delta"
        to = {"text_delta": "text", "input_json_delta": "json", "thinking_delta": "thinking", "signature_delta": "signature"}[e["delta"]["type"]]
        open_block[to] += e["delta"]["partial_json" if to == "json" else to]
    assert open_block is None
    return {**message, **delta["delta"], "usage": {**message["usage"], **delta["usage"]}}


class Messages(serving.ToldServers):
    def both(self, name, **body):
        """The whole answer, which a stream of the same request must add up to, and whose prompt must be counted alike."""
        server, body = self.servers[name], {"messages": USER, "max_tokens": 50, "temperature": 0, **body}
        answer, stream = server.post(PATH, body), server.post(PATH, {**body, "stream": True})
        self.assertEqual((answer.status, stream.status), (200, 200), answer.body)
        self.assertEqual(stream.headers["content-type"], "text/event-stream")
        one, other = answer.json, joined(events(stream))
        self.assertRegex(one["id"], "^msg_")
        self.assertEqual(answer.headers["request-id"], answer.headers["x-request-id"])
        prompt = lambda m: m["usage"].pop("input_tokens") + m["usage"].pop("cache_read_input_tokens")  # noqa: E731
        tokens = prompt(one)
        self.assertEqual(tokens, prompt(other))
        self.assertEqual({**one, "id": ""}, {**other, "id": ""})
        count = server.post(PATH + "/count_tokens", {k: v for k, v in body.items() if k != "max_tokens"})
        self.assertEqual((count.status, count.json), (200, {"input_tokens": tokens}))
        return one

    def test_an_answer(self):
        m = self.both("plain")
        self.assertEqual(m["content"], [{"type": "text", "text": "OK"}])
        self.assertEqual((m["type"], m["role"], m["stop_reason"], m["stop_sequence"]), ("message", "assistant", "end_turn", None))
        self.assertEqual(m["usage"], {"cache_creation_input_tokens": 0, "output_tokens": 2})
        self.assertEqual(m["model"], "plain")

    def test_ends(self):
        m = self.both("plain", max_tokens=1)
        self.assertEqual((m["stop_reason"], m["content"][0]["text"]), ("max_tokens", "O"))
        m = self.both("plain", stop_sequences=["x", "K"])
        self.assertEqual((m["stop_reason"], m["stop_sequence"], m["content"][0]["text"]), ("stop_sequence", "K", "O"))
        m = self.both("plain", messages=[*USER, {"role": "assistant", "content": "O"}])
        self.assertEqual(m["content"], [{"type": "text", "text": "K"}])

    def test_thinking_is_told_where_it_is_asked_for(self):
        told = [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "OK"}]
        for thinking in ({"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}):
            self.assertEqual(self.both("thinker", thinking=thinking)["content"], told)
        for body in ({}, {"thinking": {"type": "disabled"}}, {"thinking": None}):
            self.assertEqual(self.both("thinker", **body)["content"], told[1:])
        # Such an answer may be sent back.
        self.both("thinker", messages=[*USER, {"role": "assistant", "content": told}, *USER])

    def test_tools(self):
        m = self.both("caller", tools=TOOLS)
        text, call = m["content"]
        self.assertEqual((text, m["stop_reason"]), ({"type": "text", "text": "Wait"}, "tool_use"))
        self.assertEqual({**call, "id": ""}, {"type": "tool_use", "id": "", "name": "fg", "input": {}})
        self.assertRegex(call["id"], "^toolu_[A-Za-z0-9]{9}$")
        for given in (call["id"], "toolu_of_another_server"):
            result = {"type": "tool_result", "tool_use_id": given, "content": [{"type": "text", "text": "5"}]}
            talk = [*USER, {"role": "assistant", "content": [text, {**call, "id": given}]}, {"role": "user", "content": [result]}]
            self.assertEqual(self.both("caller", messages=talk, tools=TOOLS)["content"], [{"type": "text", "text": "Done"}])
            talk[-1]["content"].append({"type": "text", "text": "And?", "cache_control": {"type": "ephemeral"}})
            self.both("caller", messages=talk, tools=TOOLS)
        for choice in ({"type": "any"}, {"type": "tool", "name": "fg", "disable_parallel_tool_use": True}):
            m = self.both("caller", tools=TOOLS, tool_choice=choice)
            self.assertEqual([b["type"] for b in m["content"]], ["tool_use"])
        m = self.both("caller", tools=TOOLS, tool_choice={"type": "none"})
        self.assertEqual([b["type"] for b in m["content"]], ["text"])

    def test_systems_and_blocks(self):
        whole = self.both("plain", system="Be kind.", messages=[{"role": "user", "content": "Hi"}])
        parts = self.both("plain", system=[{"type": "text", "text": "Be "}, {"type": "text", "text": "kind.", "cache_control": {}}],
                          messages=[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}])  # fmt: skip
        self.assertEqual(whole["content"], parts["content"])
        self.both("plain", messages=[{"role": "system", "content": "Be kind."}, *USER], metadata={"user_id": "x"}, service_tier="auto")

    def test_what_a_coding_assistant_asks(self):
        """The shapes of the requests of one that is much used: counts, tools with zod's schemas, marks for caches, thinking."""
        mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
        zod = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": False,
               "properties": {"path": {"type": "string", "format": "uri", "description": "x"},
                              "more": {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {}},
                              "n": {"type": "integer", "exclusiveMinimum": 0, "maximum": 9007199254740991}}, "required": ["path"]}  # fmt: skip
        tools = [*TOOLS, {"name": "Read", "description": "Reads.", "input_schema": zod, **mark}]
        body = {"max_tokens": 3000, "system": [{"type": "text", "text": "You help."}, {"type": "text", "text": "Be brief.", **mark}],
                "messages": [{"role": "user", "content": [{"type": "text", "text": "<reminder>"}, {"type": "text", "text": "Hi", **mark}]}],
                "tools": tools, "metadata": {"user_id": "x"}, "thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"},
                "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}, "temperature": 0}  # fmt: skip
        server = self.servers["caller"]
        first = joined(events(server.post(PATH + "?beta=true", {**body, "stream": True}, **{"anthropic-beta": "x-2025-05-14"})))
        self.assertEqual([b["type"] for b in first["content"]], ["text", "tool_use"])
        result = {"type": "tool_result", "tool_use_id": first["content"][1]["id"], "content": "no", "is_error": True, **mark}
        body["messages"] += [{"role": "assistant", "content": first["content"]}, {"role": "user", "content": [result]}]
        then = server.post(PATH + "?beta=true", body).json
        self.assertEqual((then["content"], then["stop_reason"]), ([{"type": "text", "text": "Done"}], "end_turn"))
        count = server.post(PATH + "/count_tokens?beta=true", {"messages": body["messages"], "tools": tools, "system": body["system"]})
        self.assertEqual(count.json["input_tokens"], then["usage"]["input_tokens"] + then["usage"]["cache_read_input_tokens"])

    def test_the_cache_is_told_of_at_once(self):
        body = {"messages": [{"role": "user", "content": "x" * 200}], "max_tokens": 2, "temperature": 0, "stream": True}
        for _ in range(2):
            begin, *_, delta, _ = events(self.servers["plain"].post(PATH, body))
            told = {**begin["message"]["usage"], "output_tokens": 0}
            self.assertEqual(told, {**delta["usage"], "output_tokens": 0})
        self.assertGreaterEqual(told["cache_read_input_tokens"], 128)

    def test_formats(self):
        schema = {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"], "additionalProperties": False}
        m = self.both("plain", output_config={"format": {"type": "json_schema", "schema": schema}})
        if m["stop_reason"] == "end_turn":
            self.assertEqual(json.loads(m["content"][0]["text"]), {"a": 1})

    def test_errors_name_their_field(self):
        say = lambda *blocks, role="user": {"messages": [{"role": role, "content": list(blocks)}]}  # noqa: E731
        for field, body in {
            "max_tokens": [{"max_tokens": None}, {"max_tokens": 0}, {"max_tokens": -1}, {"max_tokens": "1"}],
            "messages": [{"messages": []}, {"messages": None}, {"messages": [{"role": "assistant", "content": "x"}]}],
            "messages[0].role": [{"messages": [{"role": "tool", "content": "x"}]}],
            "messages[0].content": [{"messages": [{"role": "user"}]}],
            "messages[0].content[0].type": [say({"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}}), say({})],
            "messages[0].content[1].text": [say({"type": "text", "text": "a"}, {"type": "text"})],
            "messages[0].content[0].tool_use_id": [say({"type": "tool_result", "content": "x"})],
            "temperature": [{"temperature": -1}],
            "top_k": [{"top_k": 2**31}],
            "stop_sequences[0]": [{"stop_sequences": [""]}],
            "system[0].type": [{"system": [{"type": "image"}]}],
            "thinking.type": [{"thinking": {"type": "x"}}, {"thinking": {}}],
            "tools[0].type": [{"tools": [{"type": "web_search_20250305", "name": "web_search"}]}],
            "tools[0].input_schema": [{"tools": [{"name": "f"}]}, {"tools": [{"name": "f", "input_schema": {"type": 3}}]}],
            "tools[0].name": [{"tools": [{"name": "f g", "input_schema": {}}]}, {"tools": [{"input_schema": {}}]}],
            "tools[0].input_schema.properties.a.not": [
                {"tools": [{"name": "f", "strict": True, "input_schema": {"properties": {"a": {"not": {}}}}}]}],
            "tool_choice": [{"tool_choice": {"type": "any"}}],
            "tool_choice.name": [{"tools": TOOLS, "tool_choice": {"type": "tool", "name": "x"}}],
            "output_config.format.schema.properties.a.not": [
                {"output_config": {"format": {"type": "json_schema", "schema": {"properties": {"a": {"not": {}}}}}}}],
        }.items():  # fmt: skip
            for one in body:
                r = self.servers["plain"].post(PATH, {"messages": USER, "max_tokens": 5, **one})
                with self.subTest(body=str(one)[:100]):
                    self.assertEqual((r.status, r.json["type"], r.json["error"]["type"]), (400, "error", "invalid_request_error"))
                    self.assertEqual(r.json["error"]["message"].split(": ")[0], field)
                    self.assertEqual(r.json["request_id"], r.headers["request-id"])
        r = self.servers["plain"].post(PATH, {"messages": USER, "max_tokens": 5, "model": "no-such"})
        self.assertEqual((r.status, r.json["error"]["type"]), (404, "not_found_error"))
        r = self.servers["plain"].post(PATH, "{")
        self.assertEqual((r.status, r.json["error"]["type"]), (400, "invalid_request_error"))


if __name__ == "__main__":
    unittest.main()
