"""Random constraints, and what else knows whether a text satisfies one: jsonschema for schemas, PCRE2 for regular
expressions (libpcre2-8 by ctypes), and an Earley parser for GBNF, which is written here. Texts are str."""
import ctypes
import ctypes.util
import decimal
import json
import re

decimal.getcontext().prec = 2000  # 1e999 is a number like others

# ---- Schemas ----

WORDS = ["a", "ab", "b", "name", "id", "été", "x y", '"', "中", "\\n"]
FORMATS = ["date-time", "date", "time", "email", "hostname", "ipv4", "ipv6", "uuid"]
PATTERNS = ["^[a-z]+$", "a|b", "^\\d{2,4}", "[A-F]$", "^(x|yy)*$", "é"]


def random_scalar(rng):
    return rng.choice([None, True, False, 0, -3, 7.5, 12, "a", "ab", "", "中\n"])


def random_string(rng):
    schema = {"type": "string"}
    if rng.random() < 0.4:
        schema["maxLength"] = rng.randrange(2, 12)
    if rng.random() < 0.3:
        schema["minLength"] = rng.randrange(1, schema.get("maxLength", 4))
    if rng.random() < 0.3 and len(schema) == 1:
        schema["pattern" if rng.random() < 0.6 else "format"] = ""
        schema["pattern" if "pattern" in schema else "format"] = rng.choice(PATTERNS if "pattern" in schema else FORMATS)
    return schema


def random_number(rng):
    schema = {"type": rng.choice(["integer", "number"])}
    low = rng.randrange(-2000, 2000) / (1 if schema["type"] == "integer" else 8)
    if rng.random() < 0.5:
        schema[rng.choice(["minimum", "exclusiveMinimum"])] = low
    if rng.random() < 0.5:
        schema[rng.choice(["maximum", "exclusiveMaximum"])] = low + rng.randrange(2, 5000)
    if rng.random() < 0.15:
        schema["multipleOf"] = rng.choice([2, 5, 0.5]) if schema["type"] == "number" else rng.choice([2, 3, 10])
    return schema


def random_array(rng, depth):
    schema = {"type": "array"}
    if rng.random() < 0.7:
        schema["items"] = random_schema(rng, depth - 1)
    if rng.random() < 0.3:
        schema["prefixItems"] = [random_schema(rng, depth - 1) for _ in range(rng.randrange(1, 3))]
    schema["maxItems"] = rng.randrange(2, 5)
    if rng.random() < 0.4:
        schema["minItems"] = rng.randrange(1, 3)
    if rng.random() < 0.1:
        schema = {"type": "array", "items": {"enum": [1, 2, "x"]}, "uniqueItems": True}
    if rng.random() < 0.1:
        schema = {"type": "array", "contains": {"const": 1}, "maxItems": 4, "items": {"type": "integer"}}
    return schema


def random_object(rng, depth):
    names = rng.sample(WORDS, rng.randrange(1, 5))
    schema = {"type": "object", "properties": {n: random_schema(rng, depth - 1) for n in names}}
    schema["required"] = rng.sample(names, rng.randrange(len(names) + 1))
    more = rng.random()
    if more < 0.5:
        schema["additionalProperties"] = False
    elif more < 0.7:
        schema["additionalProperties"] = random_scalar_schema(rng)
    elif more < 0.8:
        return {"type": "object", "additionalProperties": random_schema(rng, depth - 1), "minProperties": 1,
                "maxProperties": rng.randrange(1, 4)}  # fmt: skip
    elif more < 0.9:
        schema["patternProperties"] = {"^q": random_scalar_schema(rng)}
        schema["additionalProperties"] = False
    if rng.random() < 0.1 and len(names) > 1:
        schema["dependentRequired"] = {names[0]: [names[1]]}
    return schema


def random_scalar_schema(rng):
    kind = rng.randrange(5)
    if kind == 0:
        return {"enum": [random_scalar(rng) for _ in range(rng.randrange(1, 4))]}
    if kind == 1:
        return {"const": random_scalar(rng)}
    if kind == 2:
        return random_number(rng)
    return random_string(rng) if kind == 3 else {"type": rng.choice(["boolean", "null"])}


def random_schema(rng, depth=3):
    kind = rng.random()
    if depth == 0 or kind < 0.45:
        return random_scalar_schema(rng)
    if kind < 0.6:
        return random_array(rng, depth)
    if kind < 0.85:
        return random_object(rng, depth)
    if kind < 0.93:
        return {"anyOf": [random_schema(rng, depth - 1) for _ in range(rng.randrange(2, 4))]}
    if kind < 0.96:
        return {"oneOf": [random_number(rng), random_number(rng), random_string(rng)]}
    return {"allOf": [random_string(rng), {"minLength": 1}, {"not": {"const": "a"}}]}


