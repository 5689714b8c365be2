#include "atom/engine/json.hpp"

#include <chrono>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <string>
#include <utility>

#include "temp_dir.hpp"

namespace atom::engine {
namespace {

using test::expect_error;

Json parse(std::string_view text, JsonLimits limits = {}) { return Json::parse(text, "f.json", limits); }
void expect_refused(std::string_view text, const std::string& fragment, JsonLimits limits = {}) {
  SCOPED_TRACE(std::string(text.substr(0, 60)));
  expect_error([&] { static_cast<void>(parse(text, limits)); }, fragment);
}
std::string nested(int depth) {
  return std::string(static_cast<std::size_t>(depth), '[') + "1" + std::string(static_cast<std::size_t>(depth), ']');
}

TEST(Json, ReadsEveryKind) {
  const Json j = parse(R"( {"n":null,"t":true,"i":-7,"r":2.5,"s":"a\u00e9\n\ud83d\ude00","l":[1,[2],{}],"o":{"k":"v"}} )");
  ASSERT_TRUE(j.is_object());
  EXPECT_EQ(j.as_object("j").size(), 7u);
  EXPECT_EQ(j.as_object("j")[1].first, "t") << "members keep the order of the text";
  EXPECT_EQ(j.find("n"), nullptr) << "null equals absent";
  EXPECT_TRUE(j.at("t").as_bool("t"));
  EXPECT_EQ(j.at("i").as_int("i"), -7);
  EXPECT_EQ(j.at("i").as_number("i"), -7.0);
  EXPECT_EQ(j.at("r").as_number("r"), 2.5);
  EXPECT_EQ(j.at("s").as_string("s"), "a\xc3\xa9\n\xf0\x9f\x98\x80");
  EXPECT_EQ(j.at("l").as_array("l").size(), 3u);
  EXPECT_EQ(j.at("o").at("k").as_string("k"), "v");
  EXPECT_EQ(j.where(), "f.json");
  EXPECT_EQ(parse("3").as_int("x"), 3);
}

TEST(Json, NodesOutliveTheirParents) {
  Json inner;
  {
    const Json j = parse(R"({"a":{"b":1}})");
    inner = j.at("a");
  }
  EXPECT_EQ(inner.where(), "f.json");
  expect_error([&] { static_cast<void>(inner.at("c")); }, "f.json: c: missing");
}

TEST(Json, DefaultsStandForAbsentAndNull) {
  const Json j = parse(R"({"n":null,"i":3,"x":0.5,"b":true,"s":"t"})");
  for (const char* key : {"n", "absent"}) {
    EXPECT_EQ(j.get(key, 9), 9);
    EXPECT_EQ(j.get(key, 1.5), 1.5);
    EXPECT_EQ(j.get(key, true), true);
    EXPECT_EQ(j.get(key, "d"), "d");
  }
  EXPECT_EQ(j.get("i", 9), 3);
  EXPECT_EQ(j.get("i", 9.0), 3.0);
  EXPECT_EQ(j.get("x", 9.0), 0.5);
  EXPECT_EQ(j.get("b", false), true);
  EXPECT_EQ(j.get("s", "d"), "t");
}

TEST(Json, TypeErrorsNameFileFieldAndKind) {
  const Json j = parse(R"({"hidden_size":"64","layers":2.5,"big":1e30,"list":[1]})");
  expect_error([&] { static_cast<void>(j.at("hidden_size").as_int("hidden_size")); },
               "f.json: hidden_size: expected an integer, found a string");
  expect_error([&] { static_cast<void>(j.get("layers", 1)); }, "f.json: layers: expected an integer of 64 bits, found 2.5");
  expect_error([&] { static_cast<void>(j.get("big", 1)); }, "f.json: big: expected an integer of 64 bits, found 1e+30");
  expect_error([&] { static_cast<void>(j.get("list", true)); }, "expected true or false, found an array");
  expect_error([&] { static_cast<void>(j.get("list", 1.0)); }, "expected a number, found an array");
  expect_error([&] { static_cast<void>(j.get("list", "")); }, "expected a string, found an array");
  expect_error([&] { static_cast<void>(j.as_array("root")); }, "f.json: root: expected an array, found an object");
  expect_error([&] { static_cast<void>(j.at("list").as_object("list")); }, "expected an object, found an array");
  expect_error([&] { static_cast<void>(j.at("absent")); }, "f.json: absent: missing");
  expect_error([&] { static_cast<void>(j.at("list").at("x")); }, "f.json: x: looked for in an array");
}

TEST(Json, IntegersKeepAllTheirBits) {
  EXPECT_EQ(parse("9223372036854775807").as_int("x"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(parse("-9223372036854775808").as_int("x"), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(parse("3.0").as_int("x"), 3);
  for (const char* text : {"9223372036854775808", "18446744073709551615", "18446744073709551616", "-9223372036854775809"}) {
    EXPECT_EQ(parse(text).as_number("x"), std::stod(text)) << text;
    expect_error([&] { static_cast<void>(parse(text).as_int("x")); }, "expected an integer of 64 bits");
  }
}

TEST(Json, ReadsTheThirtyDigitIntegerOfTokenizerConfigs) {
  const Json j =
      parse(R"({"model_max_length":1000000000000000019884624838656,"s":"\"1000000000000000019884624838656","l":[-1e2,1.5]})");
  EXPECT_EQ(j.get("model_max_length", 0.0), 1e30);
  EXPECT_EQ(j.at("s").as_string("s"), "\"1000000000000000019884624838656") << "strings are not touched";
  EXPECT_EQ(j.at("l").as_array("l")[0].as_number("l"), -100.0);
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* text : {"", " ", "\n"}) expect_refused(text, "f.json: no JSON in it");
  for (const char* text : {"[1,2",        "{\"a\"}",      "{\"a\":}",       "{a:1}",  "[1,]",    "tru",   "[01]",      "[1.]",
                           "[-]",         "[+1]",         "[1e]",           "[NaN]",  "[1e400]", "\"abc", "[\"\\x\"]", "[\"a\nb\"]",
                           "\"\\ud800\"", "\"\\udc00x\"", "\xef\xbb\xbf{}", "/*c*/1", "{]",      "\\"}) {
    expect_refused(text, "f.json: not JSON");
  }
  for (const char* text : {"1 2", "[1] x", "{} {}", "{}]"}) expect_refused(text, "f.json: not JSON");
}

TEST(Json, MistakesHaveAPlace) {
  const std::pair<const char*, const char*> cases[] = {{"{\"a\":1,\n \"b\"}", "not JSON at byte 12 (line 2): "},
                                                       {"[5, 01]", "at byte 4 (line 1): "},
                                                       {"[5, 6 7]", "at byte 6 (line 1): "},
                                                       {"{\"a\": [1,2,\n\n {\"c\" 1}]}", "at byte 19 (line 3): "},
                                                       {"[1000000000000000019884624838656, NaN]", "at byte 34 (line 1): "}};
  for (const auto& [text, place] : cases) expect_refused(text, place);
}

TEST(Bad10, JsonThatIsNotUtf8IsRefusedByPlace) {
  for (const char* bad : {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"}) {
    expect_refused("[\"a" + std::string(bad) + "\"]", "f.json: not UTF-8 at byte 3");
  }
}

TEST(Json, RefusesDuplicateKeys) {
  expect_refused(R"({"a":1,"b":2,"a":3})", "f.json: \"a\": duplicate key");
  expect_refused(R"([{"x":{"a":1,"\u0061":2}}])", "\"a\": duplicate key");
  EXPECT_EQ(parse(R"({"a":{"a":1}})").as_object("j").size(), 1u);
}

TEST(Json, ManyKeysTakeNoQuadraticTime) {
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) text += (i ? ",\"k" : "\"k") + std::to_string(i) + "\":0";
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(parse(text + "}").as_object("j").size(), 200000u);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5)) << "200,000 squared would take minutes";
}

TEST(Json, LimitsHold) {
  EXPECT_NO_THROW(static_cast<void>(parse(nested(4), {.depth = 4})));
  expect_refused(nested(5), "f.json: JSON nested deeper than 4 levels", {.depth = 4});
  EXPECT_NO_THROW(static_cast<void>(parse(nested(64))));
  expect_refused(nested(65), "nested deeper than 64 levels");
  expect_refused(nested(100000), "nested deeper than 64 levels");
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  expect_refused(objects + "1" + std::string(100000, '}'), "nested deeper than 64 levels");
  EXPECT_NO_THROW(static_cast<void>(parse("[1,1]", {.bytes = 5})));
  expect_refused("[1,1] ", "6 bytes of JSON, more than the 5 accepted", {.bytes = 5});
  EXPECT_NO_THROW(static_cast<void>(parse("[1,1]", {.values = 3})));
  expect_refused("[1,1,1]", "more JSON values than the 3 accepted", {.values = 3});
}

TEST(Json, FilesAreCheckedBeforeTheyAreRead) {
  const test::TempDir dir;
  const std::string path = dir.write("a.json", R"({"a":1})");
  EXPECT_EQ(Json::parse_file(path).get("a", 0), 1);
  EXPECT_EQ(Json::parse_file(path).where(), path);
  expect_error([&] { static_cast<void>(Json::parse_file(path, {.bytes = 6})); },
               path + ": 7 bytes of JSON, more than the 6 accepted");
  expect_error([&] { static_cast<void>(Json::parse_file(dir.path() + "/absent.json")); }, "absent.json: cannot open: No such file");
  expect_error([&] { static_cast<void>(Json::parse_file(dir.path())); }, "not a regular file");
  expect_error([&] { static_cast<void>(Json::parse_file(dir.write("empty.json", ""))); }, "empty.json: no JSON in it");
}

std::string literal(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(Json, WritesStringsThatReadBack) {
  EXPECT_EQ(literal("plain"), "\"plain\"");
  EXPECT_EQ(literal("\"\\/\b\f\n\r\t\x01\x1f\x7f"), "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
  EXPECT_EQ(literal(std::string_view("\0", 1)), "\"\\u0000\"");
  std::string all;
  for (unsigned char c = 0; c < 0x80; ++c) all += static_cast<char>(c);
  all += "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
  EXPECT_EQ(parse(literal(all)).as_string("x"), all);
}

TEST(Json, WritesReplacementForInvalidUtf8) {
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(literal("a\xff"
                    "b"),
            "\"a" + r + "b\"");
  EXPECT_EQ(literal("\xe2\x82"), "\"" + r + "\"") << "a truncated character is one replacement";
  EXPECT_EQ(literal("\xe2\x82\x41"), "\"" + r + "A\"");
  EXPECT_EQ(literal("\xc0\x80"), "\"" + r + r + "\"") << "overlong: each byte is one";
  EXPECT_EQ(literal("\xed\xa0\x80"), "\"" + r + r + r + "\"") << "surrogate";
  EXPECT_EQ(literal("\xf0\x90\x80\xc3\xa9"), "\"" + r + "\xc3\xa9\"");
}

TEST(Json, WritesNumbersThatReadBackEqual) {
  const auto text = [](double x) {
    std::string out;
    append_json_number(out, x);
    return out;
  };
  for (const double x : {0.0, 1.0, -3.0, 0.1, 1e-6, 1.0 / 3, 1e300, -5e-324, 123456789.0, 0x1p63, 1e22, 3.4028234663852886e38}) {
    EXPECT_EQ(parse(text(x)).as_number("x"), x) << text(x);
  }
  EXPECT_EQ(text(0.1), "0.1");
  EXPECT_EQ(text(3), "3");
  EXPECT_EQ(text(std::numeric_limits<double>::quiet_NaN()), "null");
  EXPECT_EQ(text(-std::numeric_limits<double>::infinity()), "null");
}

TEST(Json, QuotedTextIsShort) {
  EXPECT_EQ(in_quotes("a\"b"), "\"a\\\"b\"");
  EXPECT_LT(in_quotes(std::string(1000, 'x')).size(), 100u);
}

}  // namespace
}  // namespace atom::engine
