# SPDX-License-Identifier: Apache-2.0
"""Renders generated templates with Jinja2, set up by transformers' own code, and with ours, and
prints every difference: another text, ours where Jinja2 fails, an error of ours where it does not.

  compare_jinja.py ARCHIVE [--count N] [--seed S] [--refused] [--write GOLDEN]

ARCHIVE is libbanyan_text_ffi.a. Needs transformers, Jinja2 and a C compiler for the shared form of
the archive. --write keeps a sample, with Jinja2's answers, as a file for chat_template_test.
"""

import argparse
import ctypes
import json
import random
import signal
import subprocess
import sys
import tempfile
import warnings
from datetime import datetime

CLOCK = datetime(2024, 7, 26, 12, 34, 56)
CONTEXT = {
    "messages": [
        {"role": "system", "content": "You are <b>kind</b> & 'terse'.\n"},
        {"role": "user", "content": " Hi  there\u00a0\u00df \U0001f468\u200d\U0001f469 ", "n": 3},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "function": {"name": "f", "arguments": {"b": 1, "a": [1.0, "x\"y", None, True], "C": {}}}}]},
        {"role": "tool", "content": ["a", {"type": "text", "text": "t"}], "name": "f"},
    ],
    "tools": [{"type": "function", "function": {"name": "get", "description": "it's \"x\"\n\\d", "parameters": {
        "type": "object", "properties": {"z": {"type": "string"}, "a": {"type": ["integer", "null"]}}, "required": ["z"]}}}],
    "s": "Hello, World", "e": "", "u": "\u00c4\u00d6\u0130\u01c6 \u1e9e\ufb01 x\u0301\t\u2028z\u0660\u00b2\u2460", "m": "line one\n  line two\n\nlast\r\nx",
    "num": "  0x1F ", "p": "a-b_c d's e.f (g) {h", "h": "<a href='x'>B & C</a>",
    "w": "See (https://a.bc/d_(e)?f#g), <me@x-y.org> or www.h.com:80; ftp://i.j -- a well-known, so--called [http://[::1]:8/] http://1.2.3.4. mailto:k@l.mn",
    "i": 7, "j": -3, "z": 0, "big": 123456789012345678901234567890123456789012345, "f": 2.5, "g": -0.1, "hf": 1e16,
    "t": True, "n": None, "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "ll": [[1, 2], [3], []], "el": [], "ed": {},
    "d": {"b": 1, "a": 2, "C": 3}, "dd": {"x": {"y": [1, {"z": "deep"}]}, "items": 5, "1": "one"},
    "mix": [1, "1", 1.0, True, None, [], {}], "people": [
        {"name": "bob", "age": 30, "tag": {"k": "x"}}, {"name": "Al", "age": 25, "tag": {"k": "y"}},
        {"name": "al", "age": 30}, {"name": "Cy", "age": 4, "tag": {"k": "x"}}],
    "add_generation_prompt": True, "bos_token": "<s>",
}
NAMES = [name for name in CONTEXT if name != "messages"] + ["messages", "missing", "x", "y", "loop"]
STRINGS = ["", " ", "a", "b", "l", "o", "Hello", ", ", "\\n", "<b>&</b>", "%s|%d", "%5.2f", "{} {}", "{0!r:>8}", "abc", "key",
           "value", "name", "age", "tag.k", "x", "0", "1.5", "-7", "1e3", "\\u00e9", "ab\\nc", "\\t", "it\\'s", "%Y-%m-%d"]
FILTERS = ["abs", "attr", "batch", "capitalize", "center", "count", "default", "d", "dictsort", "e", "escape", "filesizeformat",
           "first", "float", "forceescape", "format", "groupby", "indent", "int", "items", "join", "last", "length", "list", "lower", "map",
           "max", "min", "reject", "rejectattr", "replace", "reverse", "round", "safe", "select", "selectattr", "slice", "sort",
           "string", "striptags", "sum", "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode", "wordcount", "wordwrap", "pprint",
           "xmlattr", "urlize"]
