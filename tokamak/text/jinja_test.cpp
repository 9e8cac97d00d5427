// SPDX-License-Identifier: Apache-2.0
// What templates mean. Every expectation is what Jinja2 3.1.6 gives, in the environment that
// Hugging Face renders chat templates with.
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tokamak/text/chat_template.h"

namespace tokamak::text {
namespace {

const Json& context() {
  static const Json json = Json::parse(R"({
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": null}],
    "n": 3, "f": 2.5, "s": "Hello World", "u": "naïve 你好", "none_value": null, "flag": true,
    "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "d": {"a": 1, "B": 2, "items": 5},
    "users": [{"name": "x", "age": 1, "tag": {"z": 1}},
              {"name": "Y", "age": 3, "tag": {"z": 0}},
              {"name": "a", "age": 2}]})");
  return json;
}

Result<std::string> render(std::string_view source) {
  TKM_ASSIGN(ChatTemplate parsed, ChatTemplate::parse(source));
  return parsed.render(context());
}

void expect_all(const std::vector<std::pair<std::string, std::string>>& cases) {
  for (const auto& [source, expected] : cases) {
    auto rendered = render(source);
    if (rendered.ok()) {
      EXPECT_EQ(*rendered, expected) << source;
    } else {
      ADD_FAILURE() << source << "\n" << rendered.error().text();
    }
  }
}

void expect_errors(const std::vector<std::string>& sources) {
  for (const std::string& source : sources) {
    auto rendered = render(source);
    EXPECT_FALSE(rendered.ok()) << source << "\nrendered " << *rendered;
  }
}

TEST(JinjaTest, ValuesPrintAsPythonPrintsThem) {
  expect_all({
      {R"({{ none }} {{ true }} {{ 1 }} {{ 1.0 }} {{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1e300 * 1e10 }})",
       R"(None True 1 1.0 1e+16 1000000000000000.0 0.0001 1e-05 inf)"},
      {R"({{ [1, 'a', none, true, 2.5, (1,), ()] }})", R"([1, 'a', None, True, 2.5, (1,), ()])"},
      {R"({{ {'a': [1], 1: 'x', none: true} }})", R"({'a': [1], 1: 'x', None: True})"},
      {R"({{ 'it\'s' | list }} {{ ['it\'s', 'say "x"', 'both \' "'] }})",
       R"(['i', 't', "'", 's'] ["it's", 'say "x"', 'both \' "'])"},
      {R"({{ ['\n\t\\\x07\u00e9\u200b'] }})", R"(['\n\t\\\x07é\u200b'])"},
      {R"({{ d.items() }} {{ d.keys() }} {{ d.values() }})",
       R"(dict_items([('a', 1), ('B', 2), ('items', 5)]) dict_keys(['a', 'B', 'items']) dict_values([1, 2, 5]))"},
      {R"({{ range(3) }} {{ range(1, 9, 2) }} {{ namespace(a=1, b='x') }})",
       R"(range(0, 3) range(1, 9, 2) <Namespace {'a': 1, 'b': 'x'}>)"},
      {R"({{ undefined_name }}|{{ d.missing }}|{{ [undefined_name] }})", R"(||[Undefined])"},
      {R"({{ -0.0 }} {{ 100000000000000000000.0 }} {{ 123456789.125 }} {{ 1.1 + 2.2 }})",
       R"(-0.0 1e+20 123456789.125 3.3000000000000003)"},
      {R"({{ users | groupby('age') | first }})",
       R"((1, [{'name': 'x', 'age': 1, 'tag': {'z': 1}}]))"},
  });
}

TEST(JinjaTest, ArithmeticFollowsPython) {
  expect_all({
      {R"({{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % -3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }})",
       R"(3 -4 -2 2 3.5 1024 0.5 3.0 0.5)"},
      {R"({{ true + 1 }} {{ 1 == 1.0 == true }} {{ 'a' * 3 }} {{ [1] * 2 }} {{ 2 * (1,) }} {{ 'a' * -1 }})",
       R"(2 True aaa [1, 1] (1, 1) )"},
      {R"({{ 1 + 2 * 3 - 4 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ - n }} {{ +true }})",
       R"(3 64 4 -3 1)"},
      {R"({{ 1 ~ 2 ~ none ~ 'x' ~ undefined_name }} {{ 1 ~ 2 + 3 ~ 4 }})", R"(12Nonex 1234)"},
      {R"({{ [1] + [2] }} {{ (1,) + (2,) }} {{ 'a' + 'b' }})", R"([1, 2] (1, 2) ab)"},
      {R"({{ 10 - 3 - 2 }} {{ 100 / 10 / 5 }} {{ 9007199254740993 == 9007199254740992.0 }})",
       R"(5 2.0 False)"},
  });
  expect_errors({
      R"({{ 1 + 'a' }})",
      R"({{ [1] + (2,) }})",
      R"({{ 1 // 0 }})",
      R"({{ none + 1 }})",
      R"({{ undefined_name + 1 }})",
      R"({{ 5 % 0.0 }})",
  });
}

TEST(JinjaTest, ComparisonsChainAndCompareLikePython) {
  expect_all({
      {R"({{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 1 < 3 > 2 }} {{ 1 in [1] in [[1]] }})",
       R"(True False True True)"},
      {R"({{ [1, 2] < [1, 3] }} {{ (1,) < (1, 0) }} {{ 'a' < 'b' }} {{ 'Z' < 'a' }})",
       R"(True True True True)"},
      {R"({{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }} {{ [1] == (1,) }} {{ none == false }})",
       R"(True False False)"},
      {R"({{ 'a' in 'cat' }} {{ 'a' in d }} {{ 1 in d.values() }} {{ 'x' not in ls }} {{ '' in '' }})",
       R"(True True True True True)"},
      {R"({{ undefined_name == other_undefined }} {{ undefined_name in [] }})", R"(True False)"},
      {R"({{ not 1 == 2 }} {{ not not 1 }} {{ 1 is not none }})", R"(True True True)"},
  });
  expect_errors({
      R"({{ 1 < 'a' }})",
      R"({{ 1 in 'abc' }})",
      R"({{ 1 in 5 }})",
      R"({{ none < 1 }})",
      R"({{ undefined_name < 1 }})",
  });
}

TEST(JinjaTest, LogicReturnsOperands) {
  expect_all({
      {R"({{ 0 or 'x' }} {{ '' and y }} {{ 1 and 2 and 3 }} {{ none or [] or {} }})", R"(x  3 {})"},
      {R"({{ 'a' if flag else 'b' }}{{ 'x' if not flag }}{{ ('x' if false) is defined }})",
       R"(aFalse)"},
      {R"({{ 1 if 0 else 2 if 0 else 3 }} {{ 1 or fail() }})", R"(3 1)"},
  });
}

TEST(JinjaTest, StringsIndexAndSliceByCharacters) {
  expect_all({
      {R"({{ u[2] }} {{ u[-1] }} {{ u[6:] }} {{ u[::-1] }} {{ u[-2:-9:-3] }} {{ u | length }})",
       R"(ï 好 你好 好你 evïan 你vn 8)"},
      {R"({{ s[:5] }}|{{ s[-5:] }}|{{ s[::2] }}|{{ s[100:] }}|{{ s[3:1] }}|{{ s[none:none] }})",
       R"(Hello|World|HloWrd|||Hello World)"},
      {R"({{ l[::-1] }} {{ l[-2:] }} {{ (1, 2, 3)[1:] }} {{ range(10)[2:8:3] }})",
       R"([2, 1, 3] [1, 2] (2, 3) range(2, 8, 3))"},
      {R"({{ l[5] is defined }} {{ s[99] is defined }} {{ l['x'] is defined }} {{ l[true] }})",
       R"(False False False 1)"},
      {R"({{ d['a'] }} {{ d.a }} {{ d['items'] }} {{ d.items is callable }} {{ messages.0.role }} {{ messages[0]['role'] }})",
       R"(1 1 5 True user user)"},
  });
  expect_errors({
      R"({{ l[::0] }})",
      R"({{ n[1:] }})",
  });
}

TEST(JinjaTest, StringMethodsFollowPython) {
  expect_all({
      {R"({{ '  a b '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abc'.lstrip('ab') }}|{{ 'a\u3000'.rstrip() }}|)",
       R"(a b|a|c|a|)"},
      {R"({{ ' a  b c '.split() }} {{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ ' a  b c '.split(none, 1) }} {{ 'a,b,c'.rsplit(',', 1) }})",
       R"(['a', 'b', 'c'] ['a', 'b', '', 'c'] ['a', 'b,c'] ['a', 'b c '] ['a,b', 'c'])"},
      {R"({{ 'aaa'.rsplit('aa', 1) }} {{ 'aaa'.split('aa') }} {{ 'a\nb\r\nc\x0bd'.splitlines() }} {{ 'a\nb'.splitlines(true) }})",
       R"(['a', ''] ['', 'a'] ['a', 'b', 'c', 'd'] ['a\n', 'b'])"},
      {R"({{ 'Hello'.startswith(('x', 'He')) }} {{ 'Hello'.endswith('lo') }} {{ 'Hello'.startswith('l', 2) }} {{ 'Hello'.startswith('') }})",
       R"(True True True True)"},
      {R"({{ 'aXbX'.replace('X', '-') }} {{ 'aXbX'.replace('X', '-', 1) }} {{ 'ab'.replace('', '.') }})",
       R"(a-b- a-bX .a.b.)"},
      {R"({{ u.find('好') }} {{ u.rfind('x') }} {{ 'banana'.find('na', 3) }} {{ 'banana'.count('an') }} {{ 'banana'.index('n') }} {{ 'banana'.rfind('na') }})",
       R"(7 -1 4 2 2 4)"},
      {R"({{ 'hello wORLD'.title() }} {{ "it's".title() }} {{ 'hELLO'.capitalize() }} {{ 'aB'.swapcase() }} {{ 'straße'.upper() }} {{ 'ΑΣ'.lower() }})",
       R"(Hello World It'S Hello Ab STRASSE ας)"},
      {R"({{ ','.join(ls) }} {{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'ab'.partition('x') }})",
       R"(b,A,c,a ('a', '=', 'b=c') ('a=b', '=', 'c') ('ab', '', ''))"},
      {R"({{ 'ab'.center(5, '*') }} {{ 'abc'.center(6) }}| {{ 'ab'.ljust(4, '.') }} {{ 'ab'.rjust(4) }} {{ '-42'.zfill(6) }})",
       R"(**ab*  abc  | ab..   ab -00042)"},
      {R"({{ '12'.isdigit() }} {{ '½'.isnumeric() }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ''.isalpha() }} {{ ' '.isspace() }} {{ 'Ab'.istitle() }} {{ 'AB1'.isupper() }})",
       R"(True True True True False True True True)"},
      {R"({{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.py'.removesuffix('.py') }} {{ 'a\tb'.expandtabs(4) }})",
       R"(x x a   b)"},
  });
  expect_errors({
      R"({{ ','.join([1]) }})",
      R"({{ 'a'.split('') }})",
      R"({{ 'a'.index('b') }})",
      R"({{ 'a'.nothing() }})",
  });
}

TEST(JinjaTest, FormattingFollowsPython) {
  expect_all({
      {R"({{ '%s and %d%%' % ('a', 5) }} {{ '%05.1f|%-5s|%+d|%x|%#o|%e' % (3.14159, 'ab', 7, 255, 8, 12345.678) }} {{ '%r' % ['a'] }})",
       R"(a and 5% 003.1|ab   |+7|ff|0o10|1.234568e+04 ['a'])"},
      {R"({{ '%(a)s-%(B)03d' % d }} {{ '%s' % none }} {{ '%5s' | format('é') }} {{ '%s %s' | format('a', 'b') }} {{ '%(x)s' | format(x=1) }})",
       R"(1-002 None     é a b 1)"},
      {R"({{ '{} {}'.format(1, 'a') }} {{ '{1}{0}'.format('a', 'b') }} {{ '{x[a]}{y.role!r:>8}'.format(x=d, y=messages[0]) }} {{ '{{}}'.format() }})",
       R"(1 a ba 1  'user' {})"},
      {R"({{ '{:>5}|{:<5}|{:^5}|{:*^7}|{:05d}|{:,}|{:.2f}|{:.1%}|{:x}|{:+}'.format('a', 'b', 'c', 'd', 42, 1234567, 3.14159, 0.256, 255, 3) }})",
       R"(    a|b    |  c  |***d***|00042|1,234,567|3.14|25.6%|ff|+3)"},
      {R"({{ '{:{}}|'.format('a', 4) }} {{ '{:e}'.format(12345.678) }} {{ '{:g}'.format(0.00001) }} {{ '{!s:.2}'.format('abc') }})",
       R"(a   | 1.234568e+04 1e-05 ab)"},
  });
  expect_errors({
      R"({{ '%d' % 'x' }})",
      R"({{ '%s %s' % 'a' }})",
      R"({{ '%s' % (1, 2) }})",
      R"({{ '{}'.format() }})",
      R"({{ '{x}'.format() }})",
      R"({{ '{:d}'.format('a') }})",
  });
}

TEST(JinjaTest, DictMethodsFollowPython) {
  expect_all({
      {R"({{ d.get('a') }} {{ d.get('x') }} {{ d.get('x', 7) }} {{ d.keys() | list }} {{ d.values() | list }})",
       R"(1 None 7 ['a', 'B', 'items'] [1, 2, 5])"},
      {R"({% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %})", R"(a=1;B=2;items=5;)"},
      {R"({{ d | items | list }} {{ d | length }} {{ d | list }} {{ d | dictsort }} {{ d | dictsort(true) }} {{ d | dictsort(false, 'value', true) }})",
       R"([('a', 1), ('B', 2), ('items', 5)] 3 ['a', 'B', 'items'] [('a', 1), ('B', 2), ('items', 5)] [('B', 2), ('a', 1), ('items', 5)] [('items', 5), ('B', 2), ('a', 1)])"},
      {R"({{ dict(a=1, b=2) }} {{ dict([('x', 1)]) }} {{ dict(d, a=9) }})",
       R"({'a': 1, 'b': 2} {'x': 1} {'a': 9, 'B': 2, 'items': 5})"},
      {R"({{ {1: 'a'}[1.0] }} {{ {1: 'a', true: 'b'} }})", R"(a {1: 'b'})"},
      {R"({{ l.count(1) }} {{ l.index(2) }} {{ d.copy() }})",
       R"(1 2 {'a': 1, 'B': 2, 'items': 5})"},
  });
  expect_errors({
      R"({{ {[1]: 2} }})",
      R"({{ d.update({'x': 1}) }})",
      R"({{ l.append(4) }})",
  });
}

TEST(JinjaTest, FiltersOnTextFollowJinja) {
  expect_all({
      {R"({{ ' a ' | trim }}|{{ 'xax' | trim('x') }}|{{ s | upper }}|{{ s | lower }}|{{ 'aB-cD (eF' | title }}|{{ 'aBC' | capitalize }})",
       R"(a|a|HELLO WORLD|hello world|Ab-Cd (Ef|Abc)"},
      {R"({{ 'a\nb\n\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb' | indent('> ', true, true) }}|{{ 'a\n' | indent }}|)",
       R"(a
    b

    c|  a
  b|> a
> 
> b|a
|)"},
      {R"({{ 'aaa' | replace('a', 'b', 2) }} {{ 121 | replace(1, 'x') }} {{ 'foo bar baz' | truncate(9, true) }} {{ 'foo bar baz qux' | truncate(9) }} {{ 'ab' | center(6) }}|)",
       R"(bba x2x foo bar baz foo...   ab  |)"},
      {R"({{ '<a href="x">&\'' | e }} {{ '<b>' | escape | escape }} {{ ('<b>' | safe) + '<i>' }} {{ '<b>' | safe | e }} {{ 5 | e }} {{ '<b>' | forceescape }})",
       R"(&lt;a href=&#34;x&#34;&gt;&amp;&#39; &lt;b&gt; <b>&lt;i&gt; <b> 5 &lt;b&gt;)"},
      {R"({{ 'a b&c/é' | urlencode }} {{ {'a b': 'c&d'} | urlencode }} {{ 'one two, three' | wordcount }} {{ s | reverse }} {{ [1, 2] | string }})",
       R"(a%20b%26c/%C3%A9 a+b=c%26d 3 dlroW olleH [1, 2])"},
      {R"({{ none | upper }} {{ 1.50 | string }} {{ undefined_name | upper }}|{{ 'x' | default('y') }}{{ undefined_name | default('y') }}{{ '' | d('z', true) }}{{ none | default('n') }})",
       R"(NONE 1.5 |xyzNone)"},
  });
}

TEST(JinjaTest, ToJsonFollowsJsonDumps) {
  expect_all({
      {R"({{ {'a': [1, 2.0, none, true], 'é': '\u4f60"\\\n\x01/<'} | tojson }})",
       R"({"a": [1, 2.0, null, true], "é": "你\"\\\n\u0001/<"})"},
      {R"({{ {'b': [], 'a': {}, 'c': [1, {'x': 2}]} | tojson(indent=2) }})",
       R"({
  "b": [],
  "a": {},
  "c": [
    1,
    {
      "x": 2
    }
  ]
})"},
      {R"({{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ {'a': [1, 2]} | tojson(separators=(',', ':')) }} {{ 'é🦙' | tojson(ensure_ascii=true) }})",
       R"({"a": 2, "b": 1} {"a":[1,2]} "\u00e9\ud83e\udd99")"},
      {R"({{ [1] | tojson(indent=0) }}{{ (1, 2) | tojson }}{{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }})",
       R"([
1
][1, 2]{"1": 4, "null": 3, "1.5": 5})"},
      {R"({{ [1e400, -1e400] | tojson }} {{ 0.1 | tojson }} {{ 'x' | tojson }} {{ none | tojson }})",
       R"([Infinity, -Infinity] 0.1 "x" null)"},
  });
  expect_errors({
      R"({{ undefined_name | tojson }})",
      R"({{ l | map('string') | tojson }})",
      R"({{ {(1,): 2} | tojson }})",
  });
}

