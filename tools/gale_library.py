"""What the comparing scripts of this folder call of libgale.so, by ctypes. Texts are str or bytes, ids are lists."""
import ctypes
from ctypes import POINTER, byref, c_bool, c_char, c_char_p, c_int, c_int32, c_size_t, c_void_p

ARGUMENTS, CANCELLED = 3, 5  # of gale_piece_kind and gale_finish


class Error(ctypes.Structure):
    _fields_ = [("code", c_int), ("message", c_char * 512)]


class Piece(ctypes.Structure):
    _fields_ = [("kind", c_int), ("text", POINTER(c_char)), ("length", c_size_t), ("call", c_size_t), ("id", c_char_p)]


class Options(ctypes.Structure):
    """The first fields of gale_generation_options; the library takes the others at their defaults."""

    _fields_ = [("size", c_size_t), ("sampling", c_void_p), ("prompt", c_void_p), ("n_prompt", c_size_t), ("form", c_char_p)]


class Call(ctypes.Structure):
    _fields_ = [("id", c_char_p), ("name", c_char_p), ("arguments", c_char_p)]


class Refusal(Exception):
    pass


class Tokenizer:
    """A tokenizer's file. What gale refuses raises Refusal with its reason."""

    def __init__(self, library, path):
        self.library, self.handle = library, c_void_p()
        self.call("gale_tokenizer_open", str(path).encode(), byref(self.handle))

    def close(self):
        self.library.gale_tokenizer_close(byref(self.handle))

    def call(self, function, *arguments):
        error = Error()
        if getattr(self.library, function)(*arguments, byref(error)):
            raise Refusal(error.message.decode())

    def ids(self, function, *arguments):
        ids, n = POINTER(c_int32)(), c_size_t()
        self.call(function, self.handle, *arguments, byref(ids), byref(n))
        result = ids[: n.value]
        self.library.gale_free(ids)
        return result

    def encode(self, text):
        data = text.encode()
        return self.ids("gale_tokenize", data, c_size_t(len(data)), c_bool(False))

    def decode(self, ids, special=False):
        text, n = POINTER(c_char)(), c_size_t()
        array = (c_int32 * len(ids))(*ids)
        self.call("gale_detokenize", self.handle, array, c_size_t(len(ids)), c_bool(special), byref(text), byref(n))
        result = text[: n.value]
        self.library.gale_free(text)
        return result

    def chat(self, body, template=None):
        return self.ids("gale_chat_request", template and template.encode(), body, c_size_t(len(body)))

    def fill(self, prefix, suffix):
        prefix, suffix = prefix.encode(), suffix.encode()
        return self.ids("gale_fim_prompt", prefix, c_size_t(len(prefix)), suffix, c_size_t(len(suffix)))

    def template(self):
        function = self.library.gale_chat_template
        function.restype = c_char_p
        return (function(self.handle) or b"").decode()

    def stream(self, ids):
        """The texts that a client gets after each id and at the end."""
        stream, text, n, out = c_void_p(), POINTER(c_char)(), c_size_t(), []
        self.call("gale_detokenizer_open", self.handle, c_bool(False), byref(stream))
        for i in ids:
            self.call("gale_detokenizer_push", stream, c_int32(i), byref(text), byref(n))
            out.append(text[: n.value].decode())
        self.call("gale_detokenizer_finish", stream, byref(text), byref(n))
        out.append(text[: n.value].decode())
        self.library.gale_detokenizer_close(byref(stream))
        return out

    def answer(self, ids, template=None):
        """Content, thinking, calls (id, name, arguments), and the arguments of each call as they were streamed."""
        answer, options, texts, streamed = c_void_p(), Options(), ["", ""], {}
        self.library.gale_generation_defaults_sized(byref(options), c_size_t(ctypes.sizeof(options)))
        options.form = template.encode() if template else self.template().encode() or None
        next_piece = self.library.gale_generation_next
        next_piece.restype = POINTER(Piece)
        self.call("gale_generation_open", None, self.handle, byref(options), byref(answer))
        for i in [*ids, None]:
            if i is None:
                self.call("gale_generation_end", answer, c_int(CANCELLED))
            else:
                self.call("gale_generation_accept", answer, c_int32(i))
            while piece := next_piece(answer):
                piece = piece.contents
                text = piece.text[: piece.length].decode()
                if piece.kind < 2:
                    texts[piece.kind] += text
                elif piece.kind == ARGUMENTS:
                    streamed[piece.call] = streamed.get(piece.call, "") + text
        calls, n = POINTER(Call)(), c_size_t()
        self.call("gale_generation_calls", answer, byref(calls), byref(n))
        found = [tuple(t.decode() for t in (c.id, c.name, c.arguments)) for c in calls[: n.value]]
        self.library.gale_generation_close(byref(answer))
        return texts[0], texts[1], found, streamed
