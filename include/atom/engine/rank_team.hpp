#pragma once
// RankTeam: tensor-parallel ranks as threads of one process. Rank 0 is the caller, so a world of one rank has no threads.
// One idea: every() runs the same body once per rank, each rank always on its own thread; it returns when all are done and
// allocates nothing.
#include <atomic>
#include <thread>
#include <vector>

namespace atom::engine {

class RankTeam {
 public:
  explicit RankTeam(int ranks);
  ~RankTeam();
  RankTeam(const RankTeam&) = delete;
  RankTeam& operator=(const RankTeam&) = delete;

  template <class Body> void every(Body&& body) noexcept {
    call([](void* b, int rank) noexcept { (*static_cast<std::remove_reference_t<Body>*>(b))(rank); }, &body);
  }

 private:
  using Task = void (*)(void* body, int rank) noexcept;
  void call(Task task, void* body) noexcept;
  void serve(int rank) noexcept;

  Task task_ = nullptr;
  void* body_ = nullptr;
  std::atomic<unsigned> epoch_{0};
  std::atomic<int> busy_{0};
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace atom::engine
