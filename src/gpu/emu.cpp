// Compiled without sanitizers, whatever the rest is: what they could find here is not in kernels.
#include "atom/gpu/emu.hpp"

#include <algorithm>
#include <array>
#include <deque>
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

constexpr int arrived = -1;  // no thread: who sees it has waited for it

/// Who touched an element of shared memory last. Epochs count barriers: of the block, of the thread's wave.
struct Touch {
  unsigned block_epoch = 0, wave_epoch = 0;
  int thread = arrived;
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
/// A copy that lands when somebody has seen the phase that counts it.
struct Counted {
  Copy copy;
  const Arrivals* by;
};

struct Thread {
  enum class At : unsigned char { ready, wave, block, arrivals, done };
  Fiber fiber;
  At at = At::ready;
  bool second_cell = false;
  Site site{};
  const char* what = "";
  void (*combine)(void*) = nullptr;
  const Arrivals* awaited = nullptr;
  int parity = 0;
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
    const auto cluster = static_cast<std::size_t>(l.cluster), threads = static_cast<std::size_t>(l.threads) * cluster;
    while (threads_.size() < threads) threads_.push_back(std::make_unique<Thread>());
    const std::size_t waves = threads / static_cast<std::size_t>(l.wave);
    wave_epochs_.assign(waves, 0);
    freed_.assign(waves, 0);
    epochs_.resize(cluster);
    cells_.resize(threads * 2 * cell_bytes);
    shared_.clear();
    for (std::size_t b = 0; b < cluster; ++b)
      shared_.emplace_back(new unsigned char[l.shared_bytes]);  // exactly: what lies behind it is the sanitizer's
    if (shadows_.size() < l.shared_bytes * cluster) shadows_.resize(l.shared_bytes * cluster);  // epochs tell what is from before
    random_.seed(schedule_);
    State* const before = std::exchange(now, this);
    if (l.blocks_x % l.cluster != 0) note("blocks of a launch are not whole clusters");
    const int clusters_x = l.blocks_x / l.cluster;
    std::vector<int> order(static_cast<std::size_t>(clusters_x) * static_cast<std::size_t>(l.blocks_y));
    std::iota(order.begin(), order.end(), 0);
    shuffle(order);
    for (const int c : order) {
      if (!fault.empty()) break;
      run_cluster(c % clusters_x * l.cluster, c / clusters_x);
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
  unsigned char* shared() { return shared_of(block_of(thread_)); }

  void touch(const void* p, std::size_t element, int count, Access how, Site s) {
    Shadow* const first = shadow_of(block_of(thread_), p);
    for (int i = 0; i < count; ++i) touch_one(first[static_cast<std::size_t>(i) * element], how, s);
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
    for (auto it = landed; it != c.end(); ++it) land(*it, thread_);
    c.erase(landed, c.end());
  }

  void arrive(Arrivals& a, int bytes, Site s) {
    if (a.threads <= 0) fail("a thread arrives where nothing has begun", s);
    if (--a.missing < 0) fail("more threads arrive than a phase waits for", s);
    const auto wave = static_cast<std::size_t>(thread_ / launch_->wave);
    freed_[wave] = wave_epochs_[wave];  // what the wave read before its last barrier may be written again
    a.bytes += bytes;
    end_phase(a);
  }
  void await(Arrivals& a, int parity, Site s) {
    if (a.threads <= 0) fail("a thread waits where nothing has begun", s);
    if (!over(a, parity)) {
      Thread& t = *threads_[static_cast<std::size_t>(thread_)];
      t.awaited = &a;
      t.parity = parity;
      wait(Thread::At::arrivals, "arrivals", s);
    }
    const auto landed = std::stable_partition(counted_.begin(), counted_.end(), [&](const Counted& c) { return c.by != &a; });
    for (auto it = landed; it != counted_.end(); ++it) land(it->copy, arrived);
    counted_.erase(landed, counted_.end());
  }
  void copy_bulk(void* to, const void* from, bool exists, std::size_t element, Arrivals& a, Site s) {
    count(block_of(thread_), {to, from, exists, 0}, element, a, s);
  }
  void send(int block, void* to, const void* value, std::size_t element, Arrivals& a, Site s) {
    const auto there = [&](void* p) { return shared_of(block) + (static_cast<unsigned char*>(p) - shared()); };
    std::memcpy(sent_.emplace_back().data(), value, 16);
    count(block, {there(to), sent_.back().data(), true, 0}, element, *reinterpret_cast<Arrivals*>(there(&a)), s);
  }
  void arrive_at_cluster() { arrive(cluster_, 0, Site{}); }
  void await_cluster(Site s) { await(cluster_, 0, s); }

  /// Keeps the first sentence, and ends the thread.
  [[noreturn]] void fail(const std::string& what, Site s) {
    note(what + place(thread_) + ", thread " + std::to_string(thread_ % launch_->threads) + (s.line() ? ", " + text(s) : ""));
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
      m.launch_->body(m.launch_->args, m.thread_ % m.launch_->threads, m.x_ + m.block_of(m.thread_), m.y_);
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

  int block_of(int thread) const { return thread / launch_->threads; }
  unsigned char* shared_of(int block) { return shared_[static_cast<std::size_t>(block)].get(); }
  Shadow* shadow_of(int block, const void* p) {
    return shadows_.data() + static_cast<std::size_t>(block) * launch_->shared_bytes +
           (static_cast<const unsigned char*>(p) - shared_of(block));
  }
  unsigned& epoch_of(int thread) { return epochs_[static_cast<std::size_t>(block_of(thread))]; }
  std::string place(int thread) const {
    return "; block (" + std::to_string(x_ + block_of(thread)) + ", " + std::to_string(y_) + ")";
  }

  void run_cluster(int x, int y) {
    x_ = x;
    y_ = y;
    const int threads = launch_->threads * launch_->cluster;
    for (const auto& bytes : shared_) std::memset(bytes.get(), 0xff, launch_->shared_bytes);  // NaN in every format
    epochs_.assign(epochs_.size(), first_epoch_ = ++epoch_);
    counted_.clear();
    sent_.clear();
    cluster_ = {threads, threads, 0, 0};
    for (int t = 0; t < threads; ++t) {
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
      while (!waves.empty() && fault.empty()) {  // until every wave waits for others
        const std::size_t pick = schedule_ == 0 ? 0 : random_() % waves.size();
        do
          if (!step(waves[pick])) {
            waves.erase(waves.begin() + static_cast<std::ptrdiff_t>(pick));
            break;
          }
        while (fault.empty() && (schedule_ == 0 || random_() % 4 != 0));
      }
      if (!fault.empty() || !anyone_goes_on()) break;
    }
    if (fault.empty() && !counted_.empty()) note("a block returned while copies were in flight that nobody waited for" + place(0));
  }

  /// When all waves wait: for arrivals that have come, or for a barrier, which then opens. False: all are at their end.
  bool anyone_goes_on() {
    const int threads = launch_->threads * launch_->cluster;
    const Thread* waits = nullptr;
    int who = 0;
    for (int t = 0; t < threads; ++t) {
      const Thread& thread = *threads_[static_cast<std::size_t>(t)];
      if (thread.at != Thread::At::arrivals) continue;
      if (over(*thread.awaited, thread.parity)) return true;
      waits = &thread;
      who = t;
    }
    bool opened = false;
    for (int b = 0; b < launch_->cluster && fault.empty(); ++b) opened |= release_block(b * launch_->threads);
    if (!opened && waits && fault.empty())
      note("arrivals that a thread waits for never come" + place(who) + ", thread " + std::to_string(who % launch_->threads) +
           ", " + text(waits->site));
    return opened && fault.empty();
  }

  /// Runs the wave's lanes to their next wait. False: lanes wait for arrivals, or all of them for the block, or are at their end.
  bool step(int wave) {
    const int first = wave * launch_->wave;
    lanes_.resize(static_cast<std::size_t>(launch_->wave));
    std::iota(lanes_.begin(), lanes_.end(), first);
    shuffle(lanes_);
    for (const int t : lanes_) {
      Thread& thread = *threads_[static_cast<std::size_t>(t)];
      if (thread.at != Thread::At::ready && (thread.at != Thread::At::arrivals || !over(*thread.awaited, thread.parity))) continue;
      thread_ = t;
      thread.at = Thread::At::ready;
      thread.fiber.resume();
      if (!fault.empty()) return false;
    }
    const Thread* leader = nullptr;
    for (int t = first; t < first + launch_->wave; ++t) {
      const Thread& thread = *threads_[static_cast<std::size_t>(t)];
      if (thread.at == Thread::At::arrivals) return false;
      if (thread.at == Thread::At::wave) leader = &thread;
    }
    if (!leader) return false;
    const char* const what = leader->what;
    if (!together(first, launch_->wave, Thread::At::wave, *leader, what, " is not reached by every lane of the wave")) return false;
    if (leader->combine) leader->combine(cell_of(first));
    if (what == wave_sync) ++wave_epochs_[static_cast<std::size_t>(wave)];
    for (int t = first; t < first + launch_->wave; ++t) threads_[static_cast<std::size_t>(t)]->at = Thread::At::ready;
    return true;
  }

  bool release_block(int first) {
    const Thread* leader = nullptr;
    for (int t = first; t < first + launch_->threads; ++t)
      if (threads_[static_cast<std::size_t>(t)]->at == Thread::At::block) leader = threads_[static_cast<std::size_t>(t)].get();
    if (!leader) return false;
    if (!together(first, launch_->threads, Thread::At::block, *leader, "barrier", " is not reached by every thread of the block"))
      return false;
    epoch_of(first) = ++epoch_;
    for (int t = first; t < first + launch_->threads; ++t) threads_[static_cast<std::size_t>(t)]->at = Thread::At::ready;
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
    note(std::string(what) + else_ + ", but by " + std::to_string(here) + " of " + std::to_string(count) + place(first) + ", " +
         text(leader.site));
    return false;
  }

  bool in_flight(const Shadow& x) const { return x.in_flight && x.write.block_epoch >= first_epoch_; }
  Touch stamp(Site s) { return {epoch_of(thread_), wave_epochs_[static_cast<std::size_t>(thread_ / launch_->wave)], thread_, s}; }
  /// Whether a barrier lies between that touch and this thread's next.
  bool ordered(const Touch& before) {
    if (before.thread == arrived || before.block_epoch != epoch_of(thread_) || before.thread == thread_) return true;
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
      if (x.reader.block_epoch != epoch_of(thread_) || x.reader.thread == thread_)
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

  /// Whether the wave of that reader has said, behind a barrier of its own, that it is done with what it read.
  bool freed(const Touch& reader) {
    if (ordered(reader)) return true;
    return reader.wave_epoch < freed_[static_cast<std::size_t>(reader.thread / launch_->wave)];
  }
  static bool over(const Arrivals& a, int parity) { return (a.phase & 1) != parity; }
  static void end_phase(Arrivals& a) {
    if (a.missing != 0 || a.bytes != 0) return;
    ++a.phase;
    a.missing = a.threads;
  }
  void count(int block, const Copy& c, std::size_t element, Arrivals& a, Site s) {
    if (a.threads <= 0) fail("a copy is counted where nothing has begun", s);
    Shadow* const first = shadow_of(block, c.to);
    for (std::size_t i = 0; i < c.bytes; i += element) {
      Shadow& x = first[i];
      if (in_flight(x)) fail("shared memory is touched while an asynchronous copy to it is in flight", s);
      for (const Touch* reader : {&x.reader, &x.other_reader})
        if (block == block_of(thread_) && !freed(*reader))
          fail("a copy begins to what thread " + std::to_string(reader->thread) + " reads at " + text(reader->site) +
                   ", and its wave has not arrived since",
               s);
      x.write = {epochs_[static_cast<std::size_t>(block)], 0, arrived, s};
      x.in_flight = true;
    }
    counted_.push_back({c, &a});
    a.bytes -= static_cast<int>(c.bytes);
    end_phase(a);
  }
  void land(const Copy& c, int by) {
    if (c.exists)
      std::memcpy(c.to, c.from, c.bytes);
    else
      std::memset(c.to, 0, c.bytes);
    Shadow* const first = shadow_of(block_of(thread_), c.to);
    for (std::size_t i = 0; i < c.bytes; ++i) {
      Shadow& x = first[i];
      if (!in_flight(x)) continue;
      x.in_flight = false;
      x.write = stamp(x.write.site);
      x.write.thread = by;
    }
  }

  unsigned char* cell_of(int thread) {
    const bool second = threads_[static_cast<std::size_t>(thread_)]->second_cell;
    const auto all = static_cast<std::size_t>(launch_->threads) * static_cast<std::size_t>(launch_->cluster);
    return cells_.data() + (static_cast<std::size_t>(second) * all + static_cast<std::size_t>(thread)) * cell_bytes;
  }

  unsigned schedule_;
  std::mt19937 random_;
  const Launch* launch_ = nullptr;
  std::vector<std::unique_ptr<Thread>> threads_;  // of all blocks of the cluster
  std::vector<unsigned> wave_epochs_, freed_, epochs_;
  std::vector<unsigned char> cells_;  // [two][threads][cell_bytes]
  std::vector<int> lanes_;
  std::vector<std::unique_ptr<unsigned char[]>> shared_;  // of each block
  std::vector<Shadow> shadows_;                           // [blocks][bytes]; an element uses that of its first
  std::vector<Counted> counted_;
  std::deque<std::array<unsigned char, 16>> sent_;
  Arrivals cluster_{};
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
void begin(Arrivals& a, int threads) { a = {threads, threads, 0, 0}; }
void arrive(Arrivals& a, int bytes, Site s) { at_work().arrive(a, bytes, s); }
void await(Arrivals& a, int parity, Site s) { at_work().await(a, parity, s); }
void copy_bulk(void* to, const void* from, bool exists, std::size_t element, Arrivals& a, Site s) {
  if (exists) check_aligned(from, 16);
  at_work().copy_bulk(to, from, exists, element, a, s);
}
void send(int block, void* to, const void* value, std::size_t element, Arrivals& a, Site s) {
  at_work().send(block, to, value, element, a, s);
}
void arrive_at_cluster() { at_work().arrive_at_cluster(); }
void await_cluster(Site s) { at_work().await_cluster(s); }

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