ARGUMENTS = {  # (positional maker, keyword maker) pairs by name; {} stands for a random expression of the kind
    "attr": ["'name'", "'upper'", "'a'"], "batch": ["2", "3,'-'", "linecount=2", "0"], "center": ["9", "width=20", ""],
    "default": ["'D'", "'D',true", "", "default_value='q',boolean=true", "n,t"], "d": ["'D'", "1,true"],
    "dictsort": ["", "true", "false,'value'", "by='value'", "reverse=true", "by='x'"], "filesizeformat": ["", "true"],
    "first": [""], "float": ["", "9.5", "default=none"], "format": ["1", "1,2", "'a','b'", "s", "name='x'", "f", "l", "d", "(1,2)"],
    "groupby": ["'age'", "'tag.k'", "'name'", "attribute='name',case_sensitive=true", "'tag.k',default='none'", "0"],
    "indent": ["", "2", "2,true", "width=3,first=true,blank=true", "'> '", "first=true"],
    "int": ["", "5", "0,16", "base=2", "default=-1,base=8", "0,0"], "join": ["", "', '", "d='-'", "',',attribute='name'", "attribute='age'", "1"],
    "map": ["'upper'", "'length'", "attribute='name'", "attribute='tag.k',default='q'", "'string'", "'int',5", "'replace','a','b'", "'first'", "'tojson'", "attribute=0", "'trim'", "'default','z'", "'items'", ""],
    "max": ["", "attribute='age'", "true"], "min": ["", "attribute='name'", "case_sensitive=true"],
    "reject": ["", "'odd'", "'none'", "'string'", "'equalto',1", "'in',[1,2]"], "select": ["", "'even'", "'defined'", "'number'", "'ne',1", "'>',1", "'mapping'"],
    "selectattr": ["'name'", "'age','equalto',30", "'tag.k','eq','x'", "'tag','defined'", "'role','in',['user','tool']", "'age','>',5", ""],
    "rejectattr": ["'name'", "'age','equalto',30", "'tag','undefined'", "'content','none'"],
    "replace": ["'l','L'", "'o','0',1", "'','-'", "'a',1", "old='l',new='_'", "'l','<>'", "'l','x',count=2"], "round": ["", "1", "2,'floor'", "method='ceil'", "-1", "0,'x'"],
    "slice": ["2", "3,'f'", "0"], "sort": ["", "true", "reverse=true", "attribute='name'", "attribute='age,name'", "case_sensitive=true", "false,true,'age'"],
    "sum": ["", "'age'", "attribute='age',start=10", "start=1.5", "start=[]"],
    "tojson": ["", "indent=2", "4", "ensure_ascii=true", "separators=(',',':')", "sort_keys=true", "true,2", "indent=0", "indent='\\t'", "indent=2,separators=(',',':')", "indent=none", "false,none,none,true"],
    "trim": ["", "'H'", "chars=' '", "'dlo'", "none"], "truncate": ["5", "5,true", "5,false,'..'", "5,true,'',0", "", "leeway=0,length=9"],
    "unique": ["", "true", "attribute='name'", "attribute='age'"], "wordwrap": ["5", "8,false", "10,true,'|'", "", "width=6,break_on_hyphens=false"],
    "xmlattr": ["", "false"], "pprint": [""], "urlencode": [""],
    "urlize": ["", "5", "nofollow=true", "9,true,'_blank'", "rel='a b'", "extra_schemes=['ftp:']", "-3"],
}
KINDS = {  # what a filter or method is mostly given, so that most templates render
    "str": ["s", "u", "p", "m", "h", "w", "e", "num", "'Hello'", "'a,b c'", "'<i>x</i>'|safe", "h|e", "messages[1].content", "x", "'it\\'s \"q\"'", "'aXbX'"],
    "num": ["i", "j", "z", "f", "g", "hf", "big", "t", "0", "1.5", "-2", "'12'", "2.675", "1e22", "x", "'0b11'"],
    "list": ["l", "ls", "ll", "el", "mix", "people", "messages", "tools", "(1,'a')", "range(4)", "s", "d.items()", "ls|map('upper')", "x"],
    "people": ["people", "messages", "[people[0]]", "d.items()", "tools"],
    "dict": ["d", "ed", "dd", "messages[0]", "tools[0]", "people[0]", "{'a': none, 1: 2.5, 'k': {'z': [True]}}", "x"],
}
KIND_OF = {name: kind for kind, names in {
    "str": "capitalize center e escape forceescape format indent lower replace safe striptags string title trim truncate upper urlencode urlize wordcount wordwrap int float",
    "num": "abs round filesizeformat", "people": "selectattr rejectattr groupby", "dict": "dictsort items pprint tojson urlencode xmlattr",
    "list": "batch first join last length count list map max min reject reverse select slice sort sum unique tojson"}.items() for name in names.split()}
