"""The engines that bench/constraints.py compares, behind one interface, each in a process of its own.

Each times what a decoder would wait for: compile() from the schema's text to a state whose first mask can be asked for;
step(), the mask of a state and taking a token. All are called from Python with memory that is there already; what an
empty call of the same kind takes is measured and subtracted.
"""
import ctypes
import gc
import json
import os
import pathlib
import resource
import sys
import time
from ctypes import byref, c_bool, c_int32, c_size_t, c_uint32, c_void_p

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tools"))
import gale_constraint  # noqa: E402
import gale_library  # noqa: E402
import json_orders  # noqa: E402

clock = time.perf_counter_ns


class Refused(Exception):
    """A schema does not compile."""


class Vocabulary:
    def __init__(self, library, path):
        self.library, self.tokenizer = library, gale_library.Tokenizer(library, path)
        self.size = library.gale_tokenizer_size(self.tokenizer.handle)
        self.encode = self.tokenizer.encode
        # Behind another token, so that none stands where a text's first space may be left out.
        first = self.tokenizer.encode("a")[:1]
        skipped = len(self.tokenizer.decode(first))
        self.bytes = [self.tokenizer.decode([*first, i])[skipped:] for i in range(self.size)]
        library.gale_tokenizer_is_end.restype = c_bool
        self.ends = [i for i in range(self.size) if library.gale_tokenizer_is_end(self.tokenizer.handle, c_int32(i))]
        self.control = [i for i in range(self.size) if not self.bytes[i]]


def overhead(function, *arguments):
    """Nanoseconds of a call that does next to nothing, the clock's own included."""
    best = 1 << 40
    for _ in range(2000):
        start = clock()
        function(*arguments)
        best = min(best, clock() - start)
    return best


class Gale:
    """Members in the schema's order, and others behind them; objects are open, as the standard says."""

    options = {"open": True}

    def __init__(self, vocabulary):
        self.library = vocabulary.library
        self.table = gale_constraint.MaskTable(vocabulary.library, vocabulary.tokenizer)
        self.mask = (c_uint32 * self.table.words)()
        self.error, self.taken = gale_library.Error(), c_size_t()
        self.constraint, self.state = None, None
        self.pointer = byref(self.error)

    def compile(self, text):
        self.close()
        try:
            start = clock()
            self.constraint = self.table.compile(gale_constraint.JSON_SCHEMA, text, **self.options)
            self.beginning = self.constraint.begin()
            return clock() - start
        except gale_library.Refusal as refusal:
            raise Refused(str(refusal)) from None

    def begin(self):
        if self.state:
            self.state.close()
        self.state = self.beginning.fork()
        self.handle = self.state.handle
        self.get, self.accept = self.library.gale_constraint_mask, self.library.gale_constraint_accept

    def step(self, token):
        id = c_int32(token)
        start = clock()
        if self.get(self.handle, self.mask, self.pointer):
            raise RuntimeError(self.error.message.decode())
        allowed = self.mask[token >> 5] >> (token & 31) & 1
        if allowed and self.accept(self.handle, id, self.pointer):
            raise RuntimeError("allowed by the mask, but not taken: " + self.error.message.decode())
        return clock() - start, allowed

    def complete(self):
        return self.state.complete()

    def call_overhead(self):
        """Of two calls with three arguments."""
        self.compile("{}")
        self.begin()
        once = overhead(self.library.gale_constraint_complete, self.handle, self.mask, self.pointer)
        return 2 * once - overhead(int)

    def close(self):
        if self.state:
            self.state.close()
        if self.constraint:
            self.beginning.close()
            self.constraint.close()
        self.state = self.constraint = None


class GaleAnyOrder(Gale):
    options = {"open": True, "any_order": True}


