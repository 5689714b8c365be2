// Compiled without sanitizers, whatever the rest is: what they could find here is not in kernels.
#include "atom/gpu/emu.hpp"

#include <algorithm>
#include <numeric>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "atom/gpu/mma.hpp"

#include "fiber.hpp"

namespace atom::gpu::emu {
namespace {

std::string text(Site s) {
  const std::string_view path = s.file_name();
  return std::string(path.substr(path.rfind('/') + 1)) + ":" + std::to_string(s.line());
}
bool same(const Site& a, const Site& b) { return a.line() == b.line() && a.column() == b.column(); }

/// Who touched an element of shared memory last. Epochs count barriers: of the block, of the thread's wave.
struct Touch {
  unsigned block_epoch = 0, wave_epoch = 0;
  int thread = -1;
  Site site{};
};
struct Shadow {
  Touch write, reader, other_reader;
  bool atomic = false, in_flight = false;
};

constexpr const char* wave_sync = "wave_sync";

struct Copy {
  void* to;
  const void* from;
  bool exists;
  int group;
  std::size_t bytes = 16;  // not a constant: the memcpy below must be the library's, whose arguments AddressSanitizer sees
};

struct Thread {
  enum class At : unsigned char { ready, wave, block, done };
  Fiber fiber;
  At at = At::ready;
  bool second_cell = false;
  Site site{};
  const char* what = "";
  void (*combine)(void*) = nullptr;
  int groups = 0;  // of copies, committed so far
  std::vector<Copy> copies;
};

}  // namespace

class Machine::State {
 public:
  std::string fault;
  explicit State(unsigned schedule) : schedule_(schedule) {}

  void run(const Launch& l) {
    launch_ = &l;
    while (threads_.size() < static_cast<std::size_t>(l.threads)) threads_.push_back(std::make_unique<Thread>());
    const auto waves = static_cast<std::size_t>(l.threads / l.wave);
    wave_epochs_.assign(waves, 0);
    cells_.resize(static_cast<std::size_t>(l.threads) * 2 * cell_bytes);
    shared_.reset(new unsigned char[l.shared_bytes]);                       // exactly: what lies behind it is the sanitizer's
    if (shadows_.size() < l.shared_bytes) shadows_.resize(l.shared_bytes);  // epochs tell what earlier blocks left there
    random_.seed(schedule_);
    State* const before = std::exchange(now, this);
    std::vector<int> order(static_cast<std::size_t>(l.blocks_x) * static_cast<std::size_t>(l.blocks_y));
    std::iota(order.begin(), order.end(), 0);
    shuffle(order);
    for (const int b : order) {
      if (!fault.empty()) break;
      run_block(b % l.blocks_x, b / l.blocks_x);
    }
    now = before;
  }

  // What a thread asks for, on its fiber.
  void wait(Thread::At at, const char* what, Site s, void (*combine)(void*) = nullptr) {
    Thread& t = *threads_[static_cast<std::size_t>(thread_)];
    t.at = at;
    t.what = what;
    t.site = s;
    t.combine = combine;
    t.fiber.leave();
  }
  void exchange(const void* mine, std::size_t bytes, void (*combine)(void*), const char* what, Site s) {
    Thread& t = *threads_[static_cast<std::size_t>(thread_)];
    t.second_cell = !t.second_cell;  // the lane that runs ahead may bring its next value before all have read this one
    std::memcpy(cell_of(thread_), mine, bytes);
    wait(Thread::At::wave, what, s, combine);
  }
  const void* cell(int lane) { return cell_of(thread_ / launch_->wave * launch_->wave + lane); }
  unsigned char* shared() { return shared_.get(); }

