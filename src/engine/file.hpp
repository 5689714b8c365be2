#pragma once
// File: a regular file opened for reading, its size known before anything is allocated for it.
#include <cstddef>
#include <string>
#include <utility>

namespace atom::engine {

class File {
 public:
  /// Throws atom::Error when `path` cannot be opened or is no regular file (a directory, a pipe that would block).
  explicit File(const std::string& path);
  ~File();
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}
  File& operator=(File&&) = delete;

  [[nodiscard]] int descriptor() const { return fd_; }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  int fd_ = -1;
  std::size_t size_ = 0;
};

/// Whether `path` names something that exists.
bool exists(const std::string& path);

/// strerror(errno), without its shared buffer.
std::string system_message();

}  // namespace atom::engine
