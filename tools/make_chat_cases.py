#!/usr/bin/env python3
"""Makes cases of prompts and tekken vocabularies from Mistral's reference, the PyPI package mistral-common.

usage: make_chat_cases.py tests/data/text      (parity.py compares far more of them, without keeping any)

The reference's own files serve for v1, v2, v3 and v7; tekken files of v7, v11, v13 and v15 are made of its tekken file by
giving them that version and its control tokens. In the cases kept, vocabularies are cut short.
"""
import json
import pathlib
import random
import sys
import tempfile
import warnings

import mistral_common
from mistral_common.protocol.fim.request import FIMRequest
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import ValidationMode
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

warnings.simplefilter("ignore")
DATA = pathlib.Path(mistral_common.__file__).parent / "data"
SENTENCEPIECE = {
    "v1": "tokenizer.model.v1",
    "v2": "mistral_instruct_tokenizer_240216.model.v2",
    "v3": "mistral_instruct_tokenizer_240323.model.v3",
    "v7": "mistral_instruct_tokenizer_241114.model.v7",
    "v7m1": "mistral_instruct_tokenizer_241114.model.v7m1",
}
SPECIAL = (
    "<unk> <s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS] [TOOL_CALLS] [IMG] "
    "<pad> [IMG_BREAK] [IMG_END] [PREFIX] [MIDDLE] [SUFFIX] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [TOOL_CONTENT] [TRANSCRIBE] "
    "[AUDIO] [ARGS] [CALL_ID] [THINK] [/THINK] [MODEL_SETTINGS] [/MODEL_SETTINGS]"
).split()
SETTINGS = {
    "reasoning_effort": {"type": "enum", "values": ["none", "high"], "accepts_none": True, "default": "none"},
    "json_schema": {"type": "json_schema", "accepts_none": False, "default": None},
}
TEXTS = [
    "a", "Hello", " two words ", "", "x\n ", "[INST] no [/INST]</s>", "你好", "b  ", "   ", "[TOOL_CALLS]", "e\u0301", '{"a": 1e5}',
    "\U0001F44B", "1", "null", '{"a":}', "[]", ' {"k" : true } ', '"s"', "0.1", '{"a":1,"b":2,"a":3}', '"\\ud800"',
    '{"b":[1,2.50,-0,-0.0,1E-7,1e16,123456789012345678901234567890,NaN,1e400,"\\u00e9\\/\\u2028\\ud83d\\ude00\\u007f",{}],"b":2}',
    "[1.0e22, 1.5e-5, 0.0001, 123456.789, 5e-324, 1.7976931348623157e308]",
]
ARGUMENTS = TEXTS + ["{}", '{"x": 3}', '{"city": "Paris", "n": 1.0}']
SCHEMAS = [
    {}, {"type": "object", "properties": {"z": {"type": "string", "description": "é / \u2028"},
                                          "a": {"type": ["integer", "null"], "minimum": 1.5}}, "required": ["z"]},
    {"type": "object"}, {"enum": [1, 2, None, True]}, {"type": "array", "items": {"type": "number"}, "minItems": 2.0},
]
OTHER_SCHEMAS = [
    {"type": "nonsense"}, {"required": "a"}, {"properties": []}, {"minLength": -1}, {"required": ["a", "a"]}, {"anyOf": []},
    {"items": []}, {"items": 3}, {"type": []}, {"properties": {"a": {"type": 3}}}, {"multipleOf": 0}, {"description": 3},
    {"dependencies": {"a": ["b"], "c": {"type": "string"}}}, {"maxItems": 1.5}, {"not": True}, {"if": 5},
    {"additionalProperties": False}, {"pattern": "("}, {"pattern": "^[a-z]+$"}, {"patternProperties": {"^x": {}}},
    {"patternProperties": {"+x": {}}},
]
FOLLOWERS = {
    "start": ["user", "user", "system", "developer"], "system": ["user", "user", "assistant", "system"],
    "user": ["assistant", "assistant", "user", "calls", "system"], "assistant": ["user", "assistant", "user", "calls"],
    "tool": ["user", "assistant"],
}


# ---- Random conversations: mostly in order, some with every kind of fault ----


