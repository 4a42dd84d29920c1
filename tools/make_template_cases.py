#!/usr/bin/env python3
"""Makes cases of prompts from published Jinja templates, rendered by transformers: Llama, Gemma, ChatML.

usage: make_template_cases.py FOLDER tests/data/text

FOLDER holds the templates: NAME.jinja. Which of them gale knows is asked of gale itself by parity.py --templates FOLDER,
which compares many more; kept are cases of Llama 3.1's template (LLAMA31 names its file).
"""
import json
import pathlib
import random
import re
import sys

from transformers.utils.chat_template_utils import render_jinja_template

LLAMA31 = "meta-llama-Llama-3.1-8B-Instruct.jinja"
DATE = "26 Jul 2024"  # the default of Llama 3.1; later templates take the day's own
TEXTS = ["a", " Hello\n", "two words", "x\n\n y ", "é 你好 नमस्ते", "\U0001F44B", "1 + 1 = 2", "{\"a\": 1}", "\x1c\u3000 z \x85", "", "'q' \"d\""]
PARAMETERS = [
    {}, {"type": "object", "properties": {"z": {"type": "string", "description": "é / \u2028 <b>"},
                                          "a": {"type": ["integer", "null"], "minimum": 1.5, "enum": []}}, "required": ["z"]},
]
ARGUMENTS = ["{}", '{"x": 3}', '{"city": "Paris", "n": 1.0, "l": [1, {"é": null}]}']


def random_body(rng, with_tools):
    """A conversation that ends with the user's or a tool's message, in order."""
    text = lambda: rng.choice(TEXTS)
    messages = [{"role": "system", "content": text()}] if rng.random() < 0.5 else []
    for k in range(rng.randrange(1, 4)):
        if k:
            messages.append({"role": "assistant", "content": text()})
        messages.append({"role": "user", "content": text()})
        while with_tools and rng.random() < 0.5:
            function = {"name": rng.choice(["f", "get_weather", "x-1"]), "arguments": rng.choice(ARGUMENTS)}
            messages.append({"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": function}]})
            messages.append({"role": "tool", "tool_call_id": "1", "content": text()})
    body = {"messages": messages}
    if with_tools and rng.random() < 0.8:
        tools = []
        for _ in range(rng.randrange(1, 3)):
            function = {"name": rng.choice(["f", "get_weather"]), "description": text(), "parameters": rng.choice(PARAMETERS)}
            if rng.random() < 0.3:
                function.pop("description")
            tools.append({"type": "function", "function": function})
        body["tools"] = tools
    if with_tools and rng.random() < 0.5:
        body["chat_template_kwargs"] = {"date_string": rng.choice(["24 Nov 2026", "1 Jan 2030"])}
        if rng.random() < 0.5:
            body["chat_template_kwargs"]["tools_in_user_message"] = rng.random() < 0.5
    return body


def render(jinja, body, bos="<s>", eos="</s>"):
    """The prompt's text, or why there is none. Arguments of calls are given as the objects that they state."""
    messages = json.loads(json.dumps(body["messages"]))
    for message in messages:
        for call in message.get("tool_calls", []):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    keywords = {"date_string": DATE, **body.get("chat_template_kwargs", {})}
    try:
        out, _ = render_jinja_template([messages], tools=body.get("tools"), chat_template=jinja, add_generation_prompt=True,
                                       bos_token=bos, eos_token=eos, **keywords)
        return out[0]
    except Exception as refusal:
        return refusal


def marks_of(jinja):
    """Control tokens that a template spells out."""
    marks = r"<\|[a-zA-Z0-9_]+\|>|<(?:start|end)_of_turn>|\[/?[A-Z_]{3,}\]"
    return sorted(m for m in set(re.findall(marks, jinja)) if m[0] == "<" or "<<SYS>>" not in jinja)


def with_marks(data, marks):
    """A tokenizer.json with further control tokens."""
    data = json.loads(json.dumps(data))
    vocab = data["model"]["vocab"]
    for mark in ["<s>", "</s>", *marks]:
        known = any(a["content"] == mark for a in data["added_tokens"])
        if not known:
            i = vocab.get(mark, max(max(vocab.values()), *(a["id"] for a in data["added_tokens"])) + 1)
            data["added_tokens"].append({"id": i, "content": mark, "special": True, "single_word": False, "lstrip": False,
                                         "rstrip": False, "normalized": False})
    return data


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, out = map(pathlib.Path, sys.argv[1:])
    jinja, rng, rows = (folder / LLAMA31).read_text(), random.Random(2026), []
    for i in range(16):
        body = random_body(rng, i % 4 > 0)
        rows.append([json.dumps(body, ensure_ascii=False), render(jinja, body)])
    (out / "chats_llama.json").write_text(json.dumps(rows, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
