"""Whether a constraint takes a JSON value in any spelling: members in all orders, whole numbers without a point."""
import itertools
import json

from gale_library import Refusal


class Search:
    def __init__(self, constraint, most_steps):
        self.constraint, self.left = constraint, most_steps

    def take(self, state, text):
        """The state behind a text, or None."""
        self.left -= 1
        data = text.encode()
        fork = state.fork()
        if fork.accept_bytes(data) == len(data):
            return fork
        fork.close()
        return None

    def values(self, state, value):
        """All states behind the value."""
        if self.left < 0:
            return
        if isinstance(value, dict):
            yield from self.members(state, "{", value)
        elif isinstance(value, list):
            yield from self.items(state, "[", value)
        else:
            for text in spellings(value):
                if behind := self.take(state, text):
                    yield behind

    def members(self, state, before, left):
        if not left:
            if behind := self.take(state, before.strip(", ") + "}"):
                yield behind
            return
        behind_first = []
        for name in left:
            if taken := self.take(state, before + json.dumps(name, ensure_ascii=False) + ": "):
                rest = {k: v for k, v in left.items() if k != name}
                behind_first += [(behind, rest) for behind in itertools.islice(self.values(taken, left[name]), 1)]
        # First where the most of the others may still follow.
        for behind, rest in sorted(behind_first, key=lambda pair: -self.open_names(*pair)):
            yield from self.members(behind, ", ", rest)

    def open_names(self, state, left):
        return sum(self.take(state, ", " + json.dumps(name, ensure_ascii=False) + ": ") is not None for name in left)

    def items(self, state, before, left):
        if not left:
            if behind := self.take(state, before.strip(", ") + "]"):
                yield behind
            return
        if bracket := self.take(state, before):
            for behind in self.values(bracket, left[0]):
                yield from self.items(behind, ", ", left[1:])

    def found(self, value):
        beginning = self.constraint.begin()
        try:
            found = any(state.complete() for state in self.values(beginning, value))
        except Refusal:  # what the search takes is too much for the constraint
            found = False
        beginning.close()
        return found


def spellings(value):
    if isinstance(value, str):
        texts = [json.dumps(value, ensure_ascii=False), json.dumps(value)]
        return [t for t in texts if t.isascii() or not any(0xD800 <= ord(c) < 0xE000 for c in t)]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return [str(int(value)), json.dumps(value)]
    return [json.dumps(value)]


def taken_in_some_order(constraint, value, most_steps=20000):
    """States that were passed are given back when their constraint's memory is; constraints here are short-lived."""
    return Search(constraint, most_steps).found(value)