class Talk:
    def __init__(self, rng, version, texts=TEXTS):
        self.rng, self.version, self.texts = rng, version, texts
        self.fault = rng.choice([0, 0, 0, 0.05, 0.2])
        self.thinks = version in ("v13", "v15") or rng.random() < 0.1
        self.messages = []

    def chance(self, p):
        return self.rng.random() < p

    def content(self, thinks):
        rng = self.rng
        if self.chance(0.6):
            return rng.choice(self.texts)
        parts = []
        for _ in range(rng.randrange(4)):
            if thinks and self.chance(0.4):
                part = {"type": "thinking", "thinking": rng.choice(self.texts)}
                if self.chance(0.4):
                    part["closed"] = self.chance(0.5)
                parts.append(part)
            else:
                parts.append({"type": "text", "text": rng.choice(self.texts)})
        return parts

    def call_id(self, fault):
        if self.chance(fault):
            return self.rng.choice(["", "null", "abc", "123456789x", "12345678-", "abcdefgh\n", "abcdefghi\n"])
        return "".join(self.rng.choice("abcXYZ0189") for _ in range(9))

    def call(self):
        rng = self.rng
        name = rng.choice(["get_weather", "f-1", "x"])
        if self.chance(self.fault):
            name = rng.choice(["", "bad name", "x" * 65, "x" * 64, "n\n", "é"])
        kind = rng.random()
        arguments = rng.choice(ARGUMENTS) if kind < 0.85 else {"k": 1, "é": [1.0, None, "é"]} if kind < 0.95 else None
        call = {"id": self.call_id(self.fault), "type": "function", "function": {"name": name, "arguments": arguments}}
        if self.chance(self.fault):
            call.pop(rng.choice(["id", "type"]))
        return call

    def add_assistant(self):
        message = {"role": "assistant", "content": self.content(self.thinks) or "ok"}
        if self.chance(0.02):
            message["content"] = ""
        if self.thinks and self.chance(0.2):
            message[self.rng.choice(["reasoning", "reasoning_content"])] = self.rng.choice(self.texts)
        if self.chance(0.05):
            message.pop("content")
        if self.chance(0.1):
            message["tool_calls"] = None
        self.messages.append(message)

    def add_calls(self):
        rng = self.rng
        calls = [self.call() for _ in range(rng.choice([1, 1, 2, 3]))]
        if self.version == "v2" and self.chance(0.8):
            calls = calls[:1]
        message = {"role": "assistant", "tool_calls": calls}
        kind = rng.random()
        if kind < 0.6:
            message["content"] = self.content(self.thinks) if kind < 0.3 else None if kind < 0.5 else ""
        self.messages.append(message)
        ids = [call.get("id", "null") for call in calls]
        if self.chance(0.4):
            rng.shuffle(ids)
        if self.chance(self.fault):
            ids = ids + [self.call_id(0)] if self.chance(0.5) else ids[:-1]
        if self.chance(self.fault) and ids:
            ids[0] = self.call_id(0.5)
        for i in ids:
            result = {"role": "tool", "tool_call_id": i, "content": self.content(False) if self.chance(0.4) else rng.choice(self.texts)}
            if self.chance(0.3):
                result["name"] = "b d" if self.chance(self.fault) else rng.choice(["f", "get_weather", None])
            self.messages.append(result)
        return "tool" if ids else "assistant"

    def add_messages(self):
        state = "start"
        for _ in range(self.rng.randrange(1, 7)):
            role = self.rng.choice(FOLLOWERS[state])
            if self.chance(self.fault):
                role = self.rng.choice(["system", "user", "assistant", "tool", "developer"])
            state = "system" if role == "developer" else role
            if role == "calls":
                state = self.add_calls()
            elif role == "assistant":
                self.add_assistant()
            elif role == "tool":
                self.messages.append({"role": "tool", "tool_call_id": self.call_id(self.fault), "content": self.rng.choice(self.texts)})
            else:
                thinks = self.thinks and self.chance(0.3) if state == "system" else self.chance(self.fault)
                self.messages.append({"role": role, "content": self.content(thinks)})

    def tool(self):
        rng = self.rng
        function = {"name": rng.choice(["f", "get_weather", "g-2"]),
                    "parameters": rng.choice(OTHER_SCHEMAS if self.chance(0.1) else SCHEMAS)}
        if self.chance(0.6):
            function["description"] = rng.choice(self.texts)
        if self.chance(0.2):
            function["strict"] = self.chance(0.5)
        if self.chance(0.2):
            function["extra"] = 1
        if self.chance(0.05):
            function["name"] = "a b"
        if self.chance(0.1):
            function.pop("parameters")
        tool = {"type": "function", "function": function}
        if self.chance(0.05):
            tool.pop("type")
        if self.chance(0.05):
            tool["type"] = "other"
        return tool

    def body(self):
        rng = self.rng
        self.add_messages()
        body = {"model": "m", "messages": self.messages}
        if self.messages[-1]["role"] == "assistant":
            if self.chance(0.7):
                body["continue_final_message"] = True
            elif self.chance(0.5):
                self.messages.append({"role": "user", "content": "end"})
        elif self.chance(0.02):
            body["continue_final_message"] = self.chance(0.5)
        if self.chance(0.5):
            body["tools"] = [self.tool() for _ in range(rng.randrange(4))]
            if self.chance(0.4):
                named = {"type": "function", "function": {"name": "f"}}
                body["tool_choice"] = rng.choice(["auto", "none", "any", "required", named, "bad"])
        if self.chance(0.5 if self.version == "v15" else 0.04):
            body["reasoning_effort"] = rng.choice(["none", "high", "high", "low", "bogus", None])
        if self.chance(0.1):
            schema = {"name": "n", "schema": {"z": 1, "properties": {"b": {}, "a": {}}}}
            body["response_format"] = rng.choice([
                {"type": "text"}, {"type": "json_object"}, {"type": "json_schema", "json_schema": schema},
                {"type": "json_schema"}, {"type": "x"}])
        if self.chance(0.01):
            body["messages"] = []
        return body