  void touch(const void* p, std::size_t element, int count, Access how, Site s) {
    const auto first = static_cast<std::size_t>(static_cast<const unsigned char*>(p) - shared_.get());
    for (int i = 0; i < count; ++i) touch_one(shadows_[first + static_cast<std::size_t>(i) * element], how, s);
  }
  void copy_async(void* to, const void* from, bool exists) {
    Thread& t = *threads_[static_cast<std::size_t>(thread_)];
    t.copies.push_back({to, from, exists, t.groups});
  }
  void commit() { ++threads_[static_cast<std::size_t>(thread_)]->groups; }
  void wait_copies(int pending) {
    Thread& t = *threads_[static_cast<std::size_t>(thread_)];
    auto& c = t.copies;
    const auto landed = std::stable_partition(c.begin(), c.end(), [&](const Copy& x) { return x.group >= t.groups - pending; });
    for (auto it = landed; it != c.end(); ++it) {
      if (it->exists)
        std::memcpy(it->to, it->from, it->bytes);
      else
        std::memset(it->to, 0, it->bytes);
      const auto first = static_cast<std::size_t>(static_cast<unsigned char*>(it->to) - shared_.get());
      for (std::size_t i = first; i < first + it->bytes; ++i) {
        Shadow& x = shadows_[i];
        if (!in_flight(x)) continue;
        x.in_flight = false;
        x.write = stamp(x.write.site);
      }
    }
    c.erase(landed, c.end());
  }

  /// Keeps the first sentence, and ends the thread.
  [[noreturn]] void fail(const std::string& what, Site s) {
    note(what + "; block (" + std::to_string(x_) + ", " + std::to_string(y_) + "), thread " + std::to_string(thread_) +
         (s.line() ? ", " + text(s) : ""));
    throw Stop{};
  }

  static thread_local State* now;

 private:
  struct Stop {};
  static void body() {
    State& m = *now;
    Thread& t = *m.threads_[static_cast<std::size_t>(m.thread_)];
    t.fiber.entered();
    try {
      m.launch_->body(m.launch_->args, m.thread_, m.x_, m.y_);
      if (!t.copies.empty()) m.fail("a thread returned while its asynchronous copies were in flight", Site{});
    } catch (const Stop&) {  // the sentence is noted
    }
    t.at = Thread::At::done;
    t.fiber.finish();
  }

  void note(std::string what) {
    if (fault.empty()) fault = std::move(what);
  }

  template <class V> void shuffle(V& v) {
    if (schedule_ != 0) std::shuffle(v.begin(), v.end(), random_);
  }

  void run_block(int x, int y) {
    x_ = x;
    y_ = y;
    std::memset(shared_.get(), 0xff, launch_->shared_bytes);  // NaN in every format
    first_epoch_ = ++epoch_;
    for (int t = 0; t < launch_->threads; ++t) {
      Thread& thread = *threads_[static_cast<std::size_t>(t)];
      thread.at = Thread::At::ready;
      thread.copies.clear();
      thread.groups = 0;
      thread.fiber.start(body);
    }
    std::vector<int> waves;
    while (fault.empty()) {
      waves.resize(wave_epochs_.size());
      std::iota(waves.begin(), waves.end(), 0);
      while (!waves.empty() && fault.empty()) {  // until every wave waits for the block
        const std::size_t pick = schedule_ == 0 ? 0 : random_() % waves.size();
        do
          if (!step(waves[pick])) {
            waves.erase(waves.begin() + static_cast<std::ptrdiff_t>(pick));
            break;
          }
        while (fault.empty() && (schedule_ == 0 || random_() % 4 != 0));
      }
      if (!fault.empty() || !release_block()) return;
    }
  }

  /// Runs the wave's lanes to their next wait. False: the wave has come to a barrier of the block, or to its end.
  bool step(int wave) {
    const int first = wave * launch_->wave;
    lanes_.resize(static_cast<std::size_t>(launch_->wave));
    std::iota(lanes_.begin(), lanes_.end(), first);
    shuffle(lanes_);
    for (const int t : lanes_) {
      if (threads_[static_cast<std::size_t>(t)]->at != Thread::At::ready) continue;
      thread_ = t;
      threads_[static_cast<std::size_t>(t)]->fiber.resume();
      if (!fault.empty()) return false;
    }
    const Thread* leader = nullptr;
    for (int t = first; t < first + launch_->wave; ++t)
      if (threads_[static_cast<std::size_t>(t)]->at == Thread::At::wave) leader = threads_[static_cast<std::size_t>(t)].get();
    if (!leader) return false;
    const char* const what = leader->what;
    if (!together(first, launch_->wave, Thread::At::wave, *leader, what, " is not reached by every lane of the wave")) return false;
    if (leader->combine) leader->combine(cell_of(first));
    if (what == wave_sync) ++wave_epochs_[static_cast<std::size_t>(wave)];
    for (int t = first; t < first + launch_->wave; ++t) threads_[static_cast<std::size_t>(t)]->at = Thread::At::ready;
    return true;
  }