TEST(JinjaTest, FiltersOnNumbersFollowJinja) {
  expect_all({
      {R"({{ '42' | int }} {{ '42.7' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ '0x1f' | int(0, 16) }} {{ ' 1_000 ' | int }} {{ 3.99 | int }} {{ true | int }} {{ none | int }} {{ -2.5 | int }})",
       R"(42 42 0 7 31 1000 3 1 0 -2)"},
      {R"({{ '1.5' | float }} {{ 'x' | float }} {{ 'x' | float(2.5) }} {{ 3 | float }} {{ '1e3' | float }} {{ ' .5 ' | float }} {{ 'inf' | float }})",
       R"(1.5 0.0 2.5 3.0 1000.0 0.5 inf)"},
      {R"({{ 42.55 | round }} {{ 42.55 | round(1) }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 42.55 | round(1, 'floor') }} {{ 42.1 | round(0, 'ceil') }} {{ 5 | round }} {{ 25 | round(-1) }} {{ 35 | round(-1) }})",
       R"(43.0 42.5 2.0 4.0 2.67 42.5 43.0 5 20 40)"},
      {R"({{ -3 | abs }} {{ -2.5 | abs }} {{ l | sum }} {{ users | sum('age') }} {{ users | sum(attribute='age', start=10) }} {{ [[1], [2]] | sum(start=[]) }})",
       R"(3 2.5 6 6 16 [1, 2])"},
      {R"({{ l | min }} {{ l | max }} {{ ls | min }} {{ ls | max }} {{ ls | min(case_sensitive=true) }} {{ users | max(attribute='age') }} {{ [] | max }})",
       R"(1 3 A c A {'name': 'Y', 'age': 3, 'tag': {'z': 0}} )"},
  });
  expect_errors({
      R"({{ ls | sum }})",
      R"({{ 'a' | abs }})",
      R"({{ 'a' | round }})",
      R"({{ undefined_name | int }})",
  });
}

