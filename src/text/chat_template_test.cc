// SPDX-License-Identifier: Apache-2.0
#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "text/model_files.h"

namespace banyan::text {
namespace {

const std::string kTemplates = std::string(BANYAN_SOURCE_DIR) + "/../shared/data/chat_templates";
constexpr int64_t kNow = 1721997296;  // 2024-07-26T12:34:56

std::string Render(std::string_view source, std::string_view variables = "{}") {
  auto compiled = ChatTemplate::Compile(source);
  if (!compiled.ok()) return "error: " + Message(compiled.status());
  auto text = (*compiled)->RenderJson(variables, {}, kNow);
  return text.ok() ? *text : "error: " + Message(text.status());
}

struct Case {
  const char* source;
  const char* expected;
};

// What Jinja2 3.1 under CPython 3.11 prints.
const Case kCases[] = {
    // Python's string forms.
    {"{{ true }} {{ none }} {{ 1.0 }} {{ 1e20 }} {{ 1e-5 }} {{ -0.0 }} {{ 1e16 }}",
     "True None 1.0 1e+20 1e-05 -0.0 1e+16"},
    {"{{ [1, 'a', none, true, 1.5, (1,), {'k': 'it\\'s'}] }}",
     "[1, 'a', None, True, 1.5, (1,), {'k': \"it's\"}]"},
    {"{{ 'a' ~ true ~ none ~ [1] }}", "aTrueNone[1]"},
    {"{{ {'a': 1}.items() }} {{ range(3) }}", "dict_items([('a', 1)]) range(0, 3)"},
    {"{{ ['\\u200b\\n\\x01é'] }}", "['\\u200b\\n\\x01é']"},
    {"{{ 123456789012345678901234567890 }}", "123456789012345678901234567890"},
    // Arithmetic.
    {"{{ 7 // -2 }} {{ 7 % -2 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 7.5 // 2 }}",
     "-4 -1 3.5 1024 0.5 3.0"},
    {"{{ 'ab' * 2 }} {{ [1] * 2 }} {{ [1] + [2] }} {{ '%s-%05.1f' % ('x', 2.25) }}",
     "abab [1, 1] [1, 2] x-002.2"},
    {"{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' in 'abc' }} {{ 1 not in [2] }}",
     "True True True True True"},
    {"{{ 1 + 'a' }}", "error: chat template: unsupported operand type(s) for +: 'int' and 'str'"},
    // White space control.
    {"  {% if true %}\n  x\n  {% endif %}\ny\n", "  x\ny"},
    {"a {%- if true -%} b {%+ endif %} c", "ab  c"},
    {"{# c #}\nx{% raw %}{{ y }}{% endraw %}", "x{{ y }}"},
    // Undefined values.
    {"[{{ x }}][{{ x is defined }}][{{ x|default('d') }}][{{ x|length }}]", "[][False][d][0]"},
    {"{{ x.y }}", "error: chat template: 'x' is undefined"},
    {"{{ {}.x }}|{{ {}.x.y }}", "error: chat template: 'dict object' has no attribute 'x'"},
    {"{{ 1 if false }}|", "|"},
    // Loops, scopes, namespaces, macros.
    {"{% for x in [1,2,3] if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }}"
     "{{ ',' if not loop.last }}{% else %}none{% endfor %}",
     "1/2:2,2/2:3"},
    {"{% for x in [1,2,3] %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}"
     "{% if x == 3 %}{% break %}{% endif %}{% endfor %}",
     "13"},
    {"{% set a = 1 %}{% for x in [1] %}{% set a = 2 %}{% endfor %}{{ a }}", "1"},
    {"{% set n = namespace(a=1) %}{% for x in [1] %}{% set n.a = 2 %}{% endfor %}{{ n.a }}", "2"},
    {"{% macro f(a, b='x') %}{{ a }}{{ b }}{{ kwargs }}{{ varargs }}{% endmacro %}"
     "{{ f(1, 2, 3, c=4) }}",
     "12{'c': 4}(3,)"},
    {"{% macro f() %}<{{ caller('z') }}>{% endmacro %}{% call(x) f() %}{{ x }}{% endcall %}",
     "<z>"},
    {"{% for x in [1, [2, [3]]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}"
     "{% endif %}{% endfor %}",
     "1(2(3))"},
    {"{% set x %}a{{ 1 }}{% endset %}{{ x|upper }}{% filter upper %}b{% endfilter %}", "A1B"},
    {"{% generation %}x{% endgeneration %}", "x"},
    // Filters and methods.
    {"{{ {'b': [1, 'é\\n'], 'a': 1.0}|tojson }}", R"({"b": [1, "é\n"], "a": 1.0})"},
    {"{{ {'a': [1, {}]}|tojson(indent=2) }}", "{\n  \"a\": [\n    1,\n    {}\n  ]\n}"},
    {"{{ [3, 1, 2]|sort|join('-') }} {{ ['b', 'A']|sort|join }} {{ {'b': 1, 'a': 2}|dictsort }}",
     "1-2-3 Ab [('a', 2), ('b', 1)]"},
    {"{{ 2.5|round }} {{ 2.675|round(2) }} {{ 3.7|int }} {{ '12'|int + 1 }} {{ 'x'|int(5) }}",
     "2.0 2.67 3 13 5"},
    {"{{ none|selectattr('a')|list }}{{ [{'a': 1}, {}]|map(attribute='a', default=0)|list }}",
     "[][1, 0]"},
    {"{{ ' a b '.strip().split() }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'hello world'.title() }}",
     "['a', 'b'] ['a,b', 'c'] Hello World"},
    {"{{ 'abc'[::-1] }} {{ [1,2,3][-2:] }} {{ 'abc'[5] is defined }}", "cba [2, 3] False"},
    {"{{ '<b>'|safe ~ '<i>' }} {{ '<b>'|e }} {{ ('<b>'|safe) + '<i>' }}",
     "<b><i> &lt;b&gt; <b>&lt;i&gt;"},
    {"{{ '{:>5}|{!r}|{a:.2f}'.format('x', 'y', a=1.005) }}", "    x|'y'|1.00"},
    // Letters beyond ASCII.
    {"{{ 'हिन्दी'.isalpha() }} {{ 'ⓐ'.isalpha() }} {{ 'Ⅷ'.isalpha() }} {{ 'é中'.isalpha() }} "
     "{{ '½a'.isalnum() }} {{ 'ⓐ'.isalnum() }}",
     "False False False True True False"},
    {"{{ '²'.isdigit() }} {{ '²'.isdecimal() }} {{ '٣'.isdecimal() }} {{ 'Ⅷ'.isdigit() }} "
     "{{ 'Ⅷ½'.isnumeric() }} {{ '一a'.isnumeric() }}",
     "True False True False True False"},
    {"{{ 'ǅ'.islower() }} {{ 'ǅ'.isupper() }} {{ 'ǅa'.istitle() }} {{ 'ǅ' is lower }} "
     "{{ 'नमस्ते दुनिया'|wordcount }}",
     "False False True False 5"},
    {"{{ 'ΟΔΟΣ'.capitalize() }} {{ 'ΟΔΟΣ ΣΑΣ'.title() }} {{ 'ΟΔΟΣ'.swapcase() }} "
     "{{ 'ΟΔΟΣ-ΑΣ'|title }} {{ 'ǆa ლამი ᾳ ŉ'.title() }}",
     "Οδος Οδος Σας οδος Οδος-Ασ ǅa ლამი ᾼ ʼN"},
    {"{% for self in [1, 2] %}{{ self }}{{ loop }}{% if loop %}{{ loop|length }}{% endif %}"
     "{% endfor %}",
     "1<LoopContext 1/2>22<LoopContext 2/2>2"},
    // Texts laid out and links.
    {"{{ {'b': 1, 'a': ['x' * 30, 'y' * 30, 'one two ' * 9, ''], 'c': ('q' * 60,)}|pprint }}",
     "{'a': ['xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',\n       'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy',\n"
     "       'one two one two one two one two one two one two one two one two one '\n"
     "       'two ',\n       ''],\n 'b': 1,\n"
     " 'c': ('qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq',)}"},
    {"{{ 'A well-known fact -- or: so--called supercalifragilistic'|wordwrap(10) }}|"
     "{{ 'abcdefgh i'|wordwrap(4, false, '+') }}",
     "A well-\nknown fact\n-- or: so\n--called s\nupercalifr\nagilistic|abcdefgh+i"},
    {"{{ 'see (http://a.bc/x_(y)). <me@x.org>, www.foo.com:80! ftp://q'|"
     "urlize(9, true, '_blank', extra_schemes=['ftp:']) }}",
     "see (<a href=\"http://a.bc/x_(y)\" rel=\"nofollow noopener\" "
     "target=\"_blank\">http://a....</a>)."
     " &lt;<a href=\"mailto:me@x.org\">me@x.org</a>&gt;, www.foo.com:80! "
     "<a href=\"ftp://q\" rel=\"nofollow noopener\" target=\"_blank\">ftp://q</a>"},
    {"{{ {'id': 'x\"<', 'no': none, 'n': 3}|xmlattr }}|{{ {'a': 1}|xmlattr(false) }}",
     " id=\"x&#34;&lt;\" n=\"3\"|a=\"1\""},
    {"{{ {'a b': '/x', 'c': [1]}|urlencode }}|{{ [('k', 'é')]|urlencode }}|{{ '/a b'|urlencode }}",
     "a+b=%2Fx&c=%5B1%5D|k=%C3%A9|/a%20b"},
    {"{{ '0x_1F'|int(7, 0) }} {{ '012'|int(7, 0) }} {{ '0b11'|int(0, 0) }} {{ '00'|int(7, 0) }} "
     "{{ '5'|int(7, 1) }} {{ [1, 2]|truncate(3) }} {{ ('<a b c d>'|safe)|truncate(5, end='<', "
     "leeway=0) }}",
     "31 12 3 0 5 [1, 2] <a&lt;"},
    {"{{ [1]|truncate(2) }}", "error: chat template: expected length >= 3, got 2"},
    {"{{ {'a=b': 1}|xmlattr }}",
     "error: chat template: Invalid character in attribute name: 'a=b'"},
    {"{{ [1, 2]|random }}",
     "error: chat template: the filter 'random' is not supported in chat templates"},
    {"{{ strftime_now('%d %b %Y, %A %j %-I:%M %p') }}", "26 Jul 2024, Friday 208 12:34 PM"},
    // Errors.
    {"{{ raise_exception('no ' ~ 1) }}", "error: chat template: no 1"},
    {"{{ [1].append(2) }}",
     "error: chat template: access to attribute 'append' of 'list' object is unsafe."},
    {"{{ 1|nofilter }}", "error: chat template: No filter named 'nofilter'."},
    {"{% if false %}{{ 1|nofilter }}{% endif %}x", "x"},
    {"{% include 'x' %}", "error: chat template: no loader for this environment specified"},
};

// Templates of tools/compare_jinja.py with what Jinja2, set up by transformers, makes of them.
TEST(ChatTemplateTest, GeneratedTemplatesPrintWhatJinja2Prints) {
  auto file = ReadFileIfAny(std::string(BANYAN_SOURCE_DIR) + "/tests/golden/text/jinja.json");
  ASSERT_TRUE(file.ok() && *file);
  const json::object golden = ParseJson(**file)->as_object();
  const std::string_view context = View(golden.at("context").as_string());
  const json::array& cases = golden.at("cases").as_array();
  ASSERT_GT(cases.size(), 400u);
  for (const json::value& entry : cases) {
    const std::string_view source = View(entry.at("template").as_string());
    EXPECT_EQ(Render(source, context), View(entry.at("text").as_string())) << source;
  }
}

const Case kScopes[] = {
    // A name that a scope sets is undefined in it, and in the loops and macros inside, until then.
    {"{% for i in [1] %}[{{ s }}]{% endfor %}{% set s = 1 %}{{ s }}", "[]1"},
    {"{% macro f() %}[{{ s }}]{% endmacro %}{{ f() }}{% set s = 1 %}{{ f() }}", "[][1]"},
    {"{{ s }}{% for i in [1] %}[{{ s }}]{% endfor %}{% set s = 1 %}", "v[v]"},
    {"{% if 0 %}{% set s = 1 %}{% endif %}{% for i in [1] %}[{{ s }}]{% endfor %}", "[v]"},
    {"{% if 0 %}{% elif s %}{{ s }}{% set s = 1 %}{{ s }}{% endif %}{{ s }}", "v11"},
    {"{% set s %}[{{ s }}]{% endset %}{{ s }}", "[]"},
    // else: no iteration has come to its end.
    {"{% for i in [1, 2] %}{% break %}{% else %}e{% endfor %}", "e"},
    {"{% for i in [1, 2] %}{% continue %}{% else %}e{% endfor %}", "e"},
    {"{% for i in [1, 2] %}{% if i == 2 %}{% break %}{% endif %}{% else %}e{% endfor %}", ""},
    {"{{ '{:{}}|{:>{w}}'.format('x', 3, 'y', w=2) }} {{ 1e40|int }} {{ 2.0 ** -1 }}",
     "x  | y 10000000000000000303786028427003666890752 0.5"},
    {"{% set loop = 7 %}{{ loop }}{% for i in [1] %}{% with loop = 3 %}{{ loop }}{% endwith %}"
     "{{ loop.index }}{% endfor %}",
     "731"},
    // A template without blocks has no attributes of its own.
    {"<{{ self.DEFAULT }}|{{ self.a is defined }}|{{ self.a | default('d') }}>", "<|False|d>"},
    // Markup escapes what is put into it; words put together are no Markup.
    {"{{ ('<a b>'|safe|title) ~ '<' }}{{ [('a'|safe)|title] }}", "<A B><['A']"},
    {"{{ ('%s %r %d'|safe) % ('<', '<', 3) }}", "&lt; &#39;&lt;&#39; 3"},
    {"{{ ('a b'|safe).split() }}", "[Markup('a'), Markup('b')]"},
};

TEST(ChatTemplateTest, ScopesAreThoseOfJinja2) {
  for (const Case& test : kScopes)
    EXPECT_EQ(Render(test.source, R"({"s": "v"})"), test.expected) << test.source;
}

TEST(ChatTemplateTest, RefusesWhatItCannotPrintAsPythonDoes) {
  for (const char* source :
       {"{{ [1] | select }}",
        "{{ 'a'.upper }}",
        "{{ range }}",
        "{{ [cycler(1)] }}",
        "{{ '\\ud83d' }}",
        "{{ f(a=1, a=2) }}",
        "{{ 'a' | upper(1) }}",
        "{{ 'a'.encode() }}",
        "{{ 1.5.hex() }}",
        "{{ 1 is defined(2) }}",
        "{{ ('a'|safe).join(['<']) }}",
        "{{ '\u0663' | int }}",
        "{{ self }}",
        "{{ self._x }}",
        "{{ self.a.b }}",
        "{% block b %}x{% endblock %}{{ self.b() }}",
        "{{ 0.0 ** -1 }}",
        "{{ (-8) ** 0.5 }}",
        "{{ 1e300 ** 2 }}",
        "{{ '%d' % 1e300 }}",
        "{{ (1e308 * 10)|int }}",
        "{{ dict(a=1, **{'a': 2}) }}",
        "{{ '{:{:{:{}}}}'.format(1, 2, 3, 4) }}",
        "{% for loop in [1] %}{% endfor %}",
        "{% for i in [1] %}{% set loop = 1 %}{% for j in [1] %}{% endfor %}{% endfor %}",
        "{% for i in [1] %}{% set loop = 1 %}{% endfor %}",
        "{% for i in [1] %}{{ loop | list }}{% endfor %}",
        "{{ '\u4e00'.isnumeric() }}",
        "{% for i in [1, 2] %}{% for x in loop %}{{ x }}{% endfor %}{% endfor %}",
        "{% for i in [1] %}{{ 1 in loop }}{% endfor %}",
        "{{ '\u00e9'.isidentifier() }}"}) {
    EXPECT_EQ(Render(source).rfind("error: ", 0), 0u) << source << " gave " << Render(source);
  }
}

TEST(ChatTemplateTest, PrintsWhatJinja2Prints) {
  for (const Case& test : kCases) EXPECT_EQ(Render(test.source), test.expected) << test.source;
}

TEST(ChatTemplateTest, KeepsLargeIntegersAndOrderOfKeys) {
  EXPECT_EQ(Render("{{ v|tojson }}", R"({"v":{"z":12345678901234567890123,"a":1e2,"z2":-0.5}})"),
            R"({"z": 12345678901234567890123, "a": 100.0, "z2": -0.5})");
}

// n.x and n.y, small values that stand for 2^100 items each, used by `then`.
std::string Doubled(char open, char close, std::string_view then) {
  const std::string first = fmt::format("{}1,2{}", open, close);
  const auto pair = [&](std::string_view name) {
    return fmt::format("{{% set {0} = {1}{0}, {0}{2} %}}", name, open, close);
  };
  return fmt::format("{{% set n = namespace(x={0}, y={0}) %}}", first) +
         "{% for i in range(100) %}" + pair("n.x") + pair("n.y") + "{% endfor %}" +
         std::string(then);
}

TEST(ChatTemplateTest, HostileTemplatesEndWithAnError) {
  std::string nested, open, sum = "1";
  for (int i = 0; i < 20000; ++i) nested += "(", open += "{% for x in [1] %}";
  for (int i = 0; i < 200000; ++i) sum += "+1";
  std::string attributes;
  for (int i = 0; i < 10000; ++i) attributes += fmt::format("'k{}': s, ", i);
  const std::string sources[] = {
      Doubled('[', ']', "{{ n.x == n.y }}"),
      Doubled('[', ']', "{{ n.x in [n.y] }}"),
      Doubled('[', ']', "{{ [n.y, 1].index(n.x) }}"),
      Doubled('[', ']', "{{ [n.x, n.y] | sort }}"),
      Doubled('[', ']', "{{ [n.x, n.y] | max }}"),
      Doubled('[', ']', "{% for i in [1, 2] %}{{ loop.changed(n.x) }}{% endfor %}"),
      Doubled('[', ']', "{{ n.x }}"),
      Doubled('[', ']', "{{ n.x | pprint }}"),
      Doubled('(', ')', "{{ {n.x: 1} }}"),
      Doubled('(', ')', "{{ [n.x] | unique | list | length }}"),
      "{% set s = ('x' * 4000000) | safe %}{{ {" + attributes + "} | xmlattr }}",
      "{{ ('a ' * 5000000) | urlize(extra_schemes=['ab:'] * 1000000) }}",
      "{{ 'a b' | urlize(extra_schemes=['a' * 4000000 ~ ':'] * 10000) }}",
      "{{ ('a' * 40000000) | wordwrap(1) }}",
      "{{ range(99999999) | list }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ 10 ** 1000000 }}",
      "{{ " + sum + " }}",
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{{ 'x' * 9999999999 }}",
      "{{ range(99999999) }}",
      "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
      "{% set n = namespace(s='xxxxxxxx') %}{% for i in range(64) %}{% set n.s = n.s ~ n.s %}"
      "{% endfor %}",
      "{% set n = namespace(s=[]) %}{% for i in range(9999) %}{% set n.s = [n.s] %}{% endfor %}",
      "{{ '%999999999d' % 1 }}",
      "{{ " + nested,
      open,
      "{% if %}",
      "{{",
      "{% endfor %}",
      "\xFF",
  };
  for (const std::string& source : sources)
    EXPECT_TRUE(Render(source).starts_with("error: ")) << source.substr(0, 80);
}

TEST(ChatTemplateTest, PprintPutsKeysWithoutAnOrderIntoOne) {
  EXPECT_EQ(
      Render("{{ {(2, 0): 0, ('nan'|float, 1): 1, (1, 2): 2, none: 3, 'a': 4, 2: 5}|pprint }}"),
      "{None: 3, 2: 5, 'a': 4, (1, 2): 2, (2, 0): 0, (nan, 1): 1}");
  EXPECT_EQ(
      Render("{{ {18014398509481985: 0, 18014398509481984.0: 1, 18014398509481983: 2}|pprint }}"),
      "{18014398509481983: 2, 1.8014398509481984e+16: 1, 18014398509481985: 0}");
  std::string entries;
  for (int i = 0; i < 300; ++i)
    entries += fmt::format("({}, {}): 0, ",
                           i % 3 == 0   ? "'nan'|float"
                           : i % 3 == 1 ? "'x'"
                                        : "7",
                           i * 37 % 300);
  EXPECT_TRUE(Render("{{ {" + entries + "}|pprint }}").starts_with("{(7, 2): 0,\n (7, 5): 0,"));
}

TEST(ChatTemplateTest, CyclesAndLongChainsEnd) {
  EXPECT_TRUE(Render("{% set a = namespace() %}{% set a.a = a %}{{ a }}")
                  .starts_with("<Namespace {'a': <Namespace"));
  EXPECT_EQ(Render("{% set n = namespace(x=0) %}{% for i in range(100000) %}"
                   "{% set n.x = namespace(x=n.x) %}{% endfor %}done"),
            "done");  // freed without recursion
}

TEST(ChatTemplateTest, FieldsOfAFormatAreNumberedInOneWay) {
  for (const char* source : {"{{ '{} {0!r}'.format('q') }}", "{{ '{0} {}'.format('q') }}",
                             "{{ '{0:{}}'.format('q', 3) }}"}) {
    EXPECT_NE(Render(source).find("cannot switch from"), std::string::npos) << source;
  }
  EXPECT_EQ(Render("{{ '{0}{x}{1}{0}|'.format('a', 'b', x='c') }}"
                   "{{ '{}{x}{}'.format('a', 'b', x='c') }}"),
            "acba|acb");
}

TEST(ChatTemplateTest, NamedTemplatesOfAFolder) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / "banyan_named_templates";
  std::filesystem::create_directories(folder / "additional_chat_templates");
  std::ofstream(folder / "tokenizer_config.json")
      << R"({"chat_template":[{"name":"default","template":"D"},{"name":"rag","template":"R"}]})";
  const auto load = [&](std::string_view name) -> std::string {
    auto loaded = ChatTemplate::Load(folder.string(), name);
    return loaded.ok() ? (*loaded)->source() : Message(loaded.status());
  };
  EXPECT_EQ(load(""), "D");
  EXPECT_EQ(load("rag"), "R");
  EXPECT_NE(load("tool_use").find("no chat template named \"tool_use\""), std::string::npos);
  std::ofstream(folder / "chat_template.jinja") << "J";
  std::ofstream(folder / "additional_chat_templates" / "tool_use.jinja") << "T";
  EXPECT_EQ(load(""), "J");
  EXPECT_EQ(load("tool_use"), "T");
  EXPECT_NE(load("rag").find("no chat template"),
            std::string::npos);  // the config's no longer count
  // The one for tools where tools are given, also none of them.
  auto both = ChatTemplate::Load(folder.string());
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(*(*both)->RenderJson(R"({"tools": [{}]})", {}, kNow), "T");
  EXPECT_EQ(*(*both)->RenderJson(R"({"tools": []})", {}, kNow), "T");
  EXPECT_EQ(*(*both)->RenderJson(R"({"tools": null})", {}, kNow), "J");
  EXPECT_EQ(*(*both)->Render({}, kNow), "J");
  std::filesystem::remove_all(folder);
}

TEST(ChatTemplateTest, WithoutADefaultTheNamesAreTold) {
  const auto several =
      ChatTemplate::Choose({{"tool_use", "T"}, {"rag", "R {{ x }}"}, {"short", "{% broken"}});
  ASSERT_TRUE(several.ok()) << several.status();
  const Status refused = (*several)->Render({}, kNow).status();
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(Message(refused).find("--hf-chat-template-name: rag, short, tool_use"),
            std::string::npos)
      << refused;
  EXPECT_EQ(*(*several)->Render({{"tools", json::array()}}, kNow), "T");
  const auto chosen = ChatTemplate::Choose({{"tool_use", "T"}, {"rag", "R"}}, "rag");
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_EQ(*(*chosen)->Render({{"tools", json::array()}}, kNow), "R");
  EXPECT_EQ(ChatTemplate::Choose({}, "").status().code(), StatusCode::kNotFound);
  EXPECT_NE(Message(ChatTemplate::Choose({{"a", ""}, {"b", ""}}, "c").status())
                .find("named \"c\", but: a, b"),
            std::string::npos);
}

TEST(ChatTemplateTest, RealTemplates) {
  if (!std::filesystem::exists(kTemplates)) GTEST_SKIP() << "no " << kTemplates;
  const auto read = [](const std::string& name) {
    return ParseJson(ReadFileIfAny(kTemplates + "/" + name)->value())->as_object();
  };
  const json::object templates = read("templates.json"), contexts = read("contexts.json");
  std::ifstream lines(kTemplates + "/rendered.jsonl");
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const json::object row = ParseJson(line)->as_object();
    json::object variables = contexts.at("default_tokens").as_object();
    const std::string context(View(row.at("context").as_string()));
    for (const json::value& more :
         {row.at("tokens"), contexts.at("contexts").as_object().at(context)})
      for (const auto& [key, value] : more.as_object()) variables[key] = value;
    const std::string name(View(row.at("template").as_string()));
    auto compiled = ChatTemplate::Compile(View(templates.at(name).as_string()));
    ASSERT_TRUE(compiled.ok()) << name << ": " << compiled.status();
    auto text = (*compiled)->Render(variables, kNow);
    const json::value* expected = row.if_contains("rendered");
    if (expected && expected->is_string()) {
      ASSERT_TRUE(text.ok()) << name << ", " << context << ": " << text.status();
      EXPECT_EQ(*text, View(expected->get_string())) << name << ", " << context;
    } else {
      EXPECT_FALSE(text.ok()) << name << ", " << context;
    }
  }
  EXPECT_GT(count, 50);
}

TEST(ChatTemplateTest, AllRealTemplatesCompile) {
  if (!std::filesystem::exists(kTemplates)) GTEST_SKIP() << "no " << kTemplates;
  const auto templates =
      ParseJson(ReadFileIfAny(kTemplates + "/templates.json")->value())->as_object();
  for (const auto& [name, source] : templates) {
    auto compiled = ChatTemplate::Compile(View(source.as_string()));
    EXPECT_TRUE(compiled.ok()) << std::string_view(name) << ": " << compiled.status();
  }
}

}  // namespace
}  // namespace banyan::text
