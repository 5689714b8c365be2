#include "file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "atom/core/error.hpp"

namespace atom::engine {

std::string system_message() { return std::system_category().message(errno); }

File::File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (fd_ < 0) throw Error(path + ": cannot open: " + system_message());
  struct stat info {};
  const bool known = ::fstat(fd_, &info) == 0;
  if (!known || !S_ISREG(info.st_mode)) {
    const std::string why = known ? "not a regular file" : system_message();
    ::close(fd_);
    throw Error(path + ": cannot read: " + why);
  }
  size_ = static_cast<std::size_t>(info.st_size);
}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

}  // namespace atom::engine