TEST(JinjaTest, FiltersOnSequencesFollowJinja) {
  expect_all({
      {R"({{ l | first }} {{ l | last }} {{ [] | first is defined }} {{ 'abc' | first }} {{ d | last }} {{ l | length }} {{ 'abc' | list }})",
       R"(3 2 False a items 3 ['a', 'b', 'c'])"},
      {R"({{ l | sort }} {{ ls | sort }} {{ ls | sort(case_sensitive=true) }} {{ l | sort(reverse=true) }} {{ users | sort(attribute='age') | map(attribute='name') | list }} {{ users | sort(attribute='name,age') | map(attribute='name') | join }})",
       R"([1, 2, 3] ['A', 'a', 'b', 'c'] ['A', 'a', 'b', 'c'] [3, 2, 1] ['x', 'a', 'Y'] axY)"},
      {R"({{ l | map('string') | list }} {{ users | map(attribute='name') | join(', ') }} {{ users | map(attribute='tag.z', default='-') | list }} {{ ls | map('upper') | list }} {{ [[1, 2], [3]] | map('sum') | list }})",
       R"(['3', '1', '2'] x, Y, a [1, 0, '-'] ['B', 'A', 'C', 'A'] [3, 3])"},
      {R"({{ [0, 1, 2] | select | list }} {{ range(6) | select('odd') | list }} {{ range(6) | reject('divisibleby', 3) | list }} {{ users | selectattr('age', 'gt', 1) | map(attribute='name') | list }} {{ users | rejectattr('tag') | map(attribute='name') | list }} {{ users | selectattr('tag', 'defined') | list | length }} {{ [1, none, 2] | select('none') | list }})",
       R"([1, 2] [1, 3, 5] [1, 2, 4, 5] ['Y', 'a'] ['a'] 2 [None])"},
      {R"({{ ['a', 'A', 'b', 'a'] | unique | list }} {{ ['a', 'A'] | unique(true) | list }} {{ [1, 1.0, true, 2] | unique | list }} {{ users | unique(attribute='age') | list | length }})",
       R"(['a', 'b'] ['a', 'A'] [1, 2] 3)"},
      {R"({{ range(7) | batch(3) | list }} {{ range(5) | batch(3, 'x') | list }} {{ range(7) | slice(3) | list }} {{ range(7) | slice(3, 0) | list }})",
       R"([[0, 1, 2], [3, 4, 5], [6]] [[0, 1, 2], [3, 4, 'x']] [[0, 1, 2], [3, 4], [5, 6]] [[0, 1, 2], [3, 4, 0], [5, 6, 0]])"},
      {R"({% for key, group in [{'k': 'b', 'v': 1}, {'k': 'a', 'v': 2}, {'k': 'B', 'v': 3}] | groupby('k') %}{{ key }}:{{ group | map(attribute='v') | list }};{% endfor %})",
       R"(a:[2];b:[1, 3];)"},
      {R"({{ l | join }} {{ l | join('-') }} {{ users | join(',', attribute='name') }} {{ l | reverse | list }} {{ [] | join(',') }} {{ none | map('x') | list }})",
       R"(312 3-1-2 x,Y,a [2, 1, 3]  [])"},
      {R"({% set g = l | select %}{{ g | list }}{{ g | list }})", R"([3, 1, 2][])"},
  });
  expect_errors({
      R"({{ l | map('nothing') | first }})",
      R"({{ 5 | first }})",
      R"({{ [1, 'a'] | sort }})",
      R"({{ l | map('string') | length }})",
      R"({{ l | select('nothing') | list }})",
      R"({{ 5 | items | list }})",
  });
}