NUMBER = (int, decimal.Decimal)


def same(a, b):
    """Equality of JSON, where true is not 1."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b and (type(a) in NUMBER) == (type(b) in NUMBER)


def has_type(value, name):
    number = type(value) in NUMBER
    return {"integer": number and value % 1 == 0, "number": number, "string": isinstance(value, str), "null": value is None,
            "boolean": isinstance(value, bool), "array": isinstance(value, list), "object": isinstance(value, dict)}[name]  # fmt: skip


NUMBERS = {"minimum": lambda v, x: v >= x, "exclusiveMinimum": lambda v, x: v > x, "maximum": lambda v, x: v <= x,
           "exclusiveMaximum": lambda v, x: v < x, "multipleOf": lambda v, x: v % x == 0}  # fmt: skip
STRINGS = {"minLength": lambda v, n: len(v) >= n, "maxLength": lambda v, n: len(v) <= n,
           "pattern": lambda v, p: re.search(p.replace("$", "\\Z"), v, re.ASCII) is not None, "format": lambda v, f: True}  # fmt: skip
ANY = {"type": has_type, "const": same, "enum": lambda v, each: any(same(v, e) for e in each),
       "anyOf": lambda v, each: any(satisfies(v, s) for s in each), "allOf": lambda v, each: all(satisfies(v, s) for s in each),
       "oneOf": lambda v, each: sum(satisfies(v, s) for s in each) == 1, "not": lambda v, s: not satisfies(v, s)}  # fmt: skip


def array_satisfies(value, schema):
    first = schema.get("prefixItems", [])
    rest = value[len(first) :]
    return (schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 1 << 30)
            and all(satisfies(v, s) for v, s in zip(value, first)) and all(satisfies(v, schema.get("items", True)) for v in rest)
            and ("contains" not in schema or any(satisfies(v, schema["contains"]) for v in value))
            and not (schema.get("uniqueItems") and any(same(a, b) for i, a in enumerate(value) for b in value[:i])))  # fmt: skip


def object_satisfies(value, schema):
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", 1 << 30):
        return False
    needed = list(schema.get("required", []))
    for name, others in schema.get("dependentRequired", {}).items():
        needed += others if name in value else []
    for name, v in value.items():
        of = [s for n, s in schema.get("properties", {}).items() if n == name]
        of += [s for p, s in schema.get("patternProperties", {}).items() if re.search(p, name)]
        if not all(satisfies(v, s) for s in of or [schema.get("additionalProperties", True)]):
            return False
    return all(name in value for name in needed)


def satisfies(value, schema):
    """Whether it does, by the keywords that random_schema() uses, formats apart."""
    if isinstance(schema, bool):
        return schema
    checks = dict(ANY)
    checks |= NUMBERS if has_type(value, "number") else STRINGS if isinstance(value, str) else {}
    if not all(check(value, schema[key]) for key, check in checks.items() if key in schema):
        return False
    if isinstance(value, list):
        return array_satisfies(value, schema)
    return not isinstance(value, dict) or object_satisfies(value, schema)


def exact(text):
    """A number, whole ones as int, as jsonschema knows integers."""
    number = decimal.Decimal(text)
    return int(number) if number % 1 == 0 else number


def read_json(text):
    return json.loads(text, parse_float=exact)


def schema_oracle(text):
    """By jsonschema, formats included, where that is installed, and in any case by satisfies()."""
    schema, judges = read_json(text), []
    judges.append(lambda value: satisfies(value, schema))
    try:
        import jsonschema

        kind = jsonschema.Draft202012Validator
        judges.append(kind(schema, format_checker=kind.FORMAT_CHECKER).is_valid)
    except ImportError:
        pass

    def valid(answer):
        try:
            value = read_json(answer)
        except ValueError:
            return False
        return all(judge(value) for judge in judges)

    return valid


# ---- Regular expressions ----

CLASSES = ["[a-z]", "[^a-z]", "\\d", "\\w", "\\s", "\\D", "[\\wé]", "[中-国]", ".", "[^\\d\\s]", "\\x41", "[-+]"]
LITERALS = ["a", "b", "ab", "é", "中", " ", "\\.", "-", "😀", "\\n", "x1"]


def random_regex(rng, depth=3):
    kind = rng.random()
    if depth == 0 or kind < 0.3:
        return rng.choice(LITERALS if rng.random() < 0.6 else CLASSES)
    if kind < 0.6:
        return "".join(random_regex(rng, depth - 1) for _ in range(rng.randrange(2, 4)))
    if kind < 0.75:
        return "(" + "|".join(random_regex(rng, depth - 1) for _ in range(rng.randrange(2, 4))) + ")"
    low = rng.randrange(3)
    count = rng.choice(["*", "+", "?", "+?", f"{{{low},{low + rng.randrange(1, 5)}}}", f"{{{low + 1}}}"])
    return f"(?:{random_regex(rng, depth - 1)}){count}"


class Pcre2:
    UTF, ANCHORED, ENDANCHORED = 0x00080000, 0x80000000, 0x20000000

    def __init__(self):
        name = ctypes.util.find_library("pcre2-8") or "libpcre2-8.so.0"
        self.library = library = ctypes.CDLL(name)
        library.pcre2_compile_8.restype = library.pcre2_match_data_create_8.restype = ctypes.c_void_p

    def compile(self, pattern):
        code, place, library = ctypes.c_int(), ctypes.c_size_t(), self.library
        data = pattern.encode()
        options = ctypes.c_uint32(self.UTF | self.ANCHORED | self.ENDANCHORED)
        made = library.pcre2_compile_8(data, ctypes.c_size_t(len(data)), options, ctypes.byref(code), ctypes.byref(place), None)
        if not made:
            raise ValueError(f"PCRE2 refuses {pattern!r}: error {code.value} at {place.value}")
        match = library.pcre2_match_data_create_8(ctypes.c_uint32(1), None)

        def valid(answer):
            text = answer.encode()
            result = library.pcre2_match_8(ctypes.c_void_p(made), text, ctypes.c_size_t(len(text)), ctypes.c_size_t(0),
                                           ctypes.c_uint32(0), ctypes.c_void_p(match), None)  # fmt: skip
            if result < -1:
                raise ValueError(f"PCRE2 fails on {pattern!r}: {result}")
            return result >= 0

        return valid


def regex_oracle(pattern):
    return Pcre2().compile(pattern)


# ---- Grammars ----

GRAMMARS = [
    'root ::= "(" root ")" | [a-z]+',
    'root ::= expr\nexpr ::= term ([-+*/] term)*\nterm ::= [0-9]{1,4} | "(" expr ")" # nested\n',
    'root ::= item+\nitem ::= "- " [^\\n]{1,8} "\\n"\n',
    'root ::= "a" root "a" | "b" root "b" | "c"',
    'root ::= s\ns ::= "a" s | "a" s "b" | ""',
    'root ::= .? [\\u4e00-\\u9fff]* "\\U0001F600" x{2,3}\nx ::= " a" | " ab"\n',
]


def random_element(rng, depth, rules):
    kind = rng.random()
    if kind < 0.35 or depth == 0:
        return rng.choice(['"a"', '"ab"', '"é\\n"', '"x y"', '"\\x41"', '"中"', '"\\""'])
    if kind < 0.55:
        return rng.choice(["[a-c]", "[^a-z\\n]", "[0-9é]", ".", "[\\]x-]"])
    if kind < 0.7:
        return rng.choice(rules)
    inside = "(" + random_alternatives(rng, depth - 1, rules) + ")"
    return inside + rng.choice(["", "*", "+", "?", "{2}", "{1,3}", "{0,2}"])


def random_alternatives(rng, depth, rules):
    each = [" ".join(random_element(rng, depth, rules) for _ in range(rng.randrange(1, 4)))
            for _ in range(rng.randrange(1, 4))]  # fmt: skip
    return " | ".join(each)


def random_grammar(rng):
    """Rules call later ones, or all behind a text of their own, so that none begins with itself."""
    if rng.random() < 0.1:
        return rng.choice(GRAMMARS)
    names = ["root", "r-1", "r2", "last"]
    lines = []
    for i, name in enumerate(names):
        body = random_alternatives(rng, 2, names[i + 1 :] or ['"z"'])
        if rng.random() < 0.4:
            body = f'"<" {rng.choice(names)} ">" | {body}'
        lines.append(f"{name} ::= {body}")
    return "\n".join(lines) + "\n"


class Gbnf:
    """A grammar as productions: name -> list of lists of items; an item is a name (str) or a test of one character."""

    TOKENS = re.compile(
        r'\s+|#[^\n]*|(?P<name>[A-Za-z][\w-]*)(?P<defines>\s*::=)?|"(?P<text>(?:[^"\\]|\\.)*)"'
        r"|\[(?P<class>(?:[^\]\\]|\\.)*)\]|(?P<count>\{\d+(?:,\d*)?\})|(?P<sign>[|()*+?.])", re.S)  # fmt: skip
    ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))|(.)", re.S)

    def __init__(self, text):
        self.rules, self.new = {}, 0
        tokens, at = [], 0
        while at < len(text):
            found = self.TOKENS.match(text, at)
            if not found:
                raise ValueError(f"GBNF: {text[at:at + 20]!r}")
            at = found.end()
            if found.lastgroup:
                tokens.append(found)
        self.tokens = tokens
        while self.tokens:
            name = self.tokens.pop(0)
            assert name["defines"], name
            self.rules[name["name"]] = self.alternatives()

    def characters(self, text):
        """(character, whether it was escaped), in turn."""
        named = {"n": "\n", "r": "\r", "t": "\t"}
        for m in self.ESCAPE.finditer(text):
            code = m[1] or m[2] or m[3]
            yield (chr(int(code, 16)), True) if code else (named.get(m[4], m[4]), True) if m[4] else (m[5], False)

    def character_class(self, text):
        negated = text.startswith("^")
        given = list(self.characters(text[negated:]))
        ranges, i = [], 0
        while i < len(given):
            if i + 2 < len(given) and given[i + 1] == ("-", False):
                ranges.append((given[i][0], given[i + 2][0]))
                i += 3
            else:
                ranges.append((given[i][0], given[i][0]))
                i += 1
        return lambda c: any(a <= c <= b for a, b in ranges) != negated

    def fresh(self, productions):
        self.new += 1
        name = f"({self.new})"
        self.rules[name] = productions
        return name

    def peek(self, sign):
        return bool(self.tokens) and self.tokens[0]["sign"] == sign

    def alternatives(self):
        found = [self.sequence()]
        while self.peek("|"):
            self.tokens.pop(0)
            found.append(self.sequence())
        return found

    def sequence(self):
        items = []
        while self.tokens and not self.tokens[0]["defines"] and not self.peek("|") and not self.peek(")"):
            element = self.element(self.tokens.pop(0))
            while self.tokens and (self.tokens[0]["count"] or self.tokens[0]["sign"] in ("*", "+", "?")):
                element = [self.repeated(element, self.tokens.pop(0)[0])]
            items += element
        return items

    def element(self, token):
        if token["sign"] == "(":
            inside = self.fresh(self.alternatives())
            assert self.tokens.pop(0)["sign"] == ")"
            return [inside]
        if token["sign"] == ".":
            return [lambda c: True]
        if token["class"] is not None:
            return [self.character_class(token["class"])]
        if token["text"] is not None:
            return [(lambda wanted: lambda c: c == wanted)(c) for c, _ in self.characters(token["text"])]
        return [token["name"]]

    def repeated(self, element, count):
        low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(count, (None, None))
        if low is None:
            numbers = count[1:-1].split(",")
            low = int(numbers[0])
            high = low if len(numbers) == 1 else int(numbers[1]) if numbers[1] else None
        if high is None:
            rest = self.fresh([[]])
            self.rules[rest].append([*element, rest])
            return self.fresh([element * low + [rest]])
        return self.fresh([element * n for n in range(low, high + 1)])

    def accepts(self, text):
        """Earley's recogniser; a nullable name is stepped over where it is predicted (Aycock and Horspool)."""
        nullable = self.nullable()
        sets = [{("", (("root"),), 0, 0)}]
        for i in range(len(text) + 1):
            following, work = set(), list(sets[i])
            while work:
                name, items, dot, origin = work.pop()
                new = []
                if dot == len(items):
                    for n, it, d, o in list(sets[origin]):
                        if d < len(it) and isinstance(it[d], str) and it[d] == name:
                            new.append((n, it, d + 1, o))
                elif isinstance(items[dot], str):
                    new = [(items[dot], tuple(p), 0, i) for p in self.rules[items[dot]]]
                    if items[dot] in nullable:
                        new.append((name, items, dot + 1, origin))
                elif i < len(text) and items[dot](text[i]):
                    following.add((name, items, dot + 1, origin))
                for state in new:
                    if state not in sets[i]:
                        sets[i].add(state)
                        work.append(state)
            if i < len(text):
                if not following:
                    return False
                sets.append(following)
        return ("", ("root",), 1, 0) in sets[-1]

    def nullable(self):
        found, grown = set(), True
        while grown:
            grown = False
            for name, productions in self.rules.items():
                if name not in found and any(all(i in found for i in p) for p in productions):
                    found.add(name)
                    grown = True
        return found


def grammar_oracle(text):
    return Gbnf(text).accepts