  bool release_block() {
    const Thread* leader = nullptr;
    for (int t = 0; t < launch_->threads; ++t)
      if (threads_[static_cast<std::size_t>(t)]->at == Thread::At::block) leader = threads_[static_cast<std::size_t>(t)].get();
    if (!leader) return false;
    if (!together(0, launch_->threads, Thread::At::block, *leader, "barrier", " is not reached by every thread of the block"))
      return false;
    ++epoch_;
    for (int t = 0; t < launch_->threads; ++t) threads_[static_cast<std::size_t>(t)]->at = Thread::At::ready;
    return true;
  }

  bool together(int first, int count, Thread::At at, const Thread& leader, const char* what, const char* else_) {
    int here = 0;
    for (int t = first; t < first + count; ++t) {
      const Thread& other = *threads_[static_cast<std::size_t>(t)];
      here += other.at == at;
      if (other.at == at && !same(other.site, leader.site)) {
        const bool in_order = leader.site.line() < other.site.line();
        const Thread &early = in_order ? leader : other, &late = in_order ? other : leader;
        note("threads wait at two places: " + text(early.site) + " (" + early.what + ") and " + text(late.site) + " (" + late.what +
             ")");
        return false;
      }
    }
    if (here == count) return true;
    note(std::string(what) + else_ + ", but by " + std::to_string(here) + " of " + std::to_string(count) + "; block (" +
         std::to_string(x_) + ", " + std::to_string(y_) + "), " + text(leader.site));
    return false;
  }

  bool in_flight(const Shadow& x) const { return x.in_flight && x.write.block_epoch >= first_epoch_; }
  Touch stamp(Site s) const { return {epoch_, wave_epochs_[static_cast<std::size_t>(thread_ / launch_->wave)], thread_, s}; }
  /// Whether a barrier lies between that touch and this thread's next.
  bool ordered(const Touch& before) const {
    if (before.block_epoch != epoch_ || before.thread == thread_) return true;
    const int wave = thread_ / launch_->wave;
    return before.thread / launch_->wave == wave && before.wave_epoch != wave_epochs_[static_cast<std::size_t>(wave)];
  }
  void require_order(const Touch& before, const char* mine, const char* theirs, Site s) {
    if (!ordered(before))
      fail(std::string("race on shared memory: ") + mine + " what thread " + std::to_string(before.thread) + " " + theirs + " at " +
               text(before.site) + ", no barrier between",
           s);
  }
  void touch_one(Shadow& x, Access how, Site s) {
    if (in_flight(x)) fail("shared memory is touched while an asynchronous copy to it is in flight", s);
    if (how == Access::read || how == Access::atomic) {
      if (x.write.block_epoch < first_epoch_) fail("shared memory is read that no thread of the block wrote", s);
    }
    if (how == Access::read) {
      require_order(x.write, "a thread reads", "wrote", s);
      if (x.reader.block_epoch != epoch_ || x.reader.thread == thread_)
        x.reader = stamp(s);
      else
        x.other_reader = stamp(s);
      return;
    }
    if (how != Access::atomic || !x.atomic) require_order(x.write, "a thread writes", "wrote", s);
    require_order(x.reader, "a thread writes", "reads", s);
    require_order(x.other_reader, "a thread writes", "reads", s);
    x.write = stamp(s);
    x.atomic = how == Access::atomic;
    x.in_flight = how == Access::copy;
  }

  unsigned char* cell_of(int thread) {
    const bool second = threads_[static_cast<std::size_t>(thread_)]->second_cell;
    return cells_.data() +
           (static_cast<std::size_t>(second) * static_cast<std::size_t>(launch_->threads) + static_cast<std::size_t>(thread)) *
               cell_bytes;
  }