TEST(JinjaTest, TestsFollowJinja) {
  expect_all({
      {R"({{ n is defined }} {{ x is undefined }} {{ none_value is none }} {{ flag is boolean }} {{ true is true }} {{ 1 is true }} {{ 0 is false }})",
       R"(True True True True True False False)"},
      {R"({{ 1 is integer }} {{ true is integer }} {{ 1.0 is float }} {{ true is number }} {{ 's' is string }} {{ d is mapping }} {{ l is mapping }})",
       R"(True False True True True True False)"},
      {R"({{ l is sequence }} {{ 's' is sequence }} {{ d is sequence }} {{ range(2) is sequence }} {{ d.items() is sequence }} {{ d.items() is iterable }} {{ 5 is iterable }} {{ none is iterable }} {{ x is iterable }} {{ l | select is iterable }})",
       R"(True True True True False True False False True True)"},
      {R"({{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 'a' is lower }} {{ 'A1' is upper }} {{ 1 is eq 1 }} {{ 1 is ne(2) }} {{ 2 is gt 1 }} {{ 1 is in [1] }} {{ 'a' is in 'abc' }})",
       R"(True True True False True True True True True True True)"},
      {R"({{ range is callable }} {{ 5 is callable }} {{ 'upper' is filter }} {{ 'x' is filter }} {{ 'odd' is test }} {{ none is sameas none }} {{ 1 is sameas true }} {{ ('a' | safe) is escaped }})",
       R"(True False True False True True False True)"},
      {R"({{ n is not string and flag is true or x }})", R"(True)"},
  });
  expect_errors({
      R"({{ 1 is not odd is not none }})",
  });
}

