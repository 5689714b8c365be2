// A disk that is full, a clock that jumps, ids that never repeat.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <set>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "atom/engine/engine.hpp"
#include "atom/engine/safetensors.hpp"

#include "fake_model.hpp"
#include "temp_dir.hpp"

// The machine's clocks as the whole test program sees them. While `jumps` is set, the time of day is another year at every look.
static bool jumps = false;
extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const auto result = static_cast<int>(syscall(SYS_clock_gettime, clock, time));
  static time_t looks = 0;
  if (jumps && clock == CLOCK_REALTIME) {
    constexpr time_t year = 31'000'000;
    ++looks;
    time->tv_sec += looks % 2 ? looks * year : -looks * year;
  }
  return result;
}

namespace atom::engine {
namespace {

// Files end at so many bytes, as on a full disk.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(Bad44, AFullDiskLeavesNoHalfFile) {
  const test::TempDir dir;
  const std::vector<std::byte> bytes(100'000);
  NamedTensor t;
  t.name = "w";
  t.dtype = DType::i8;
  t.rank = 1;
  t.dims[0] = static_cast<std::int64_t>(bytes.size());
  t.data = bytes.data();
  t.bytes = bytes.size();
  const std::string fresh = dir.path() + "/new.safetensors", old = dir.write("old.safetensors", "what was there");
  for (const rlim_t space : {0, 8, 50'000, 100'000}) {
    const FullDisk disk(space);
    for (const std::string& path : {fresh, old})
      EXPECT_THROW(write_safetensors(path, std::span(&t, 1)), Error) << space << " bytes left";
  }
  EXPECT_FALSE(std::filesystem::exists(fresh));
  EXPECT_EQ(test::read_file(old), "what was there");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1) << "and no temporary one";
  write_safetensors(fresh, std::span(&t, 1));
  EXPECT_EQ(SafeTensors(fresh).tensors().size(), 1u);
}

TEST(Bad46, JumpsOfTheClockAreNotSeen) {
  fake::FakeModel model;
  LLMEngine engine(model, fake::fake_tokenizer(), {.seed = 1});
  const std::vector<Prompt> prompts(5, std::vector<int>{1, 2, 3});
  SamplingParams p{.max_tokens = 20, .ignore_eos = true};
  jumps = true;
  const time_t first = time(nullptr), second = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  const auto outputs = engine.generate(prompts, p);
  jumps = false;
  EXPECT_GT(std::abs(difftime(first, second)), 1e6) << "the test's clock does jump";
  for (const RequestOutput& o : outputs) {
    EXPECT_GT(o.ttft, 0);
    EXPECT_GE(o.latency, o.ttft);
    EXPECT_LT(o.latency, 1000);
    EXPECT_GE(o.tpot, 0);
  }
}

TEST(Bad46, IdsAscendAndNeverComeBack) {
  static_assert(sizeof(Admission::id) == 8 && sizeof(RequestOutput::id) == 8 && sizeof(kernels::SampleParams::counter) == 8);
  fake::FakeModel model;
  LLMEngine engine(model, fake::fake_tokenizer(), {.seed = 1});
  std::uint64_t last = 0;
  std::set<std::uint64_t> ended;
  for (int i = 0; i < 2000; ++i) {
    const auto admission = engine.add({.prompt = std::vector<int>{1}, .params = {.max_tokens = 1 + i % 3, .n = 1 + i % 4}});
    ASSERT_TRUE(admission.ok());
    EXPECT_GT(admission.id, last);
    last = admission.id;
    if (i % 5 == 0) engine.abort(last);
    if (i % 7 == 0) engine.step();
    for (const RequestOutput& o : engine.take_finished()) ended.insert(o.id);
    EXPECT_FALSE(!ended.empty() && engine.abort(*ended.begin())) << "the id of a request that is gone";
  }
  while (engine.step()) {}
  for (const RequestOutput& o : engine.take_finished()) ended.insert(o.id);
  EXPECT_EQ(ended.size(), 2000u);
}

}  // namespace
}  // namespace atom::engine
