"""/v1/responses: answers and the events of their streams, reasoning, calls in and out, settings, errors. Models of a few hundred
parameters say what they are made to say. GALE in the environment is the tool's path."""

import json
import unittest

import serving

PATH = "/v1/responses"
PARAMETERS = {"type": "object", "properties": {}}
TOOLS = [{"type": "function", "name": "fg", "description": "f", "parameters": PARAMETERS, "strict": False}]
PARTS = {"reasoning": ("reasoning_text", "response.reasoning_text"), "message": ("output_text", "response.output_text")}


def events(answer):
    """The data of the events, which are numbered, and of the types that their event: lines name."""
    found = []
    for block in answer.body.decode().strip().split("\n\n"):
        if not block.startswith(":"):
            name, data = block.split("\n")
            found.append(json.loads(data.removeprefix("data: ")))
            assert name == "event: " + found[-1]["type"], block
    assert [e["sequence_number"] for e in found] == list(range(len(found)))
    return found


class Responses(serving.ToldServers):
    def follow(self, stream):
        """The last event's response, to which all events must lead."""
        created, progress, *middle, last = stream
        self.assertEqual([e["type"] for e in (created, progress)], ["response.created", "response.in_progress"])
        for e in (created, progress):
            self.assertEqual((e["response"]["status"], e["response"]["output"], e["response"]["usage"]), ("in_progress", [], None))
        final = last["response"]
        self.assertEqual(last["type"], "response." + final["status"])
        self.assertEqual(created["response"]["id"], final["id"])
        at = iter(middle)
        for index, item in enumerate(final["output"]):
            e = next(at)
            self.assertEqual((e["type"], e["output_index"]), ("response.output_item.added", index))
            self.assertEqual((e["item"]["id"], e["item"]["status"]), (item["id"], "in_progress"))
            e, text, logprobs = next(at), "", []
            part, kind = PARTS.get(item["type"], (None, "response.function_call_arguments"))
            if part:
                self.assertEqual((e["type"], e["part"]["type"], e["part"]["text"]), ("response.content_part.added", part, ""))
                e = next(at)
            while e["type"] == kind + ".delta":
                self.assertEqual((e["item_id"], e["output_index"]), (item["id"], index))
                text += e["delta"]
                logprobs += e.get("logprobs", [])
                e = next(at)
            self.assertEqual((e["type"], e["item_id"]), (kind + ".done", item["id"]))
            if part:
                self.assertEqual((e["text"], item["content"][0]["text"]), (text, text))
                self.assertEqual(e.get("logprobs", []), logprobs)
                self.assertEqual(item["content"][0].get("logprobs", []), logprobs)
                e = next(at)
                self.assertEqual((e["type"], e["part"]), ("response.content_part.done", item["content"][0]))
            else:
                self.assertEqual((e["arguments"], item["arguments"]), (text, text))
            e = next(at)
            self.assertEqual((e["type"], e["item"]), ("response.output_item.done", item))
        self.assertEqual(list(at), [])
        return final

    def both(self, name, **body):
        """The whole answer, which a stream of the same request must lead to."""
        server, body = self.servers[name], {"input": "Hi", "temperature": 0, "seed": 5, **body}
        answer, stream = server.post(PATH, body), server.post(PATH, {**body, "stream": True})
        self.assertEqual((answer.status, stream.status), (200, 200), answer.body)
        self.assertEqual(stream.headers["content-type"], "text/event-stream")
        one, other = answer.json, self.follow(events(stream))
        for r in (one, other):
            self.assertRegex(r.pop("id"), "^resp_")
            r.pop("created_at")
            r["usage"].pop("input_tokens_details")
            for item in r["output"]:
                self.assertRegex(item.pop("id"), "^(rs|msg|fc)_")
                item.pop("call_id", None)
        self.assertEqual(one, other)
        return one

    def test_an_answer(self):
        r = self.both("plain")
        self.assertEqual((r["object"], r["status"], r["error"], r["incomplete_details"]), ("response", "completed", None, None))
        part = {"type": "output_text", "text": "OK", "annotations": [], "logprobs": []}
        self.assertEqual(r["output"], [{"type": "message", "role": "assistant", "status": "completed", "content": [part]}])
        usage = r["usage"]
        self.assertEqual((usage["output_tokens"], usage["total_tokens"]), (2, usage["input_tokens"] + 2))
        self.assertEqual(usage["output_tokens_details"], {"reasoning_tokens": 0})

    def test_settings_are_told(self):
        asked = {"instructions": "Be kind.", "max_output_tokens": 9, "temperature": 0.5, "top_p": 0.25, "tools": TOOLS,
                 "tool_choice": "none", "parallel_tool_calls": False, "metadata": {"a": "b"}, "truncation": "disabled",
                 "text": {"format": {"type": "text"}}, "reasoning": {"summary": None}, "store": True, "seed": -7, "user": "x"}  # fmt: skip
        r = self.servers["plain"].post(PATH, {"input": "Hi", **asked})
        self.assertEqual({k: r.json[k] for k in asked}, asked)
        self.assertEqual(r.headers["x-gale-seed"], "-7")
        r = self.both("plain")
        self.assertEqual((r["tools"], r["tool_choice"], r["parallel_tool_calls"], r["top_p"]), ([], "auto", True, 1))

    def test_ends(self):
        r = self.both("plain", max_output_tokens=1)
        self.assertEqual((r["status"], r["incomplete_details"]), ("incomplete", {"reason": "max_output_tokens"}))
        self.assertEqual((r["output"][0]["status"], r["output"][0]["content"][0]["text"]), ("incomplete", "O"))
        self.assertEqual(self.both("plain", stop="K")["output"][0]["content"][0]["text"], "O")
        r = self.both("plain", stop="O")
        self.assertEqual((r["status"], r["output"][0]["content"][0]["text"]), ("completed", ""))

    def test_reasoning(self):
        r = self.both("thinker")
        self.assertEqual([i["type"] for i in r["output"]], ["reasoning", "message"])
        self.assertEqual(r["output"][0]["content"], [{"type": "reasoning_text", "text": "hm"}])
        self.assertGreater(r["usage"]["output_tokens_details"]["reasoning_tokens"], 1)
        cut = self.both("thinker", max_output_tokens=2)
        self.assertEqual([(i["type"], i["status"]) for i in cut["output"]], [("reasoning", "incomplete")])
        # Such items may be sent back.
        items = self.servers["thinker"].post(PATH, {"input": "Hi"}).json["output"]
        talk = [{"role": "user", "content": "Hi"}, *items, {"role": "user", "content": [{"type": "input_text", "text": "More"}]}]
        self.both("thinker", input=talk)

    def test_calls(self):
        r = self.both("caller", tools=TOOLS)
        self.assertEqual([i["type"] for i in r["output"]], ["message", "function_call"])
        call = {"type": "function_call", "status": "completed", "name": "fg", "arguments": "{}"}
        self.assertEqual((r["output"][1], r["status"]), (call, "completed"))
        items = self.servers["caller"].post(PATH, {"input": "Hi", "tools": TOOLS, "temperature": 0}).json["output"]
        self.assertRegex(items[1]["call_id"], "^[A-Za-z0-9]{9}$")
        for given in (items[1]["call_id"], "call_of_another_server"):
            result = {"type": "function_call_output", "call_id": given, "output": "5"}
            talk = [{"role": "user", "content": "Hi"}, items[0], {**items[1], "call_id": given}, result]
            self.assertEqual(self.both("caller", input=talk, tools=TOOLS)["output"][0]["content"][0]["text"], "Done")
        for choice in ("required", {"type": "function", "name": "fg"}):
            r = self.both("caller", tools=TOOLS, tool_choice=choice, parallel_tool_calls=False)
            self.assertEqual(r["output"], [call])

    def test_logprobs(self):
        asked = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
        self.assertEqual(len(self.both("caller", tools=TOOLS, **asked)["output"][0]["content"][0]["logprobs"]), len("Wait"))
        for name in ("plain", "thinker"):
            r = self.both(name, **asked)
            tokens = r["output"][-1]["content"][0]["logprobs"]
            self.assertEqual([t["token"] for t in tokens], ["O", "K"])
            self.assertTrue(all(len(t["top_logprobs"]) == 2 for t in tokens))

    def test_roles(self):
        parts = [{"type": "input_text", "text": "Be "}, {"type": "input_text", "text": "kind."}]
        one = self.both("plain", instructions="Be kind.")
        for role in ("system", "developer"):
            other = self.both("plain", input=[{"type": "message", "role": role, "content": parts}, {"role": "user", "content": "Hi"}])
            self.assertEqual(other["usage"]["input_tokens"], one["usage"]["input_tokens"])

    def test_formats(self):
        schema = {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"], "additionalProperties": False}
        r = self.both("plain", text={"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}}, max_output_tokens=60)
        if r["status"] == "completed":
            self.assertEqual(json.loads(r["output"][0]["content"][0]["text"]), {"a": 1})
        self.both("plain", text={"format": {"type": "json_object"}}, max_output_tokens=5)

    def test_errors_name_their_field(self):
        bad = {"properties": {"a": {"not": {}}}}
        for param, body in {
            "input": [{"input": None}, {"input": ""}, {"input": []}, {"input": 3}, {"input": [{"role": "assistant", "content": "x"}]}],
            "input[0]": [{"input": ["x"]}],
            "input[0].type": [{"input": [{"type": "item_reference", "id": "x"}]}, {"input": [{"type": 3}]}],
            "input[0].role": [{"input": [{"content": "x"}]}, {"input": [{"role": "tool", "content": "x"}]}],
            "input[0].content": [{"input": [{"role": "user"}]}],
            "input[0].content[0].type": [{"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "file:///x"}]}]}],
            "input[0].call_id": [{"input": [{"type": "function_call", "name": "f", "arguments": "{}", "call_id": None}]}],
            "input[0].output": [{"input": [{"type": "function_call_output", "call_id": "x"}]}],
            "temperature": [{"temperature": -1}],
            "max_output_tokens": [{"max_output_tokens": 0}, {"max_output_tokens": "x"}],
            "previous_response_id": [{"previous_response_id": "resp_x"}],
            "conversation": [{"conversation": "x"}],
            "background": [{"background": True}],
            "prompt": [{"prompt": {"id": "x"}}],
            "truncation": [{"truncation": "auto"}],
            "include[0]": [{"include": ["file_search_call.results"]}, {"include": [3]}],
            "top_logprobs": [{"top_logprobs": 21}],
            "tools[0].type": [{"tools": [{"type": "web_search"}]}, {"tools": [{}]}],
            "tools[0].name": [{"tools": [{"type": "function"}]}, {"tools": [{"type": "function", "name": "f g"}]}],
            "tools[0].parameters": [{"tools": [{"type": "function", "name": "f", "parameters": {"type": 3}}]}],
            "tools[0].parameters.properties.a.not": [{"tools": [{"type": "function", "name": "f", "parameters": bad, "strict": True}]}],
            "tool_choice": [{"tool_choice": "required"}, {"tool_choice": "x"}],
            "tool_choice.name": [{"tools": TOOLS, "tool_choice": {"type": "function", "name": "x"}}],
            "text.format.type": [{"text": {"format": {"type": "xml"}}}, {"text": {"format": {}}}],
            "text.format.schema": [{"text": {"format": {"type": "json_schema", "name": "x"}}}],
            "text.format.schema.properties.a.not": [{"text": {"format": {"type": "json_schema", "name": "x", "schema": bad}}}],
            "stream": [{"stream": "yes"}],
        }.items():  # fmt: skip
            for one in body:
                r = self.servers["plain"].post(PATH, {"input": "Hi", "max_output_tokens": 5, **one})
                with self.subTest(body=str(one)[:100]):
                    self.assertEqual((r.status, r.json["error"].get("param")), (400, param), r.body[:300])
        r = self.servers["plain"].post(PATH, {"input": "Hi", "background": False, "previous_response_id": None, "store": True,
                                              "include": ["reasoning.encrypted_content"], "nonsense": 1, "max_output_tokens": None})  # fmt: skip
        self.assertEqual((r.status, r.json["output"][0]["content"][0]["text"]), (200, "OK"), r.body)


if __name__ == "__main__":
    unittest.main()