  unsigned schedule_;
  std::mt19937 random_;
  const Launch* launch_ = nullptr;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<unsigned> wave_epochs_;
  std::vector<unsigned char> cells_;  // [two][threads][cell_bytes]
  std::vector<int> lanes_;
  std::unique_ptr<unsigned char[]> shared_;
  std::vector<Shadow> shadows_;  // one per byte; an element uses that of its first
  unsigned epoch_ = 0, first_epoch_ = 0;
  int thread_ = 0, x_ = 0, y_ = 0;
};

thread_local Machine::State* Machine::State::now = nullptr;

Machine::Machine(unsigned schedule) : state_(std::make_unique<State>(schedule)) {}
Machine::~Machine() = default;
const std::string& Machine::fault() const noexcept { return state_->fault; }
void Machine::clear() noexcept { state_->fault.clear(); }
void Machine::run_blocks(const Launch& l) noexcept {
  if (recording_) {
    const auto* args = static_cast<const std::byte*>(l.args);
    recording_->launches_.push_back({l, {args, args + l.args_bytes}});
  } else if (state_->fault.empty()) {
    state_->run(l);
  }
}
void Machine::replay(const Recording& what) noexcept {
  for (const Recording::Recorded& r : what.launches_) {
    Launch l = r.launch;
    l.args = r.args.data();
    run_blocks(l);
  }
}

// The free functions speak for the thread at work.
namespace {
Machine::State& at_work() { return *Machine::State::now; }
}  // namespace

void sync_block(Site s) { at_work().wait(Thread::At::block, "barrier", s); }
void sync_wave(Site s) { at_work().wait(Thread::At::wave, wave_sync, s); }
void exchange(const void* mine, std::size_t bytes, void (*combine)(void*), const char* what, Site s) {
  at_work().exchange(mine, bytes, combine, what, s);
}
const void* cell(int lane) { return at_work().cell(lane); }
void* shared_memory() { return at_work().shared(); }
void touch(const void* p, std::size_t element, int count, Access how, Site s) { at_work().touch(p, element, count, how, s); }
void copy_async(void* to, const void* from, bool exists) {
  if (exists) check_aligned(from, 16);
  at_work().copy_async(to, from, exists);
}
void commit_copies() { at_work().commit(); }
void wait_copies(int groups) { at_work().wait_copies(groups); }

template <int W> void multiply(void* cells) {
  using T = Tile<W>;
  auto* bytes = static_cast<unsigned char*>(cells);
  float a[16][16], b[16][16];
  for (int l = 0; l < W; ++l) {
    Pair<W> in;
    std::memcpy(static_cast<void*>(&in), bytes + static_cast<std::size_t>(l) * cell_bytes, sizeof in);
    for (int i = 0; i < T::n; ++i) {
      const auto x = T::a(l, i), y = T::b(l, i);
      a[x.row][x.col] = static_cast<float>(in.a.v[i]);
      b[y.row][y.col] = static_cast<float>(in.b.v[i]);
    }
  }
  for (int l = 0; l < W; ++l) {
    FragOut<W> out;
    for (int i = 0; i < T::n; ++i) {
      const auto z = T::d(l, i);
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += a[z.row][k] * b[z.col][k];
      out.v[i] = sum;
    }
    std::memcpy(bytes + static_cast<std::size_t>(l) * cell_bytes, &out, sizeof out);
  }
}
template void multiply<32>(void*);
template void multiply<64>(void*);

void check_index(int row, int col, int count, int rows, int cols, Site s) {
  if (row >= 0 && row < rows && col >= 0 && col + count <= cols) return;
  at_work().fail("shared array of " + std::to_string(rows) + " x " + std::to_string(cols) + " is touched at (" +
                     std::to_string(row) + ", " + std::to_string(col) + ")" +
                     (count > 1 ? " and " + std::to_string(count - 1) + " behind" : ""),
                 s);
}
void check_lane(int lane, int wave, Site s) {
  if (lane < 0 || lane >= wave) at_work().fail("shuffle from lane " + std::to_string(lane) + " of " + std::to_string(wave), s);
}
void check_aligned(const void* p, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(p) % bytes != 0)
    at_work().fail("a vector of " + std::to_string(bytes) + " bytes is not aligned to them", Site{});
}

}  // namespace atom::gpu::emu