TEST(JinjaTest, LoopsSeeTheirState) {
  expect_all({
      {R"({% for x in ls %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %})",
       R"(1043TrueFalse4 2132FalseFalse4 3221FalseFalse4 4310FalseTrue4 )"},
      {R"({% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %})",
       R"(<3>1 3<1>2 1<2> )"},
      {R"({% for x in l %}{{ loop.cycle('a', 'b') }}{{ loop.depth }}{{ loop.depth0 }}{% endfor %})",
       R"(a10b10a10)"},
      {R"({% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {% endfor %})",
       R"(True False True False True )"},
      {R"({% for x in l | select %}{{ loop.length }}{{ x }}{{ loop.last }} {% endfor %})",
       R"(33False 31False 32True )"},
      {R"({% for x in [] %}x{% else %}empty{% endfor %}{% for x in undefined_name %}x{% else %}undefined{% endfor %})",
       R"(emptyundefined)"},
      {R"({% for x in range(5) if x is odd %}{{ loop.index }}:{{ x }} {% else %}none{% endfor %})",
       R"(1:1 2:3 )"},
      {R"({% for k, v in [[1, 2], (3, 4)] %}{{ k + v }} {% endfor %}{% for (a, (b, c)) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %})",
       R"(3 7 123)"},
      {R"({% for x in 'añ' %}{{ x }},{% endfor %}{% for k in d %}{{ k }},{% endfor %})",
       R"(a,ñ,a,B,items,)"},
      {R"({% for x in l %}{% for y in ls %}{{ loop.index }}{% endfor %}{{ loop.index }} {% endfor %})",
       R"(12341 12342 12343 )"},
      {R"({{ loop }}{% for x in l %}{{ loop }}{% endfor %})",
       R"(<LoopContext 1/3><LoopContext 2/3><LoopContext 3/3>)"},
  });
  expect_errors({
      R"({% for x in 5 %}{% endfor %})",
      R"({% for x in none %}{% endfor %})",
      R"({% for a, b in [[1]] %}{% endfor %})",
      R"({% for a, b in [[1, 2, 3]] %}{% endfor %})",
  });
}

