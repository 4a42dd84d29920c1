"""The calls of gale_constraint.h by ctypes, for the scripts that compare and measure constraints."""
import ctypes
from ctypes import POINTER, byref, c_bool, c_char, c_char_p, c_int, c_int32, c_size_t, c_uint32, c_void_p

from gale_library import Error, Refusal

JSON, JSON_SCHEMA, REGEX, CHOICE, GRAMMAR = range(5)  # gale_constraint_kind


class ConstraintOptions(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("kind", c_int), ("text", c_char_p), ("length", c_size_t),
                ("choices", POINTER(c_char_p)), ("n_choices", c_size_t), ("lenient", c_bool), ("open", c_bool),
                ("any_order", c_bool)]  # fmt: skip


def call(function, *arguments):
    error = Error()
    if function(*arguments, byref(error)):
        raise Refusal(error.message.decode(errors="replace"))


class MaskTable:
    def __init__(self, library, tokenizer):
        """tokenizer: a gale_library.Tokenizer, which must stay open."""
        self.library, self.tokenizer, self.handle = library, tokenizer, c_void_p()
        library.gale_mask_table_words.restype = c_size_t
        library.gale_constraint_complete.restype = library.gale_constraint_final.restype = c_bool
        call(library.gale_mask_table_open, tokenizer.handle, byref(self.handle))
        self.words = library.gale_mask_table_words(self.handle)

    def close(self):
        self.library.gale_mask_table_close(byref(self.handle))

    def compile(self, kind, text="", lenient=False, open=False, any_order=False):
        """text: of a schema, regex or grammar; for CHOICE a list of texts."""
        options = ConstraintOptions()
        self.library.gale_constraint_defaults_sized(byref(options), c_size_t(ctypes.sizeof(options)))
        options.kind, options.lenient, options.open, options.any_order = kind, lenient, open, any_order
        if kind == CHOICE:
            options.choices = (c_char_p * len(text))(*(t.encode() for t in text))
            options.n_choices = len(text)
        else:
            options.text = text = text.encode() if isinstance(text, str) else text
            options.length = len(text)
        return Constraint(self, options)


class Constraint:
    def __init__(self, table, options):
        self.table, self.handle = table, c_void_p()
        call(table.library.gale_constraint_open, table.handle, byref(options), byref(self.handle))

    def close(self):
        self.table.library.gale_constraint_close(byref(self.handle))

    def begin(self):
        state = c_void_p()
        call(self.table.library.gale_constraint_begin, self.handle, byref(state))
        return State(self.table, state)


class State:
    def __init__(self, table, handle):
        self.table, self.library, self.handle = table, table.library, handle

    def close(self):
        self.library.gale_constraint_end(byref(self.handle))

    def fork(self):
        state = c_void_p()
        call(self.library.gale_constraint_fork, self.handle, byref(state))
        return State(self.table, state)

    def mask(self, into=None):
        """32-bit words, of which bit i % 32 of word i / 32 is token i's."""
        mask = into or (c_uint32 * self.table.words)()
        call(self.library.gale_constraint_mask, self.handle, mask)
        return mask

    def accept(self, token):
        call(self.library.gale_constraint_accept, self.handle, c_int32(token))

    def accept_bytes(self, data):
        """How many of the bytes fit."""
        taken = c_size_t()
        call(self.library.gale_constraint_accept_bytes, self.handle, data, c_size_t(len(data)), byref(taken))
        return taken.value

    def complete(self):
        return self.library.gale_constraint_complete(self.handle)

    def final(self):
        return self.library.gale_constraint_final(self.handle)

    def forced(self):
        text, n = POINTER(c_char)(), c_size_t()
        call(self.library.gale_constraint_forced, self.handle, byref(text), byref(n))
        return text[: n.value]


def tokens_of(mask, size):
    """The ids below size whose bits are set."""
    bits = int.from_bytes(bytes(mask), "little")
    found = []
    while bits:
        low = bits & -bits
        found.append(low.bit_length() - 1)
        bits ^= low
    return [i for i in found if i < size]
