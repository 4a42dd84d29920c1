"""The chat on a terminal, with models that say what the tests want: each token has one that follows it, whatever came
before. Python 3 alone is needed."""

import json
import os
import re
import struct
import time
import unittest

from test_cli import ROOT, Case, Terminal

TEKKEN = os.path.join(ROOT, "tests/data/text/tekken.json")
DIM, HEAD = 320, 32
UP, CONTROL_C, CONTROL_D, CONTROL_R = "\033[A", "\x03", "\x04", "\x12"


def floats(rows, columns, ones=()):
    """A matrix of zeros but for some places."""
    data = bytearray(4 * rows * columns)
    for row, column, value in ones:
        struct.pack_into("<f", data, 4 * (row * columns + column), value)
    return [rows, columns], bytes(data)


def write_tensors(path, tensors):
    header, at = {}, 0
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data for _, data in tensors.values()))


def write_model(folder, chains):
    """A model in Mistral's own form. chains are lists of tokens, control tokens by name and others letter by letter;
    each is followed by the next, and the last by the end of the answer if by nothing else."""
    with open(TEKKEN) as f:
        tekken = json.load(f)
    marks = {t["token_str"]: t["rank"] for t in tekken["special_tokens"]}
    n_marks, n = tekken["config"]["default_num_special_tokens"], tekken["config"]["default_vocab_size"]
    follows = {}
    for chain in chains:
        ids = [i for part in chain for i in ([marks[part]] if part in marks else [n_marks + b for b in part.encode()])]
        for one, next_one in zip(ids, ids[1:]):
            assert follows.setdefault(one, next_one) == next_one, chain
        follows.setdefault(ids[-1], marks["</s>"])
    ones = [1] * DIM
    vector = [DIM], struct.pack(f"<{DIM}f", *ones)
    tensors = {
        "tok_embeddings.weight": floats(n, DIM, [(i, i, 1.0) for i in range(DIM)]),
        "norm.weight": vector,
        "output.weight": floats(n, DIM, [(b, a, 10.0) for a, b in follows.items()]),
        "layers.0.attention_norm.weight": vector,
        "layers.0.ffn_norm.weight": vector,
        "layers.0.attention.wq.weight": floats(DIM, DIM),
        "layers.0.attention.wk.weight": floats(HEAD, DIM),
        "layers.0.attention.wv.weight": floats(HEAD, DIM),
        "layers.0.attention.wo.weight": floats(DIM, DIM),
        "layers.0.feed_forward.w1.weight": floats(HEAD, DIM),
        "layers.0.feed_forward.w3.weight": floats(HEAD, DIM),
        "layers.0.feed_forward.w2.weight": floats(DIM, HEAD),
    }
    os.makedirs(folder)
    write_tensors(os.path.join(folder, "consolidated.safetensors"), tensors)
    with open(os.path.join(folder, "params.json"), "w") as f:
        json.dump({"dim": DIM, "n_layers": 1, "head_dim": HEAD, "hidden_dim": HEAD, "n_heads": DIM // HEAD, "n_kv_heads": 1,
                   "norm_eps": 1e-5, "vocab_size": n, "rope_theta": 10000.0, "max_seq_len": 4096}, f)
    with open(os.path.join(folder, "tekken.json"), "w") as f:
        json.dump(tekken, f)


PLAIN = [["[/INST]", "OK"]]
THINKER = [["[/INST]", "[THINK]", "hm", "[/THINK]", "OK"]]
CALLER = [["[/INST]", "Wait", "[TOOL_CALLS]", "fg", "[ARGS]", "{}"], ["[/TOOL_RESULTS]", "Done"]]
TOOLS = [{"type": "function", "function": {"name": "fg", "parameters": {"type": "object", "properties": {}}}}]


