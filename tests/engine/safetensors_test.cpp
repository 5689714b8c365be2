#include "atom/engine/safetensors.hpp"

#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <sys/stat.h>
#include <utility>
#include <vector>

#include "temp_dir.hpp"

namespace atom::engine {
namespace {

using test::error_of;
using test::expect_error;

/// The bytes of a file with this header text and this much data.
std::string container(const std::string& header, std::size_t data_bytes) {
  std::string out(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(out.data(), &length, 8);
  out += header;
  for (std::size_t i = 0; i < data_bytes; ++i) out += static_cast<char>(i);
  return out;
}
std::string with_length(std::uint64_t length, std::string_view rest) {
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out.append(rest);
}
std::string entry(const char* dtype, const char* shape, const char* offsets) {
  return std::string("{\"dtype\":\"") + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}
std::string one(const char* dtype, const char* shape, const char* offsets) {
  return "{\"w\":" + entry(dtype, shape, offsets) + "}";
}
std::string two(const std::string& a, const std::string& b) { return "{\"a\":" + a + ",\"b\":" + b + "}"; }

TEST(SafeTensors, ReadsWhatTheHeaderSays) {
  const test::TempDir dir;
  // "w" starts at byte 3 of the data: tensors need not be aligned.
  const std::string header = "{\"__metadata__\":{\"format\":\"pt\"},\"w\":" + entry("F32", "[2,1]", "[3,11]") +
                             ",\"b\":" + entry("I8", "[3]", "[0,3]") + ",\"none\":" + entry("BF16", "[0,7]", "[11,11]") +
                             ",\"scalar\":" + entry("I64", "[]", "[11,19]") + ",\"q\":" + entry("F8_E4M3", "[2]", "[19,21]") +
                             "}  ";
  const SafeTensors file(dir.write("m.safetensors", container(header, 21)));
  const auto all = file.tensors();
  ASSERT_EQ(all.size(), 5u);
  EXPECT_EQ(all[0].name, "b") << "sorted by place in the file";
  EXPECT_EQ(all[1].name, "w");
  EXPECT_EQ(all[1].dtype, DType::f32);
  EXPECT_EQ(std::vector(all[1].shape().begin(), all[1].shape().end()), (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(all[1].bytes, 8u);
  EXPECT_EQ(all[1].data, all[0].data + 3);
  EXPECT_EQ(static_cast<int>(all[1].data[0]), 3);
  EXPECT_EQ(all[2].name, "none");
  EXPECT_EQ(all[2].bytes, 0u);
  EXPECT_EQ(all[3].rank, 0);
  EXPECT_EQ(all[3].bytes, 8u);
  EXPECT_EQ(all[4].dtype, DType::other);
  EXPECT_EQ(all[4].dtype_name, "F8_E4M3");
}

TEST(SafeTensors, ReadsAFileWithoutTensors) {
  const test::TempDir dir;
  EXPECT_TRUE(SafeTensors(dir.write("m.safetensors", container("{}", 0))).tensors().empty());
}

TEST(SafeTensors, MovesWithItsMapping) {
  const test::TempDir dir;
  SafeTensors a(dir.write("a.safetensors", container(one("U8", "[4]", "[0,4]"), 4)));
  const std::byte* const data = a.tensors()[0].data;
  SafeTensors b(std::move(a));
  EXPECT_EQ(b.tensors()[0].data, data);
  a = SafeTensors(dir.write("b.safetensors", container(one("U8", "[2]", "[0,2]"), 2)));
  b = std::move(a);
  EXPECT_EQ(b.tensors()[0].bytes, 2u);
  EXPECT_EQ(static_cast<int>(b.tensors()[0].data[1]), 1);
}

struct Broken {
  const char* what;
  std::string bytes, fragment;
};

/// Every way a file can lie. Each must be refused with a message that names the file and what is wrong.
std::vector<Broken> corruption_suite() {
  const auto max = ~std::uint64_t{0};
  std::vector<Broken> list = {
      {"empty", "", "0 bytes are too few"},
      {"seven bytes", "1234567", "7 bytes are too few"},
      {"length 0", with_length(0, "{}"), "header length 0 at byte 0 is no header"},
      {"length past end", with_length(3, "{}"), "header length 3 at byte 0 runs past the end of the file (10 bytes)"},
      {"length above cap", with_length((100u << 20) + 1, "{}"), "is above the 104857600 accepted"},
      {"length 2^64-1", with_length(max, "{}"), "header length 18446744073709551615 at byte 0 is above"},
      {"length 2^64-8", with_length(max - 7, "{}"), "is above"},
      {"header not JSON", container("{\"w\":", 0), "header at byte 8: not JSON"},
      {"header not UTF-8", container("{\"\xff\":1}", 0), "header at byte 8: not UTF-8 at byte 2"},
      {"header an array", container("[]", 0), "header at byte 8: expected an object, found an array"},
      {"header deep", container("{\"w\":" + std::string(100000, '[') + std::string(100000, ']') + "}", 0),
       "header at byte 8: JSON nested deeper"},
      {"header trailing", container("{} x", 0), "header at byte 8: not JSON"},
      {"name twice", container("{\"w\":" + entry("U8", "[1]", "[0,1]") + ",\"w\":" + entry("U8", "[1]", "[1,2]") + "}", 2),
       "\"w\": duplicate key"},
      {"metadata no object", container("{\"__metadata__\":[1]}", 0), "__metadata__: expected an object, found an array"},
      {"metadata no strings", container("{\"__metadata__\":{\"a\":1}}", 0),
       "__metadata__: \"a\": expected a string, found an integer"},
      {"entry a number", container("{\"w\":1}", 0), "\"w\": expected an object with dtype, shape and data_offsets"},
      {"entry null", container("{\"w\":null}", 0), "\"w\": expected an object with dtype, shape and data_offsets"},
      {"no dtype", container("{\"w\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1), "\"w\": dtype: missing"},
      {"no shape", container("{\"w\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1), "\"w\": shape: missing"},
      {"no offsets", container("{\"w\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1), "\"w\": data_offsets: missing"},
      {"dtype a number", container("{\"w\":{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}}", 1),
       "\"w\": dtype: expected a string"},
      {"shape a number", container(one("U8", "1", "[0,1]"), 1), "\"w\": shape: expected an array"},
      {"shape of strings", container(one("U8", "[\"1\"]", "[0,1]"), 1), "\"w\": shape: expected an integer"},
      {"negative dimension", container(one("U8", "[-1,-1]", "[0,1]"), 1), "\"w\": shape has the negative dimension -1"},
      {"fractional dimension", container(one("U8", "[1.5]", "[0,1]"), 1),
       "\"w\": shape: expected an integer of 64 bits, found 1.5"},
      {"nine dimensions", container(one("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1), "\"w\": shape has 9 dimensions, more than 8"},
      {"one offset", container(one("U8", "[1]", "[0]"), 1), "\"w\": data_offsets: expected two numbers, found 1"},
      {"three offsets", container(one("U8", "[1]", "[0,1,1]"), 1), "\"w\": data_offsets: expected two numbers, found 3"},
      {"reversed", container(one("U8", "[1]", "[1,0]"), 1), "\"w\": data_offsets [1, 0] are negative or reversed"},
      {"negative offset", container(one("U8", "[2]", "[-1,1]"), 1), "\"w\": data_offsets [-1, 1] are negative or reversed"},
      {"offset 2^64-1", container(one("U8", "[1]", "[0,18446744073709551615]"), 1),
       "\"w\": data_offsets: expected an integer of 64 bits"},
      {"offset 2^63-1", container(one("U8", "[9223372036854775807]", "[0,9223372036854775807]"), 1),
       "end beyond the file's 1 bytes of data"},
      {"beyond the end", container(one("F32", "[2]", "[0,8]"), 7),
       "\"w\": data_offsets [0, 8] end beyond the file's 7 bytes of data"},
      {"too few bytes", container(one("F32", "[2]", "[0,7]"), 7), "\"w\": data_offsets span 7 bytes, type F32 and shape ask for 8"},
      {"too many bytes", container(one("BF16", "[2,2]", "[0,9]"), 9),
       "\"w\": data_offsets span 9 bytes, type BF16 and shape ask for 8"},
      {"bytes for nothing", container(one("U8", "[0]", "[0,1]"), 1), "ask for 0"},
      {"product is 2^64", container(one("U8", "[4294967296,4294967296]", "[0,0]"), 0), "\"w\": the product of its shape overflows"},
      {"product is 2^64+1", container(one("U8", "[274177,67280421310721]", "[0,1]"), 1),
       "\"w\": the product of its shape overflows"},
      {"bytes are 2^64", container(one("I64", "[2305843009213693952]", "[0,0]"), 0), "\"w\": its shape asks for more bytes"},
      {"other of known size", container(one("F8_E4M3", "[2]", "[0,3]"), 3),
       "\"w\": data_offsets span 3 bytes, type F8_E4M3 and shape ask for 2"},
      {"other, no bytes", container(one("X9", "[2]", "[0,0]"), 0), "\"w\": 0 bytes cannot be 2 elements of type \"X9\""},
      {"other, too many bytes", container(one("X9", "[1]", "[0,99]"), 99), "99 bytes cannot be 1 elements"},
      {"overlap", container(two(entry("U8", "[4]", "[0,4]"), entry("U8", "[4]", "[3,7]")), 7),
       "\"b\": its bytes overlap those of \"a\""},
      {"same bytes", container(two(entry("U8", "[4]", "[0,4]"), entry("U8", "[4]", "[0,4]")), 4), "overlap those of"},
      {"inside", container(two(entry("U8", "[4]", "[0,4]"), entry("U8", "[2]", "[1,3]")), 4),
       "\"b\": its bytes overlap those of \"a\""},
      {"gap", container(two(entry("U8", "[2]", "[0,2]"), entry("U8", "[2]", "[3,5]")), 5),
       "\"b\": bytes 2 to 3 before it belong to no tensor"},
      {"gap before all", container(one("U8", "[1]", "[1,2]"), 2), "\"w\": bytes 0 to 1 before it belong to no tensor"},
      {"gap after all", container(one("U8", "[1]", "[0,1]"), 4), "the last 3 bytes belong to no tensor"},
      {"data without tensors", container("{}", 1), "the last 1 bytes belong to no tensor"},
  };
  return list;
}

TEST(SafeTensors, RefusesEveryCorruption) {
  const test::TempDir dir;
  for (const Broken& b : corruption_suite()) {
    SCOPED_TRACE(b.what);
    const std::string path = dir.write("m.safetensors", b.bytes);
    const std::string message = error_of([&] { SafeTensors file(path); });
    EXPECT_EQ(message.rfind(path + ": ", 0), 0u) << "message: " << message << "\nshould begin with the file";
    EXPECT_NE(message.find(b.fragment), std::string::npos) << "message: " << message << "\nexpected in it: " << b.fragment;
  }
}

TEST(SafeTensors, RefusesEveryTruncation) {
  const test::TempDir dir;
  const std::string whole = container(two(entry("F32", "[2]", "[0,8]"), entry("U8", "[3]", "[8,11]")), 11);
  EXPECT_NO_THROW(SafeTensors(dir.write("m.safetensors", whole)));
  for (std::size_t n = 0; n < whole.size(); ++n) {
    EXPECT_THROW(SafeTensors(dir.write("m.safetensors", whole.substr(0, n))), Error) << n << " of " << whole.size() << " bytes";
  }
}

TEST(SafeTensors, RefusesWhatIsNoFile) {
  const test::TempDir dir;
  expect_error([&] { SafeTensors file(dir.path() + "/absent"); }, "absent: cannot open: No such file");
  expect_error([&] { SafeTensors file(dir.path()); }, "not a regular file");
  const std::string pipe = dir.path() + "/pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_error([&] { SafeTensors file(pipe); }, "not a regular file");
}

NamedTensor tensor(const char* name, DType dtype, std::initializer_list<std::int64_t> shape, const std::string& bytes) {
  NamedTensor t;
  t.name = name;
  t.dtype = dtype;
  for (const std::int64_t n : shape) t.dims[static_cast<std::size_t>(t.rank++)] = n;
  t.data = reinterpret_cast<const std::byte*>(bytes.data());
  t.bytes = bytes.size();
  return t;
}

TEST(WriteSafeTensors, FilesReadBack) {
  const test::TempDir dir;
  const std::string path = dir.path() + "/out.safetensors", odd = "abc", floats = "0123456789abcdef", none;
  NamedTensor fp8 = tensor("fp8", DType::other, {3}, odd);
  fp8.dtype_name = "F8_E4M3";
  const std::vector<NamedTensor> all = {tensor("a \"quoted\" n\xc3\xa4me", DType::i8, {3}, odd), fp8,
                                        tensor("w", DType::f32, {2, 2}, floats), tensor("nothing", DType::bf16, {0}, none),
                                        tensor("wide", DType::i64, {2}, floats)};
  write_safetensors(path, all);
  const SafeTensors file(path);
  ASSERT_EQ(file.tensors().size(), all.size());
  for (const NamedTensor& want : all) {
    SCOPED_TRACE(want.name);
    const auto& tensors = file.tensors();
    const auto got = std::find_if(tensors.begin(), tensors.end(), [&](const NamedTensor& t) { return t.name == want.name; });
    ASSERT_NE(got, tensors.end());
    EXPECT_EQ(got->dtype, want.dtype);
    EXPECT_TRUE(std::equal(got->shape().begin(), got->shape().end(), want.shape().begin(), want.shape().end()));
    ASSERT_EQ(got->bytes, want.bytes);
    EXPECT_TRUE(want.bytes == 0 || std::memcmp(got->data, want.data, want.bytes) == 0);
    if (const int size = size_of(want.dtype); size > 0) {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(got->data) % static_cast<unsigned>(size), 0u) << "aligned to its element";
    }
  }
}

TEST(Bad44, FailuresLeaveTheOldFile) {
  const test::TempDir dir;
  const std::string four = "0123", path = dir.write("out.safetensors", "old");
  const NamedTensor good = tensor("w", DType::f32, {1}, four);
  const auto refused = [&](const std::vector<NamedTensor>& tensors, const char* fragment) {
    expect_error([&] { write_safetensors(path, tensors); }, fragment);
    EXPECT_EQ(test::read_file(path), "old");
  };
  refused({good, good}, "\"w\": duplicate key");
  refused({tensor("w", DType::f32, {2}, four)}, "span 4 bytes, type F32 and shape ask for 8");
  refused({tensor("__metadata__", DType::f32, {1}, four)}, "__metadata__");
  expect_error([&] { write_safetensors(dir.path() + "/absent/out", std::span(&good, 1)); }, "cannot create: No such file");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1) << "no temporary file is left";
  write_safetensors(path, std::span(&good, 1));
  EXPECT_EQ(SafeTensors(path).tensors().size(), 1u) << "an existing file is replaced";
}

}  // namespace
}  // namespace atom::engine