TEST(JinjaTest, BreakAndContinueLeaveTheLoop) {
  expect_all({
      {R"({% for x in range(5) %}{% if x == 1 %}{% continue %}{% elif x == 3 %}{% break %}{% endif %}{{ x }}{% endfor %})",
       R"(02)"},
      {R"({% for x in l %}{% for y in l %}{% break %}{% endfor %}{{ x }}{% endfor %})", R"(312)"},
      {R"({% for x in l %}a{% break %}{% else %}E{% endfor %}|{% for x in l %}{% continue %}{% else %}E{% endfor %})",
       R"(aE|E)"},
      {R"({% for x in l %}{% set t %}lost{% break %}{% endset %}{% endfor %}.)", R"(.)"},
  });
  expect_errors({
      R"({% break %})",
      R"({% for x in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %})",
  });
}

TEST(JinjaTest, RecursiveLoopsCallThemselves) {
  expect_all({
      {R"({% for x in [{'v': 1, 'c': [{'v': 2, 'c': []}, {'v': 3, 'c': [{'v': 4}]}]}] recursive %}[{{ x.v }}@{{ loop.depth }}{% if x.c %}{{ loop(x.c) }}{% endif %}]{% endfor %})",
       R"([1@1[2@2][3@2[4@3]]])"},
  });
  expect_errors({
      R"({% for x in l %}{{ loop(l) }}{% endfor %})",
  });
}

