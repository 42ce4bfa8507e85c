#include "tessera/chat/template.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"

namespace tessera::chat {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::string render(std::string_view source, const ordered_json& variables = ordered_json::object()) {
  return Template::parse(source).render(Value::from_json(variables));
}

TEST(Template, PrintsTextAndValues) {
  EXPECT_EQ(render("a {{ 'b' }} {{ 1 + 2 * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 1 / 2 }} {{ 2 ** 3 }}"),
            "a b 7 3 -4 2 0.5 8");
  EXPECT_EQ(render("{{ none }} {{ true }} {{ 'x' ~ 1 }} {{ [1, 'a', none] }} {{ {'k': 1.0} }} {{ missing }}|"),
            "None True x1 [1, 'a', None] {'k': 1.0} |");
  EXPECT_EQ(render("{{ 'a' 'b' + \"c\\n\" }}"), "abc\n");
}

TEST(Template, DoesWithOddValuesWhatJinjaDoes) {
  EXPECT_EQ(render("{{ none['a'] }}|{{ 'abc'['role'] }}|{{ 'abc'.role }}|{{ [1].a is defined }}"), "|||False");
  EXPECT_EQ(render("{{ 'x' in missing }} {{ '--a-'|trim('-') }} {{ '\\d\\|' }}"), "False a \\d\\|");
  EXPECT_EQ(render("{% if true %}\r\na\rb\r\n{% endif %}"), "a\nb\n");
}

// Jinja's own examples of trim_blocks and lstrip_blocks.
TEST(Template, LeavesOutTheBlanksAroundTags) {
  EXPECT_EQ(render("<div>\n    {% if true %}\n        yay\n    {% endif %}\n</div>\n"), "<div>\n        yay\n</div>");
  EXPECT_EQ(render("a\n{# note #}\nb"), "a\nb");
  EXPECT_EQ(render("a  {%- if true -%}  b  {%- endif %}  c"), "ab  c");
  EXPECT_EQ(render("x {{- 'y' -}} \n z"), "xyz");
  EXPECT_EQ(render("  {%+ if true %}a{% endif +%}\nb"), "  a\nb");
  EXPECT_EQ(render("{{ 'a' }}\nb"), "a\nb"); // a newline behind a print stays
}

TEST(Template, ComparesAndDecides) {
  EXPECT_EQ(render("{{ 1 < 2 <= 2 }} {{ 'a' in 'cat' }} {{ 3 not in [1, 2] }} {{ 'k' in {'k': 1} }} {{ not 1 == 2 }}"),
            "True True True True True");
  EXPECT_EQ(render("{{ 'x' if 0 else 'y' }}{{ 'z' if false }}{{ '' or 'w' }}{{ 1 and 'v' }}"), "ywv");
  const char* chain = "{% if n == 1 %}one{% elif n == 2 %}two{% else %}many{% endif %}";
  EXPECT_EQ(render(chain, {{"n", 1}}), "one");
  EXPECT_EQ(render(chain, {{"n", 2}}), "two");
  EXPECT_EQ(render(chain, {{"n", 3}}), "many");
}

TEST(Template, LoopsOverListsDictsAndRanges) {
  EXPECT_EQ(render("{% for x in [3, 4] %}{{ loop.index }}/{{ loop.length }}:{{ x }}{% if not loop.last %}, {% endif %}"
                   "{% endfor %}"),
            "1/2:3, 2/2:4");
  EXPECT_EQ(render("{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", {{"d", {{"b", 1}, {"a", 2}}}}),
            "b=1;a=2;");
  EXPECT_EQ(render("{% for i in range(1, 9, 3) if i != 4 %}{{ i }}{% else %}none{% endfor %}"), "17");
  EXPECT_EQ(render("{% for i in [] %}{{ i }}{% else %}none{% endfor %}"), "none");
  EXPECT_EQ(render("{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i == 4 %}{% break %}{% endif %}{{ i }}"
                   "{% endfor %}"),
            "023");
}

TEST(Template, SetsNamesInTheirScopes) {
  EXPECT_EQ(render("{% set x = 1 %}{% for i in [2] %}{% set x = i %}{{ x }}{% endfor %}{{ x }}"), "21");
  EXPECT_EQ(render("{% set ns = namespace(x=1) %}{% for i in [2] %}{% set ns.x = i %}{% endfor %}{{ ns.x }}"), "2");
  EXPECT_EQ(render("{% set a, b = 1, 2 %}{{ b }}{% set t %}<{{ a }}>{% endset %}{{ t }}"), "2<1>");
  EXPECT_EQ(render("{% if true %}{% set x = 5 %}{% endif %}{{ x }}"), "5");
}

TEST(Template, CallsMacros) {
  EXPECT_EQ(render("{% macro m(a, b='!') %}{{ a }}{{ b }}{% endmacro %}{{ m('x') }}{{ m('y', b='?') }}"), "x!y?");
  EXPECT_EQ(render("{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}"), "3210");
}

TEST(Template, SubscriptsAndSlices) {
  const ordered_json list{{"m", {1, 2, 3, 4}}};
  EXPECT_EQ(render("{{ m[0] }}{{ m[-1] }}{{ m[1:] }}{{ m[:-1] }}{{ m[::-1] }}{{ m[9] is defined }}", list),
            "14[2, 3, 4][1, 2, 3][4, 3, 2, 1]False");
  EXPECT_EQ(render("{{ 'häß'[1:] }}{{ 'häß' | length }}{{ 'abc'[::-1] }}"), "äß3cba");
}

TEST(Template, HasTheFiltersOfPublishedTemplates) {
  EXPECT_EQ(render("{{ '  a ' | trim }}|{{ 'aB' | upper }}{{ 'aB' | lower }}{{ 'hello you' | title }}"),
            "a|ABabHello You");
  EXPECT_EQ(render("{{ [1, 2] | join(', ') }} {{ [1, 2] | length }} {{ [3, 1] | first }} {{ x | default('d') }}"),
            "1, 2 2 3 d");
  EXPECT_EQ(
      render("{{ m | selectattr('r', 'equalto', 'u') | list | length }}{{ m | rejectattr('r', 'equalto', 'u') | map("
             "attribute='c') | join }}",
             {{"m", {{{"r", "u"}, {"c", "1"}}, {{"r", "a"}, {"c", "2"}}}}}),
      "12");
  EXPECT_EQ(render("{{ d | tojson }}", {{"d", {{"a", {1, true, nullptr}}, {"é", "x\"y"}}}}),
            "{\"a\": [1, true, null], \"é\": \"x\\\"y\"}");
  EXPECT_EQ(render("{{ d | tojson(indent=2) }}", {{"d", {{"a", {1}}, {"b", ordered_json::object()}}}}),
            "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}");
  EXPECT_EQ(render("{{ d | items | first | last }}", {{"d", {{"a", 7}}}}), "7");
}

TEST(Template, HasTheTestsAndMethodsOfPublishedTemplates) {
  EXPECT_EQ(render("{{ 'a' is string }}{{ [] is iterable }}{{ {} is mapping }}{{ none is none }}{{ x is not defined }}"
                   "{{ 3 is odd }}{{ true is boolean }}"),
            "TrueTrueTrueTrueTrueTrueTrue");
  EXPECT_EQ(render("{{ '</think>x'.split('</think>')[-1].lstrip('\\n') }}{{ 'ab'.startswith('a') }}{{ ' b '.strip() }}"
                   "{{ 'aXa'.replace('X', '-') }}{{ {'k': 1}.get('z', 5) }}"),
            "xTrueba-a5");
}

TEST(Template, RefusesWithTheTemplatesWords) {
  EXPECT_THAT([] { render("{{ raise_exception('roles must alternate') }}"); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("refuses the messages: roles must alternate")));
}

TEST(Template, NamesWhatIsNotBuilt) {
  const auto rendering = [](const char* source) { return [source] { render(source); }; };
  EXPECT_THAT(rendering("\n{% include 'x' %}"), ThrowsMessage<base::Unsupported>(HasSubstr("line 2: the tag include")));
  EXPECT_THAT(rendering("{{ 'aaa' | replace('a', 'b', 1) }}"),
              ThrowsMessage<base::Unsupported>(HasSubstr("the filter replace takes at most 2 arguments")));
  EXPECT_THAT(rendering("{{ [] | join(', ', attribute='name') }}"),
              ThrowsMessage<base::Unsupported>(HasSubstr("the argument attribute of the filter join")));
  EXPECT_THAT(rendering("{{ {} | tojson(separators=[',', ':']) }}"),
              ThrowsMessage<base::Unsupported>(HasSubstr("the argument separators of the filter tojson")));
  EXPECT_THAT(rendering("{{ 1 | wordwrap }}"), ThrowsMessage<base::Unsupported>(HasSubstr("the filter wordwrap")));
  EXPECT_THAT(rendering("{{ 1 is sameas(1) }}"), ThrowsMessage<base::Unsupported>(HasSubstr("the test sameas")));
  EXPECT_THAT(rendering("{{ 'a'.zfill(3) }}"),
              ThrowsMessage<base::Unsupported>(HasSubstr("the method zfill of a string")));
  EXPECT_THAT(rendering("{{ cycler(1) }}"), ThrowsMessage<base::Unsupported>(HasSubstr("the function cycler")));
}

// Sources that end early, or have lost a character: either templates or errors of ours.
TEST(Template, AMangledTemplateIsAnErrorAtWorst) {
  const std::string source =
      "{% macro m(a, b=1) -%} {{ a | default('x') ~ b }} {%- endmacro %}{% set ns = namespace(n=0) %}\n"
      "{%- for k, v in d.items() if v is not none %}{% if loop.first and k in ['a', \"b\"] %}{{ m(k, b=v[0:2]) }}\n"
      "{% elif not v.x == 3 // 2 %}{% set ns.n = ns.n + 1 %}{% else %}{{ {'a': (1, 2)}['a'][-1] }}{% endif %}"
      "{# c #}{% endfor %}{{ ns.n if ns.n > 0 else 'none' }}";
  const Value variables = Value::from_json({{"d", {{"a", {1, 2, 3}}, {"b", nullptr}, {"c", {{"x", 1}}}}}});
  const auto run = [&](const std::string& text) {
    try {
      Template::parse(text).render(variables);
    } catch (const base::Error&) {
      return; // says what is wrong
    }
  };
  EXPECT_NO_THROW(Template::parse(source).render(variables));
  for (std::size_t i = 0; i < source.size(); ++i) {
    EXPECT_NO_THROW(run(source.substr(0, i))) << i;
    EXPECT_NO_THROW(run(source.substr(0, i) + source.substr(i + 1))) << i;
    for (const char c : {'(', '}', '%', '|', '\'', '0', '[', 'n'}) {
      std::string changed = source;
      changed[i] = c;
      EXPECT_NO_THROW(run(changed)) << i << " " << c;
    }
  }
}

TEST(Template, NamesTheLineOfAMistake) {
  const auto parsing = [](std::string source) { return [source] { Template::parse(source); }; };
  using base::InvalidArgument;
  EXPECT_THAT(parsing("a\n{{ 1 + }}"), ThrowsMessage<InvalidArgument>(HasSubstr("line 2: a value is required")));
  EXPECT_THAT(parsing("{{ 1"), ThrowsMessage<InvalidArgument>(HasSubstr("the tag of line 1 must end with }}")));
  EXPECT_THAT(parsing("\n\n{% if x %}y"),
              ThrowsMessage<InvalidArgument>(HasSubstr("the block of line 3 must end with endif")));
  EXPECT_THAT(parsing("{% for x in y %}{% endif %}"), ThrowsMessage<base::Unsupported>(HasSubstr("endif")));
  EXPECT_THAT(parsing("{{ 'a }}"), ThrowsMessage<InvalidArgument>(HasSubstr("string of line 1")));
  EXPECT_THAT(parsing("{{ " + std::string(1000, '(') + " }}"), ThrowsMessage<InvalidArgument>(HasSubstr("nested")));
  EXPECT_THAT(parsing("{{ a[1 2] }}"), ThrowsMessage<InvalidArgument>(HasSubstr("] is required")));
  EXPECT_THAT([] { render("{{ x.y }}"); }, ThrowsMessage<InvalidArgument>(HasSubstr("x is undefined, so it has no y")));
  EXPECT_THAT([] { render("{{ 'a' + 1 }}"); },
              ThrowsMessage<InvalidArgument>(HasSubstr("a string is required; received an integer")));
}

} // namespace
} // namespace tessera::chat