class Llguidance:
    def __init__(self, vocabulary):
        import llguidance

        class Wrapped:
            eos_token_id, bos_token_id = vocabulary.ends[0], None
            tokens = [b or b"\xff<%d>" % i for i, b in enumerate(vocabulary.bytes)]
            special_token_ids = vocabulary.control

            def __call__(self, text):
                return vocabulary.encode(text if isinstance(text, str) else text.decode())

        self.module = llguidance
        wrapper = llguidance.TokenizerWrapper(Wrapped())
        self.tokenizer = llguidance.LLTokenizer(wrapper, n_vocab=vocabulary.size, eos_token=vocabulary.ends)
        self.mask = (c_uint32 * ((vocabulary.size + 31) // 32))()
        self.address, self.n_bytes = ctypes.addressof(self.mask), ctypes.sizeof(self.mask)

    def compile(self, text):
        start = clock()
        grammar = '{"grammars": [{"json_schema": ' + text + "}]}"
        self.beginning = self.module.LLMatcher(self.tokenizer, grammar, log_level=0)
        elapsed = clock() - start
        if self.beginning.is_error():
            raise Refused(self.beginning.get_error())
        return elapsed

    def begin(self):
        self.matcher = self.beginning.deep_copy()

    def step(self, token):
        matcher = self.matcher
        start = clock()
        matcher.unsafe_compute_mask_ptr(self.address, self.n_bytes)
        allowed = self.mask[token >> 5] >> (token & 31) & 1
        if allowed:
            matcher.consume_token(token)
        elapsed = clock() - start
        if matcher.is_error():
            raise RuntimeError(matcher.get_error())
        return elapsed, allowed

    def complete(self):
        return self.matcher.is_accepting()

    def call_overhead(self):
        self.compile("{}")
        return 2 * overhead(self.beginning.is_error) - overhead(int)


class Outlines:
    def __init__(self, vocabulary):
        import outlines_core

        self.module, self.end = outlines_core, vocabulary.ends[0]
        by_bytes = {}
        for i, token in enumerate(vocabulary.bytes):
            if token:
                by_bytes.setdefault(token, []).append(i)
        self.vocabulary = outlines_core.Vocabulary(vocabulary.ends[0], by_bytes)
        self.mask = (c_uint32 * ((vocabulary.size + 31) // 32))()
        self.address = ctypes.addressof(self.mask)

    def compile(self, text):
        start = clock()
        try:
            regex = self.module.json_schema.build_regex_from_schema(text)
            self.index = self.module.Index(regex, self.vocabulary)
        except Exception as e:
            raise Refused(str(e)) from None
        return clock() - start

    def begin(self):
        self.guide = self.module.Guide(self.index)

    def step(self, token):
        guide = self.guide
        start = clock()
        guide.write_mask_into(self.address, len(self.mask), 4)
        allowed = self.mask[token >> 5] >> (token & 31) & 1
        if allowed:
            guide.advance(token, False)
        return clock() - start, allowed

    def complete(self):
        self.guide.write_mask_into(self.address, len(self.mask), 4)
        return self.mask[self.end >> 5] >> (self.end & 31) & 1

    def call_overhead(self):
        self.compile('{"type": "boolean"}')
        self.begin()
        return 2 * overhead(self.guide.is_finished) - overhead(int)


ENGINES = {"gale": Gale, "gale-any-order": GaleAnyOrder, "llguidance": Llguidance, "outlines": Outlines}


def run_test(engine, vocabulary, test):
    """A row of [verdict, nanoseconds of each step, where it stopped]; the verdict is True, False or an error."""
    text = json.dumps(test["data"], ensure_ascii=False)
    try:
        ids = vocabulary.encode(text)
    except UnicodeEncodeError:  # half a surrogate pair, which has no bytes
        text = json.dumps(test["data"])
        ids = vocabulary.encode(text)
    steps, at = [], 0
    try:
        engine.begin()
        for id in ids:
            elapsed, allowed = engine.step(id)
            steps.append(elapsed)
            if not allowed:
                break
            at += len(vocabulary.bytes[id])
        else:
            return [bool(engine.complete()), steps, at, text]
        return [False, steps, at, text]
    except Exception as e:
        return [f"error: {e}", steps, at, text]


def note_orders(engine, data, results):
    """Of valid instances that gale refuses, whether it takes them with their members in another order."""
    for test, result in zip(data["tests"], results):
        refused = isinstance(engine, Gale) and test["valid"] and result[0] is False
        result.append(refused and json_orders.taken_in_some_order(engine.constraint, test["data"]))


def run_file(engine, vocabulary, path):
    data = json.loads(pathlib.Path(path).read_bytes())
    gc.collect()
    try:
        compiled = engine.compile(json.dumps(data["schema"], ensure_ascii=False))
    except Refused as refused:
        return {"refused": str(refused)}
    except UnicodeEncodeError:
        return {"refused": "the schema is not UTF-8"}
    results = [run_test(engine, vocabulary, t) for t in data["tests"]]
    note_orders(engine, data, results)
    return {"compile": compiled, "tests": results}


def serve(pipe, name, library, tokenizer, memory):
    """The engine's process: takes paths, gives results. memory: the most address space, or 0."""
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    os.environ["RAYON_NUM_THREADS"] = "1"
    vocabulary = Vocabulary(ctypes.CDLL(library), tokenizer)
    engine = ENGINES[name](vocabulary)
    gc.disable()
    pipe.send({"overhead": engine.call_overhead(), "size": vocabulary.size})
    while path := pipe.recv():
        pipe.send(run_file(engine, vocabulary, path))
