// Every input that fuzzing has found, and the seeds it began with, in the ordinary tests.
#include <algorithm>
#include <filesystem>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "../engine/temp_dir.hpp"
#include "targets.hpp"

namespace atom::fuzz {
namespace {

class Replay : public testing::TestWithParam<std::string> {};

TEST_P(Replay, EveryFileIsReadOrRefused) {
  const Target& target = *std::ranges::find(targets, GetParam(), &Target::name);
  int files = 0, outcomes[3] = {};
  for (const auto& entry : std::filesystem::directory_iterator(ATOM_FUZZ_CORPUS "/" + GetParam())) {
    SCOPED_TRACE(entry.path().string());
    ++files;
    EXPECT_NO_THROW(++outcomes[static_cast<int>(target.run(test::read_file(entry.path().string())))]);
  }
  EXPECT_GT(files, 2) << "a corpus to replay";
  EXPECT_GT(outcomes[static_cast<int>(Outcome::accepted)], 0) << "some of it sound";
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const Target& t : targets) all.emplace_back(t.name);
  return all;
}
INSTANTIATE_TEST_SUITE_P(Fuzz, Replay, testing::ValuesIn(names()), [](const auto& of) { return of.param; });

}  // namespace
}  // namespace atom::fuzz