TESTS = ["boolean", "callable", "defined", "divisibleby 2", "divisibleby(z)", "eq 1", "escaped", "even", "false", "filter", "float", "ge 2", "gt 1", "in l",
         "in 'Hello'", "in d", "integer", "iterable", "le 3", "lower", "lt 3", "mapping", "ne 1", "none", "number", "odd", "sameas true",
         "sameas none", "sequence", "string", "test", "true", "undefined", "upper", "equalto 'x'", "== 1", "in [1, 'a']", "not none", "not string", "not defined"]
METHODS = {
    "str": ["upper()", "lower()", "title()", "capitalize()", "swapcase()", "casefold()", "strip()", "strip('Hd')", "lstrip()", "rstrip('\\n')", "lstrip('H')", "split()",
            "split(',')", "split(' ', 1)", "split(maxsplit=1)", "split(none, 1)", "split('l', maxsplit=1)", "split(sep='o')", "split('')", "rsplit(' ',1)", "rsplit('o')", "rsplit(maxsplit=1)", "splitlines()", "splitlines(true)",
            "startswith('H')", "startswith(('x','H'))", "endswith('d')", "startswith('e',1)", "endswith(('d',),0,3)", "replace('l','L')", "replace('l','L',1)", "replace('','-')",
            "find('o')", "find('o',5)", "rfind('o')", "index('o')", "index('zz')", "count('l')", "count('')", "join(ls)", "join(l)", "join(d)", "zfill(20)", "center(20)", "center(21,'*')",
            "ljust(15,'.')", "rjust(15)", "format(1,2)", "format('a', b=2)", "format(s, i)", "removeprefix('He')", "removesuffix('ld')", "isdigit()", "isalpha()", "isspace()", "isupper()", "islower()", "istitle()",
            "isalnum()", "isnumeric()", "isdecimal()", "isidentifier()", "isascii()", "isprintable()", "partition(',')", "rpartition('o')", "partition('zz')", "expandtabs(4)", "encode()", "encode('utf-8')", "translate({})", "format_map(d)", "length", "foo", "foo()"],
    "list": ["index(1)", "index('a')", "count(1)", "append(1)", "pop()", "copy()", "reverse()", "sort()", "0", "-1", "foo", "insert(0,1)", "extend([1])"],
    "dict": ["get('a')", "get('zz')", "get('zz', 'D')", "items()", "keys()", "values()", "items()|list", "copy()", "update({})", "pop('a')", "a", "b", "items", "name", "setdefault('q',1)", "foo"],
    "num": ["bit_length()", "real", "is_integer()", "foo", "as_integer_ratio()", "conjugate()", "imag", "hex()"],
}
# Not **: Python computes any power, however long that takes.
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]


