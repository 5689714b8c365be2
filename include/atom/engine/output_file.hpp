#pragma once
// OutputFile: a file that appears complete or not at all.
// One idea: it is written beside its final name and renamed by commit(); whoever stops before that leaves nothing.
// To extend: anything that writes a result file goes through it.
#include <cstddef>
#include <string>

namespace atom::engine {

class OutputFile {
 public:
  /// Throws atom::Error when the directory cannot be written to; so do the others when the disk fails.
  explicit OutputFile(std::string path);
  ~OutputFile();  ///< without commit(): removes what was written
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void commit();

 private:
  [[noreturn]] void fail(const char* action) const;

  std::string path_, temporary_;
  int fd_ = -1;
};

}  // namespace atom::engine