TEST(JinjaTest, AssignmentsStayInTheirScope) {
  expect_all({
      {R"({% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }})",
       R"(4 2 3 1)"},
      {R"({% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }})", R"(2)"},
      {R"({% if false %}{% set n = 1 %}{% endif %}{{ n }})", R"(3)"},
      {R"({% for i in l %}{{ later }}{% endfor %}{% set later = 1 %}{{ later }})", R"(1)"},
      {R"({% for i in [1] %}{{ n }}{% endfor %}{% set n = 1 %}{{ n }})", R"(1)"},
      {R"({% set ns = namespace(count=0) %}{% for i in l %}{% set ns.count = ns.count + i %}{% endfor %}{{ ns.count }}{{ ns.other is defined }})",
       R"(6False)"},
      {R"({% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (a, b) = (b, a) %}{{ a }}{{ b }}{% set ns = namespace() %}{% set ns.x, c = 5, 6 %}{{ ns.x }}{{ c }})",
       R"(122156)"},
      {R"({% with a = 1, b = n %}{{ a }}{{ b }}{% set n = 9 %}{{ n }}{% endwith %}{{ a }}{{ n }})",
       R"(1393)"},
      {R"({% set t %}x{{ n }}{% set inner = 1 %}{% endset %}{{ t }}{{ inner }}{% set t | upper %}abc{% endset %}{{ t }})",
       R"(x3ABC)"},
      {R"({% filter upper %}a{{ s }}{% set q = 1 %}{% endfilter %}{{ q }})", R"(AHELLO WORLD)"},
      {R"({% for x in l %}{% if loop.first %}{% set first = x %}{% endif %}{{ first }},{% endfor %})",
       R"(3,,,)"},
      {R"({% generation %}{% set g = 1 %}a{{ g }}{% endgeneration %}b{{ g }})", R"(a1b)"},
  });
  expect_errors({
      R"({% set d.x = 1 %})",
      R"({% set nope.x = 1 %})",
      R"({% set a, b = 1 %})",
      R"({% for x in l %}{% set loop = 1 %}{% endfor %})",
  });
}