# ---- The reference ----


def tekken_file(version, words, folder):
    """A tekken file of a version, with all control tokens and its first words; None: all of them."""
    data = json.loads((DATA / "tekken_240911.json").read_text())
    data.pop("image")
    data["config"]["version"] = version
    if words:
        data["vocab"] = data["vocab"][:words]
        data["config"].update(default_vocab_size=words + 32, default_num_special_tokens=32, num_vocab_tokens=words)
    data["special_tokens"] = [{"rank": i, "token_str": t, "is_control": True} for i, t in enumerate(SPECIAL)]
    if version == "v15":
        data["model_settings_builder"] = SETTINGS
    path = pathlib.Path(folder) / f"tekken_{version}.json"
    path.write_text(json.dumps(data, separators=(",", ":")))
    return path


def reference_ids(tokenizer, body):
    try:
        request = ChatCompletionRequest.from_openai(**json.loads(json.dumps(body)))
        return tokenizer.encode_chat_completion(request).tokens
    except Exception as refusal:  # every kind of refusal counts
        return f"{type(refusal).__name__}: {refusal}".split("\n")[0]


def write_cases(out):
    rng = random.Random(2026)
    rows, fills = [], []
    cut = (out / "cut.model").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        tekken = {v: tekken_file(v, 600, folder) for v in ("v3", "v7", "v11", "v13", "v15")}
        (out / "tekken.json").write_bytes(tekken["v13"].read_bytes() + b"\n")
        for template in ("v1", "v2", "v3", "v7", "v3-tekken", "v7-tekken", "v11", "v13", "v15"):
            version = template.split("-")[0]
            path = tekken.get(version)
            if template in SENTENCEPIECE:
                path = pathlib.Path(folder) / f"cut.model.{version}"
                path.write_bytes(cut)
            tokenizer = MistralTokenizer.from_file(str(path), mode=ValidationMode.serving)
            counts = [26, 10]  # prompts, refusals
            while any(counts):
                body = Talk(rng, version).body()
                text = json.dumps(body, ensure_ascii=False)
                ids = reference_ids(tokenizer, body)
                refused = isinstance(ids, str)
                if counts[refused] and len(text) < 900 and (refused or len(ids) < 260):
                    rows.append([f"mistral-{template}", text, 0 if refused else ids])
                    counts[refused] -= 1
            for prefix, suffix in (("def f(", "return a + b"), ("", ""), ("a", "\n x"), (" x", "é")):
                if template not in ("v1", "v2"):
                    ids = tokenizer.encode_fim(FIMRequest(prompt=prefix, suffix=suffix)).tokens
                    fills.append([f"mistral-{template}", prefix, suffix, ids])
        texts = [t for t in TEXTS + ["Hello world, don't", "नमस्ते العَرَبِيَّة ไทย", "  a\n\nb 123//\n", "\x1c\x85\u3000", "ABCа́"]]
        encoder = tokenizer.instruct_tokenizer.tokenizer
        words = [[t, encoder.encode(t, False, False)] for t in texts]
    data = {"settings": SETTINGS, "chats": rows, "fills": fills, "texts": words}
    (out / "chats.json").write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write_cases(pathlib.Path(sys.argv[1]))


if __name__ == "__main__":
    main()
