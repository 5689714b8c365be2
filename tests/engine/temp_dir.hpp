#pragma once
// What the tests of file readers share: folders, files, expected errors.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <string>

#include "atom/core/error.hpp"

namespace atom::test {

/// A fresh directory, removed with everything in it.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "atom_test_XXXXXX").string();
    if (!::mkdtemp(name.data())) throw Error(name + ": cannot create");
    path_ = name;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  /// Writes (or overwrites) a file and returns its path.
  std::string write(const std::string& name, std::string_view bytes) const {
    const std::string path = path_ + "/" + name;
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path;
  }

 private:
  std::string path_;
};

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A folder of published files that are not kept here: <kind>/<name> in $ATOM_FIXTURES, or else in ../shared/fixtures beside the
/// repository; empty where there is none.
inline std::string published(const std::string& kind, const std::string& name) {
  const char* root = std::getenv("ATOM_FIXTURES");
  const std::string folder = std::string(root ? root : ATOM_TEST_DATA "/../../../shared/fixtures") + "/" + kind + "/" + name;
  return std::filesystem::exists(folder) ? folder : "";
}

/// The message of the atom::Error that `action` throws; a failure and "" if it throws none.
template <class Action> std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return {};
}

template <class Action> void expect_error(Action action, const std::string& fragment) {
  const std::string message = error_of(action);
  EXPECT_NE(message.find(fragment), std::string::npos) << "message: " << message << "\nexpected in it: " << fragment;
}

}  // namespace atom::test
