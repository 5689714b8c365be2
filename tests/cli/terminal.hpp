#pragma once
// A program on a terminal of its own, typed at and read by a test.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace atom::test {

class Terminal {
 public:
  /// Runs a command line by the shell; stdin, stdout and stderr are the terminal.
  explicit Terminal(const std::string& command) : master_(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    if (master_ < 0 || grantpt(master_) != 0 || unlockpt(master_) != 0) throw Error("no pseudo-terminal");
    const std::string name = ptsname(master_), line = "exec env TERM=xterm " + command;
    child_ = fork();
    if (child_ != 0) return;
    setsid();
    const int terminal = open(name.c_str(), O_RDWR);
    ioctl(terminal, TIOCSCTTY, 0);
    for (int fd = 0; fd < 3; ++fd) dup2(terminal, fd);
    execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
    _exit(127);
  }
  ~Terminal() {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
    close(master_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(std::string_view text) const { EXPECT_EQ(write(master_, text.data(), text.size()), static_cast<ssize_t>(text.size())); }

  /// A key that means something to a line editor: typed when that has taken over from the terminal, as a person would.
  void press(std::string_view key) const {
    usleep(100'000);
    type(key);
  }

  /// Waits until `text` is shown; returns what was shown since the last call, up to and with it.
  std::string expect(std::string_view text) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    std::size_t at;
    while ((at = shown_.find(text)) == shown_.npos) {
      if (std::chrono::steady_clock::now() > end || !read_more()) {
        ADD_FAILURE() << "expected: " << text << "\nshown: " << shown_;
        return std::exchange(shown_, {});
      }
    }
    std::string seen = shown_.substr(0, at + text.size());
    shown_.erase(0, seen.size());
    return seen;
  }
  /// Waits for the end; the exit status, or -1 after a signal.
  int wait() {
    while (read_more()) {}
    int status = 0;
    if (waitpid(child_, &status, WNOHANG) == 0) {  // silent, or closing: a moment more, and then no more
      sleep(1);
      kill(child_, SIGKILL);
    } else {
      child_ = -1;
      return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    waitpid(std::exchange(child_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  bool read_more() {
    pollfd ready{master_, POLLIN, 0};
    if (poll(&ready, 1, 10'000) <= 0) return false;
    char buffer[4096];
    const ssize_t n = read(master_, buffer, sizeof buffer);  // fails when the last program has left
    if (n <= 0) return false;
    shown_.append(buffer, static_cast<std::size_t>(n));
    return true;
  }

  int master_;
  pid_t child_ = -1;
  std::string shown_;
};

}  // namespace atom::test