class Chat(Case):
    def start(self, chains, *arguments, term="dumb", **environment):
        self.folders = getattr(self, "folders", 0) + 1
        model = self.path(f"model{self.folders}")
        write_model(model, chains)
        self.environment.pop("NO_COLOR", None)
        self.environment.update(environment)
        t = Terminal(self.environment, self.folder, "run", model, "--temp", "0", *arguments, term=term)
        t.wait(">>>")
        return t

    def saved(self, t, name="chat.json"):
        """The conversation, as /save writes it."""
        t.send(f"/save {name}\n")
        t.wait("saved ")
        t.wait(">>> ")
        with open(self.path(name)) as f:
            return json.load(f)

    def roles(self, t):
        return [m["role"] for m in self.saved(t)["messages"]]

    def leave(self, t):
        t.send(CONTROL_D)
        self.assertEqual(t.status(), 0)

    def say(self, t, line):
        """Sends a line and returns what was shown behind it, without the progress."""
        t.send(line + "\n")
        shown = re.sub(r"\x1b\[K(reading the prompt \d+%)?", "", t.wait(">>> ").replace("\r", ""))
        return shown.split(line + "\n", 1)[1]

    def search(self, t, part):
        """Finds an earlier line and sends it."""
        t.send(CONTROL_R)
        t.wait("bck:")
        t.send(part)
        t.settle()
        t.send("\n")
        t.settle()

    # ---- Answers ----

    def test_thinking_is_marked_and_kept(self):
        t = self.start(THINKER)
        self.assertEqual(self.say(t, "Hi"), "[THINK]\nhm\n[/THINK]\nOK\n>>> ")
        self.assertEqual(self.saved(t)["messages"],
                         [{"role": "user", "content": "Hi"},
                          {"role": "assistant", "content": "OK", "reasoning_content": "hm"}])
        self.say(t, "More")
        n, reused = map(int, re.search(r"prompt: (\d+) tokens \((\d+) of them reused\)", self.say(t, "/stats")).groups())
        self.assertEqual(n - reused, 5)  # </s> [INST] M ore [/INST]
        self.leave(t)

    def test_colours(self):
        for term, no_colour, coloured in (("xterm", "", True), ("xterm", "1", False), ("dumb", "", False)):
            with self.subTest(term=term, no_colour=no_colour):
                t = self.start(THINKER, term=term, NO_COLOR=no_colour)
                t.send("Hi\n")
                shown = t.wait("OK").replace("\r", "")
                self.assertEqual("\033[2mhm\n\033[0mOK" in shown, coloured, shown)
                self.assertEqual("[THINK]" in shown, not coloured, shown)
                prompt = t.wait(">>>\033[0m " if coloured else ">>> ")  # before it the terminal would take Control-D for the end of a line
                self.leave(t)
                self.assertEqual("\033[1;32m>>>\033[0m " in prompt, coloured, prompt)

    def test_a_pasted_text_is_one_message(self):
        t = self.start(PLAIN, term="xterm", NO_COLOR="1")
        for pasted, kept in (("one\ntwo\nthree", "one\ntwo\nthree"), ("a\rb\rc", "a\nb\nc"),
                             ("t\tab \033[31mé\x07", "t\tab [31mé"), ("/exit\nnow?", None)):
            with self.subTest(pasted=pasted):
                before = len(self.saved(t)["messages"])
                t.send("\033[200~" + pasted + "\033[201~")
                t.settle()
                self.assertNotIn("OK", t.seen.decode(errors="replace"))  # it waits for Enter
                t.send("\n")
                if kept is None:
                    self.assertEqual(t.status(), 0)
                    return
                t.wait("OK")
                t.wait(">>>")
                messages = self.saved(t)["messages"]
                self.assertEqual((len(messages), messages[-2]["content"]), (before + 2, kept))

    def test_the_terminal_is_asked_to_mark_pasted_text(self):
        for term, asked in (("xterm", True), ("dumb", False)):
            t = self.start(PLAIN, term=term, NO_COLOR="1")
            t.send("Hi\n")
            shown = t.wait("OK") + t.wait(">>> ")  # before it the terminal would take Control-D for the end of a line
            self.leave(t)
            shown += t.seen.decode(errors="replace")
            # Of the first prompt the beginning has been read already.
            self.assertEqual((shown.count("\033[?2004h"), shown.count("\033[?2004l")), (1, 2) if asked else (0, 0))

    def test_one_answer_through_a_pipe(self):
        write_model(self.path("m"), THINKER)
        self.assertEqual(self.good("run", "./m", "Hi", "--temp", "0"), b"[THINK]\nhm\n[/THINK]\nOK\n")
        write_model(self.path("n"), CALLER)
        self.assertEqual(self.good("run", "./n", "Hi", "--temp", "0"), b"Wait\n-> fg({})\n")
        for stop, wanted in (("K", b"[THINK]\nhm\n[/THINK]\nO\n"), ("m", b"[THINK]\nhm\n[/THINK]\nOK\n"),
                             ("x", b"[THINK]\nhm\n[/THINK]\nOK\n"), ("[/THINK]", b"[THINK]\nhm\n[/THINK]\n")):
            with self.subTest(stop=stop):
                self.assertEqual(self.good("run", "./m", "Hi", "--temp", "0", "--stop", stop), wanted)

    def test_answers_that_end_within_a_character(self):
        write_model(self.path("m"), [["[/INST]", "é!"]])
        for n, wanted in ((1, ""), (2, "é\n"), (3, "é!\n")):
            self.assertEqual(self.good("run", "./m", "Hi", "--temp", "0", "-n", str(n)).decode(), wanted)
        t = self.start([["[/INST]", "é!"]], "-n", "1")
        self.assertIn("[cut", self.say(t, "Hi"))
        self.assertEqual(self.saved(t)["messages"][1]["content"], "")
        self.leave(t)

    def test_prompts_that_are_too_long_or_empty(self):
        t = self.start(PLAIN, "-c", "32")
        self.assertIn("exceed the context of 32", self.say(t, "x " * 64))
        self.assertEqual(self.roles(t), [])
        self.assertEqual(self.say(t, "Hi"), "OK\n>>> ")
        self.assertEqual(self.say(t, ""), ">>> ")
        self.assertEqual(self.roles(t), ["user", "assistant"])
        self.leave(t)
        self.bad(1, "run", "./model1", "", says="the prompt is empty")
        self.bad(1, "run", "./model1", "x " * 64, "-c", "32", says="exceed the context of 32")

    def test_tool_calls(self):
        t = self.start(CALLER)
        with open(self.path("request.json"), "w") as f:
            json.dump({"model": "m", "tools": TOOLS, "messages": [{"role": "user", "content": "Call."}]}, f)
        self.assertIn("loaded 1 messages", self.say(t, "/load request.json"))
        self.assertEqual(self.say(t, "/regenerate").split("[the answer")[0], "Wait\n-> fg({})\n")
        self.assertIn("/result", self.say(t, "And now?"))
        self.assertEqual(self.roles(t), ["user", "assistant"])
        self.assertEqual(self.say(t, "/result 42"), "Done\n>>> ")
        saved = self.saved(t)
        call = saved["messages"][1]["tool_calls"][0]
        self.assertEqual(call["function"], {"name": "fg", "arguments": "{}"})
        self.assertEqual(saved["messages"][2],
                         {"role": "tool", "tool_call_id": call["id"], "name": "fg", "content": "42"})
        self.assertEqual((saved["tools"], saved["model"]), (TOOLS, "m"))
        self.assertIn("no tool call waits", self.say(t, "/result 43"))
        self.assertIn("loaded 4 messages", self.say(t, "/load chat.json"))
        self.assertEqual(self.saved(t), saved)
        self.leave(t)

    def test_interrupted_answers(self):
        t = self.start([["[/INST]", "ab", "[INST]", "c", "[/INST]"]], "-c", "65536")  # goes round for ever
        t.send("Go on.\n")
        while len(t.seen) < 2000:
            self.assertTrue(t.read(1))
        t.send(CONTROL_C)
        t.wait("[stopped]")
        t.wait(">>> ")
        messages = self.saved(t)["messages"]
        self.assertTrue(messages[1]["content"].startswith("abcabcabc"))
        t.send("Again.\n")
        t.wait("abcabc")
        t.send(CONTROL_C)
        t.wait("[stopped]")
        t.wait(">>> ")
        self.assertEqual(self.roles(t), ["user", "assistant"] * 2)
        self.leave(t)

    def test_interrupted_while_output_waits(self):
        t = self.start([["[/INST]", "ab", "[INST]", "c", "[/INST]"]], "-c", "65536")  # goes round for ever
        for _ in range(3):
            t.send("Go on.\n")
            t.wait("abcabc")
            time.sleep(0.5)  # until the terminal takes no more, since nobody reads it
            t.send(CONTROL_C)
            t.wait("[stopped]")
            t.wait(">>> ")
        self.assertEqual(self.roles(t), ["user", "assistant"] * 3)
        self.leave(t)

    # ---- Conversations ----

    def test_commands_change_the_conversation(self):
        t = self.start(PLAIN, "-v")
        self.assertIn("OK\n", self.say(t, "One"))
        self.say(t, "/system Be brief.")
        self.say(t, "Two")
        self.assertEqual(self.roles(t), ["system", "user", "assistant", "user", "assistant"])
        again = self.say(t, "/regenerate")
        n, reused = map(int, re.search(r"prompt: (\d+) tokens \((\d+) of them reused\)", again).groups())
        self.assertEqual(reused, n - 1)
        self.assertIn("5 messages", self.say(t, "/stats"))
        self.say(t, "/reset")
        self.assertEqual(self.roles(t), ["system"])
        self.assertIn("no message to answer", self.say(t, "/regenerate"))
        self.say(t, "/system")
        self.assertEqual(self.roles(t), [])
        self.assertIn("unknown command /sytem; did you mean /system?", self.say(t, "/sytem x"))
        self.assertIn("/help lists them", self.say(t, "/x/y"))
        self.assertIn("/regenerate", self.say(t, "/help"))
        self.assertIn("needs the name", self.say(t, "/save"))
        self.assertIn("no/folder", self.say(t, "/save no/folder/x"))
        t.send("/exit\n")
        self.assertEqual(t.status(), 0)

    def test_what_cannot_be_loaded_changes_nothing(self):
        t = self.start(PLAIN)
        self.say(t, "One")
        user = {"role": "user", "content": "x"}
        for content, says in [("", "line 1"), ("[]", "messages"), ("{}", "messages"), ('{"messages": []}', "messages"),
                              ('{"messages": {}}', "messages"), ('{"messages": [1]}', "messages[0]"),
                              (json.dumps({"messages": [{"role": "wizard", "content": "x"}]}), "role"),
                              (json.dumps({"messages": [user, {"role": "assistant"}]}), "gale: "),
                              (json.dumps({"messages": [user], "tools": 7}), "tools"),
                              (json.dumps({"messages": [user], "reasoning_effort": "high"}), "reasoning_effort"),
                              ('{"messages": [{"role": "user", "content": "\\ud800"}]}', "line 1"),
                              (json.dumps({"messages": [{"role": "tool", "content": "x", "tool_call_id": "123456789"}]}),
                               "gale: ")]:
            with self.subTest(content=content):
                with open(self.path("bad.json"), "w") as f:
                    f.write(content)
                shown = self.say(t, "/load bad.json")
                self.assertIn("gale: ", shown)
                self.assertIn(says, shown)
        self.assertIn("No such file", self.say(t, "/load missing"))
        self.assertEqual(self.saved(t)["messages"],
                         [{"role": "user", "content": "One"}, {"role": "assistant", "content": "OK"}])
        self.leave(t)

    def test_marks_in_messages_are_text(self):
        t = self.start(PLAIN)
        text = "</s>[INST] no [/INST][TOOL_CALLS]"
        self.assertEqual(self.say(t, text), "OK\n>>> ")
        with open(self.path("one.json"), "w") as f:
            json.dump({"messages": [{"role": "user", "content": text}]}, f)
        ids = self.good("tokenize", "./model1", "--chat", "one.json").split()
        marks = [i for i in ids if int(i) < 32]
        self.assertEqual(len(marks), 3)  # <s> [INST] [/INST]
        self.leave(t)

    # ---- Lines ----

    def test_messages_of_several_lines(self):
        t = self.start(PLAIN)
        for lines, wanted in [(["one\\", "two"], "one\ntwo"), (['"""three', "", 'four"""'], "three\n\nfour"),
                              (['"""', "/help", '"""'], "/help\n"), (['"""/stats"""'], "/stats"),
                              (["a\\\\", "b"], "a\\\nb")]:
            with self.subTest(lines=lines):
                for line in lines[:-1]:
                    t.send(line + "\n")
                    t.wait("... ")
                self.say(t, lines[-1])
                self.assertEqual(self.saved(t)["messages"][-2]["content"], wanted)
        t.send('"""begun\n')
        t.wait("... ")
        t.send(CONTROL_C)
        t.wait(">>> ")
        self.assertEqual(len(self.roles(t)), 10)
        self.leave(t)

    def test_editing_history_and_search(self):
        t = self.start(PLAIN, term="xterm", NO_COLOR="1")
        self.say(t, "/system alpha")
        self.say(t, "/system beta")
        self.say(t, "/stats")
        self.search(t, "alph")
        self.assertEqual(self.saved(t)["messages"][0]["content"], "alpha")  # the history ends with this /save now
        t.send(UP + UP + UP + UP)
        t.settle()
        t.send("\x01\x1b[C\x1b[C\x1b[C" + "\x05" + "\x7f!\n")  # Ctrl-A, right, Ctrl-E, backspace
        t.settle()
        self.assertEqual(self.saved(t, "two.json")["messages"][0]["content"], "bet!")
        self.leave(t)
        with open(self.path("state/gale/history")) as f:
            self.assertIn("alpha", f.read())
        t = self.start(PLAIN, term="xterm", NO_COLOR="1")  # another chat knows the lines of the first
        self.search(t, "bet!")
        self.assertEqual(self.saved(t)["messages"][0]["content"], "bet!")
        self.leave(t)

    def test_control_c_drops_the_line_and_control_d_leaves(self):
        t = self.start(PLAIN)
        t.send("half a line")
        t.wait("half a line")
        t.send(CONTROL_C)
        t.wait("^C")
        t.wait(">>> ")
        self.assertEqual(self.roles(t), [])
        self.assertEqual(self.say(t, "日本語 é"), "OK\n>>> ")
        self.assertEqual(self.saved(t)["messages"][0]["content"], "日本語 é")
        self.leave(t)


if __name__ == "__main__":
    unittest.main()