class Maker:
    """Random expressions and templates; `depth` is what is left."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.names = []

    def pick(self, items):
        return self.random.choice(items)

    def chance(self, share):
        return self.random.random() < share

    def atom(self):
        roll = self.random.random()
        if roll < 0.5:
            return self.pick(NAMES + self.names * 8)
        if roll < 0.65:
            return "'" + self.pick(STRINGS) + "'"
        if roll < 0.78:
            return self.pick(["0", "1", "2", "3", "-1", "10", "1.5", "0.1", "1e20", "100", "1_000", "2.0", "1e-7", "0.30000000000000004"])
        if roll < 0.84:
            return self.pick(["true", "false", "none", "True", "None"])
        if roll < 0.93:
            return self.pick(["[]", "{}", "()", "(1,)", "[1, 'a', none]", "('a', 2.0)", "{'a': 1, 'b': [true]}", "{1: 'x', none: 2}", "[[1, 2], [3, 4]]",
                              "range(3)", "range(1, 10, 3)", "dict(a=1, b='x')", "namespace(v=1)", "[(1, 'x'), (2, 'y')]", "{'k': {'j': \"it's\"}}"])
        return self.pick(["messages[0]", "messages[1].content", "messages[2].tool_calls[0].function.arguments", "messages[-1]['content']", "people[0].tag",
                          "people|length", "loop.index", "strftime_now('%d %b %Y')", "tools[0]", "'<i>'|safe", "h|e"])

    def expression(self, depth):
        if depth <= 0:
            return self.atom()
        roll = self.random.random()
        sub = lambda: self.expression(depth - 1)
        if roll < 0.12:
            return self.atom()
        if roll < 0.40:
            name = self.pick(FILTERS)
            arguments = self.pick(ARGUMENTS.get(name, [""]))
            if self.chance(0.7):
                return f"{self.wrap(self.pick(KINDS[KIND_OF.get(name, 'str')]))}|{name}" + (f"({arguments})" if arguments else "")
            if self.chance(0.05):
                arguments = sub()
            return f"{self.wrap(sub())}|{name}" + (f"({arguments})" if arguments or self.chance(0.1) else "")
        if roll < 0.52:
            kind = self.pick(["str", "str", "str", "list", "dict", "num"])
            value = self.pick(KINDS[kind]) if self.chance(0.7) else sub()
            return f"{self.wrap(value)}.{self.pick(METHODS[kind])}"
        if roll < 0.60:
            return f"{self.wrap(sub())} is {self.pick(TESTS)}"
        if roll < 0.76:
            if self.chance(0.6):
                kind = self.pick(["num", "num", "str", "list"])
                return f"{self.wrap(self.pick(KINDS[kind]))} {self.pick(OPERATORS)} {self.wrap(self.pick(KINDS[kind]))}"
            return f"{self.wrap(sub())} {self.pick(OPERATORS)} {self.wrap(sub())}"
        if roll < 0.80:
            return f"{self.pick(['not ', '-', '+'])}{self.wrap(sub())}"
        if roll < 0.85:
            return f"({sub()} if {sub()}" + (f" else {sub()})" if self.chance(0.6) else ")")
        if roll < 0.93:
            part = self.pick(["0", "-1", "1", "'a'", "'name'", "1:", ":2", "::-1", "-2:", "1:3", "::2", "5:1:-2", "-1:-4:-1", ":", "n", "'zz'", "99", "i", ":j", "'items'", "::0"])
            return f"{self.wrap(sub())}[{part}]"
        if roll < 0.96:
            return f"{self.wrap(sub())} {self.pick(['<', '==', '<='])} {self.wrap(sub())} {self.pick(['<', '!=', 'in'])} {self.wrap(sub())}"
        return self.pick([f"[{sub()}, {sub()}]", f"({sub()}, {sub()})", "{'k': " + sub() + "}"])

    def wrap(self, text):
        plain = text.replace("_", "").isalnum()
        return text if plain and self.chance(0.9) else f"({text})" if self.chance(0.75) else text

    def tag(self, inner):
        return "{%" + self.pick(["", "", "-", "+"]) + f" {inner} " + self.pick(["", "", "", "-", "+"]) + "%}"

    def data(self):
        return self.pick(["", " ", "\n", "a", " b ", "\n  ", "  \n", "x\n\n", "\t", "|", "{# c #}", "  {#- c -#}  \n", "{% raw %}{{ r }}{% endraw %}"])

    def body(self, depth, loop=False):
        return "".join(self.statement(depth, loop) for _ in range(self.random.randint(1, 3)))

    def statement(self, depth, loop=False):
        roll = self.random.random()
        if depth <= 0 or roll < 0.40:
            value = self.expression(self.random.randint(0, 2))
            return self.data() + "{{" + self.pick(["", "-", " "]) + f" {value} " + self.pick(["", "-"]) + "}}" + self.data()
        new = self.pick(["x", "y", "v", "s"])
        if roll < 0.52:
            self.names.append(new)
            return self.tag(f"set {new} = {self.expression(1)}") + self.data()
        if roll < 0.66:
            out = self.tag(f"if {self.expression(1)}") + self.body(depth - 1, loop)
            if self.chance(0.3):
                out += self.tag(f"elif {self.expression(1)}") + self.body(depth - 1, loop)
            if self.chance(0.4):
                out += self.tag("else") + self.body(depth - 1, loop)
            return out + self.tag("endif")
        if roll < 0.82:
            target = self.pick(["x", "x", "y", "v", "x, y", "k, v", "m"])
            iterable = self.pick(["l", "ls", "messages", "d.items()", "range(3)", "d|dictsort", "people", "el", "s", "d", "ll", "people|groupby('age')", self.expression(1)])
            condition = f" if {self.expression(1)}" if self.chance(0.2) else ""
            self.names.extend(target.split(", "))
            inner = self.body(depth - 1, True)
            extra = self.pick(["", "{{ loop.index }}{{ loop.last }}", "{{ loop.previtem }}/{{ loop.nextitem is defined }}", "{{ loop.cycle('a','b') }}{{ loop.changed(x) }}",
                               "{{ loop.depth }}{{ loop.revindex0 }}{{ loop.length }}{{ loop.first }}", self.tag("break"), "{% if loop.index0 == 1 %}{% continue %}{% endif %}", "{% if loop.index == 2 %}{% break %}{% endif %}"])
            otherwise = self.tag("else") + self.body(depth - 1) if self.chance(0.15) else ""
            return self.tag(f"for {target} in {iterable}{condition}") + extra + inner + otherwise + self.tag("endfor")
        if roll < 0.87:
            name = self.pick(["f", "mac"])
            signature = self.pick(["", "x", "x, y=2", "x='d', y=x", "a, b=none"])
            use = self.pick(["()", "(1)", "('q', y=3)", "(x=1)", "(1, 2, 3)", "(y=1, x=s)", "(*l)", "(**d)"])
            extra = self.pick(["", "", "{{ varargs }}", "{{ kwargs }}", "{{ caller() }}", "{{ caller is defined }}"])
            out = self.tag(f"macro {name}({signature})") + extra + self.body(depth - 1) + self.tag("endmacro")
            return out + self.pick(["{{ " + name + use + " }}", "{{ " + name + use + "|upper }}", self.tag(f"call {name}{use}") + self.data() + self.tag("endcall")])
        if roll < 0.91:
            self.names.append(new)
            return self.tag(f"set {new}" + self.pick(["", " | trim", " | upper | replace('A','b')"])) + self.body(depth - 1) + self.tag("endset") + "{{ " + new + " }}"
        if roll < 0.94:
            return self.tag("set ns = namespace(v=0, w='')") + self.tag("for q in l") + self.tag(f"set ns.{self.pick(['v', 'w', 'u'])} = {self.pick(['ns.v + q', 'ns.w ~ q', self.expression(1)])}") + self.tag("endfor") + "{{ ns.v }}{{ ns.w }}{{ ns.u }}"
        if roll < 0.96:
            return self.tag(f"with x = {self.expression(1)}, y = {self.expression(1)}") + self.body(depth - 1, loop) + self.tag("endwith")
        if roll < 0.98:
            return self.tag(self.pick(["filter upper", "filter trim", "filter indent(2)", "generation", "filter e"]))  + self.body(depth - 1) + "{% endX %}"
        return self.pick(["{% break %}", "{% for x in ll recursive %}[{{ x if x is not iterable else loop(x) }}]{% endfor %}", "{% for x in dd.x.y %}{{ x }}{% else %}E{% endfor %}{{ x }}",
                          "{{ raise_exception('no') }}", "{% if missing.foo %}{% endif %}", "{{ missing.foo.bar }}", "{% set x, y = 1, [2] %}{{ x }}{{ y }}", "{{ (1, 2)[0] }}{{ cycler('a','b').next() }}",
                          "{% set j2 = joiner('; ') %}{% for x in l %}{{ j2() }}{{ x }}{% endfor %}", "{{ s.upper }}", "{{ range }}", "{{ 7.0 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** -1 }} {{ 7 / 2 }}"])

    def template(self):
        self.names = []
        out = self.body(self.random.randint(1, 3))
        return self.close(out)

    def close(self, text):
        """Fits the {% endX %} to its opening tag."""
        while "{% endX %}" in text:
            at = text.index("{% endX %}")
            opened = max(text.rfind("filter ", 0, at), text.rfind(" generation ", 0, at))
            kind = "generation" if text[opened:].startswith(" generation ") else "filter"
            text = text[:at] + "{% end" + kind + " %}" + text[at + 10:]
        return text


class Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.POINTER(ctypes.c_uint8)), ("size", ctypes.c_size_t), ("capacity", ctypes.c_size_t)]


class Ours:
    def __init__(self, archive):
        self.folder = tempfile.TemporaryDirectory()
        library = self.folder.name + "/text.so"
        subprocess.run(["cc", "-shared", "-o", library, "-Wl,--whole-archive", archive, "-Wl,--no-whole-archive",
                        "-lpthread", "-ldl", "-lm"], check=True)
        self.library = ctypes.CDLL(library)

    def take(self, buffer):
        text = ctypes.string_at(buffer.data, buffer.size)
        self.library.bt_buffer_free(buffer)
        return text.decode("utf-8", "surrogatepass")

    def render(self, source, variables):
        seconds = int((CLOCK - datetime(1970, 1, 1)).total_seconds())
        source, variables = source.encode("utf-8", "surrogatepass"), variables.encode()
        template, text, error = ctypes.c_void_p(), Buffer(), Buffer()
        if self.library.bt_template_new(source, ctypes.c_size_t(len(source)), ctypes.byref(template), ctypes.byref(error)):
            return None, self.take(error)
        failed = self.library.bt_template_render(template, variables, ctypes.c_size_t(len(variables)), b"", ctypes.c_size_t(0),
                                                 ctypes.c_int64(seconds), ctypes.byref(text), ctypes.byref(error))
        self.library.bt_template_free(template)
        return (None, self.take(error)) if failed else (self.take(text), None)


def oracle():
    import transformers.utils.chat_template_utils as utils

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return CLOCK

    utils.datetime = Clock
    compiled = getattr(utils, "_cached_compile_jinja_template", utils._compile_jinja_template)
    compiled = getattr(compiled, "__wrapped__", compiled)

    def render(source, variables):
        signal.alarm(2)
        try:
            text = compiled(source).render(**json.loads(variables))
            text.encode()
            return text, None
        except Exception as error:  # whatever a template can raise
            return None, f"{type(error).__name__}: {error}"
        finally:
            signal.alarm(0)

    return render


def has_address(text):
    return " at 0x" in text.lower() or " object at " in text or "generator object" in text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("archive")
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--refused", action="store_true", help="print what only we refuse, too")
    parser.add_argument("--show", type=int, default=40)
    parser.add_argument("--write")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of Python's compiler, about the templates

    def too_long(signum, frame):
        raise TimeoutError("too long")

    signal.signal(signal.SIGALRM, too_long)
    ours, theirs, maker = Ours(options.archive), oracle(), Maker(options.seed)
    variables = json.dumps(CONTEXT)
    counts = {"equal": 0, "both fail": 0, "text": 0, "only Jinja2 fails": 0, "only ours fails": 0}
    refused, shown, sample = {}, 0, []
    for _ in range(options.count):
        source = maker.template()
        expected, failure = theirs(source, variables)
        if expected is not None and has_address(expected):
            expected, failure = None, "an address"
        text, error = ours.render(source, variables)
        if expected == text:
            kind = "both fail" if text is None else "equal"
        else:
            kind = "only Jinja2 fails" if expected is None else "only ours fails" if text is None else "text"
        counts[kind] += 1
        if kind == "equal" and len(source) < 300:
            sample.append({"template": source, "text": text})
        if kind == "only ours fails":
            refused.setdefault(error.split("(line")[0][:60], []).append(source)
        if kind in ("text", "only Jinja2 fails") and shown < options.show:
            shown += 1
            print(f"--- {kind}\n{source!r}\n  Jinja2: {expected if expected is None else expected[:600]!r} {failure or ''}\n  ours:   {text if text is None else text[:600]!r} {error or ''}")
    if options.refused:
        for message, sources in sorted(refused.items(), key=lambda entry: -len(entry[1])):
            print(f"--- refused {len(sources)}: {message}\n   {min(sources, key=len)!r}")
    if options.write:
        sample = [case for case in sample if len(case["template"]) < 220 and len(case["text"]) < 400 and "{" in case["template"]]
        sample = random.Random(1).sample(sample, min(450, len(sample)))
        # The context as a text: a reader may not have integers of any size.
        with open(options.write, "w") as out:
            json.dump({"context": variables, "now": CLOCK.isoformat(), "cases": sample}, out, indent=0)
            out.write("\n")
    print(counts)
    return counts["text"] + counts["only Jinja2 fails"] > 0


if __name__ == "__main__":
    sys.exit(main())