TEST(JinjaTest, MacrosBindArgumentsLikeFunctions) {
  expect_all({
      {R"({% macro m(a, b=2, c=b) %}{{ a }},{{ b }},{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(c=9, a=0) }} {{ m() }})",
       R"(1,2,2 1,3,3 0,2,9 ,2,2)"},
      {R"({% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}{{ m() }})",
       R"((1, 2){'x': 3}(){})"},
      {R"({% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}{{ m(none) }}{{ m.name }}{{ m.arguments }})",
       R"(FalseTruem('a',))"},
      {R"({% macro m(x) %}[{{ x }}{{ caller('c', b=1) if caller }}]{% endmacro %}{% call(a, b=5) m(1) %}<{{ a }}{{ b }}>{% endcall %}{{ m(2) }})",
       R"([1<c1>][2])"},
      {R"({{ m }}{% macro m() %}{{ later }}{% endmacro %}{% set later = 'L' %}{{ m() }})", R"(L)"},
      {R"({% macro fact(i) %}{{ i * (fact(i - 1) | int) if i > 1 else 1 }}{% endmacro %}{{ fact(5) }})",
       R"(120)"},
      {R"({% macro outer() %}{% macro inner() %}{{ x }}{% endmacro %}{% set x = 'in' %}{{ inner() }}{% endmacro %}{% set x = 'out' %}{{ outer() }}{{ x }})",
       R"(inout)"},
      {R"({% macro m() %}{% set n = 99 %}{{ n }}{% endmacro %}{{ m() }}{{ n }})", R"(993)"},
      {R"({% set args = [1, 2] %}{% macro m(a, b, c=0) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(*args) }}{{ m(*args, c=3) }}{{ m(**{'a': 7, 'b': 8}) }})",
       R"(120123780)"},
  });
  expect_errors({
      R"({% macro m(a) %}{% endmacro %}{{ m(1, 2) }})",
      R"({% macro m(a) %}{% endmacro %}{{ m(b=1) }})",
      R"({% macro m() %}{{ caller() }}{% endmacro %}{{ m() }})",
      R"({{ n() }})",
      R"({{ undefined_name() }})",
      R"({% macro m(a, a) %}{% endmacro %})",
      R"({% macro m(a=1, b) %}{% endmacro %})",
  });
}

TEST(JinjaTest, WhitespaceIsControlledByTagsAndSigns) {
  expect_all({
      {R"(a
  {% if true %}
  b
  {% endif %}
c
)",
       R"(a
  b
c)"},
      {R"(a  {%- if true -%}  b  {%- endif -%}  c)", R"(abc)"},
      {R"(  {%+ if true +%}
 x {% endif %})",
       R"(  
 x )"},
      {R"(  {{ 1 }}
  {{- 2 -}}  
  3)",
       R"(  123)"},
      {R"({% if true %}

 x{% endif %}

)",
       R"(
 x)"},
      {R"(a {# c #} b
 {# x #}
c {#- d -#} e)",
       R"(a  b
ce)"},
      {R"({% raw %}{{ x }}{% y %}{% endraw %}|{%- raw -%} a {%- endraw -%} b)",
       R"({{ x }}{% y %}|ab)"},
      {"\r\na\rb\r\n",
       R"(
a
b)"},
      {"{{ 'a\r\nb' }}",
       R"(a
b)"},
      {R"(  {% set x = 1 %}  {% set y = 2 %}
.)",
       R"(  .)"},
      {R"({{+ 1 }}{{-1}})", R"(11)"},
      {R"(x{% if true -%}

  y
{%- endif %}z)",
       R"(xyz)"},
  });
}

TEST(JinjaTest, LiteralsAreReadLikePythons) {
  expect_all({
      {R"({{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1_000 }} {{ 1e3 }} {{ 1.5e-3 }} {{ 12.5 }} {{ 0 }})",
       R"(31 5 15 1000 1000.0 0.0015 12.5 0)"},
      {R"({{ 'a' 'b' "c" }} {{ 'tab\there' }} {{ '\x41\u00e9\101' }} {{ 'keep\q' }} {{ 'line\
break' }})",
       "abc tab\there AéA keep\\q linebreak"},
      {R"({{ [1, 2, ] }} {{ {'a': 1, } }} {{ (1) }} {{ (1,) }} {{ () }} {{ 1, 2 }})",
       R"([1, 2] {'a': 1} 1 (1,) () (1, 2))"},
      {R"({{ {'a': {'b': 1}}}})", R"({'a': {'b': 1}})"},
      {R"({{ true }}{{ True }}{{ none }}{{ None }}{{ false }})", R"(TrueTrueNoneNoneFalse)"},
  });
  expect_errors({
      R"({{ 'unterminated }})",
      R"({{ 1 + }})",
      R"({{ '\x4' }})",
      R"({{ a ! b }})",
      R"({{ (1 }})",
      R"({{ 01 }})",
  });
}

}  // namespace
}  // namespace tokamak::text
