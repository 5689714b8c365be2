#include "atom/engine/rank_team.hpp"

namespace atom::engine {

RankTeam::RankTeam(int ranks) {
  for (int r = 1; r < ranks; ++r) threads_.emplace_back([this, r] { serve(r); });
}

RankTeam::~RankTeam() {
  stop_ = true;
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (auto& t : threads_) t.join();
}

void RankTeam::call(Task task, void* body) noexcept {
  task_ = task;
  body_ = body;
  busy_.store(static_cast<int>(threads_.size()), std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  task(body, 0);
  for (int left; (left = busy_.load(std::memory_order_acquire)) != 0;) busy_.wait(left, std::memory_order_acquire);
}

void RankTeam::serve(int rank) noexcept {
  for (unsigned seen = 0;; ++seen) {
    epoch_.wait(seen, std::memory_order_acquire);
    if (stop_) return;
    task_(body_, rank);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_all();
  }
}

}  // namespace atom::engine
