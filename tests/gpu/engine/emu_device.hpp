#pragma once
// The emulator as a device of the engine: memory of its own that begins as NaN, copies, events and graphs. Kernels run when
// somebody waits for them or copies behind them, and no earlier: what the host reads too early, or overwrites too early, shows.
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>

#include "atom/engine/gpu_device.hpp"
#include "atom/gpu/emu.hpp"

namespace atom::engine {

template <int W> struct EmuRuntime {
  using backend = Emu<W>;
  using Machine = gpu::emu::Machine;
  class Stream {
   public:
    Stream() { cut(&machine_); }
    ~Stream() { queues.erase(&machine_); }
    operator Machine*() const noexcept { return &machine_; }
    void wait() const {
      run(&machine_, cut(&machine_));
      check(&machine_);
    }

   private:
    mutable Machine machine_{1};
  };
  class Event {
   public:
    void record(Machine* machine) {
      machine_ = machine;
      behind_ = cut(machine);
    }
    void wait() const {
      if (!machine_) return;
      run(machine_, behind_);
      check(machine_);
    }
    [[nodiscard]] float milliseconds_since(const Event&) const { return 0; }

   private:
    Machine* machine_ = nullptr;
    std::size_t behind_ = 0;
  };
  struct Gate {
    explicit Gate(Machine*) {}
    void open() {}
  };
  class Graph {
   public:
    explicit Graph(Machine* machine) { machine->record(&recording_); }
    template <class Step> Graph(Machine* machine, Step step) : Graph(machine) {
      step();
      end(machine);
    }
    void end(Machine* machine) {
      cut(machine);
      ++recorded;
    }
    void launch(Machine* machine) const {
      machine->replay(recording_);
      ++replayed;
    }
    static inline int recorded = 0, replayed = 0;

   private:
    typename Machine::Recording recording_;
  };
  static void* allocate(std::size_t bytes, const char*) {
    void* p = std::aligned_alloc(256, (bytes + 256) / 256 * 256);
    std::memset(p, 0xff, bytes);
    return p;
  }
  static void release(void* p) noexcept { std::free(p); }
  static void* allocate_pinned(std::size_t bytes) { return allocate(bytes, "pinned memory"); }
  static void release_pinned(void* p) noexcept { std::free(p); }
  static void copy(void* to, const void* from, std::size_t bytes, Machine* machine) {
    run(machine, cut(machine));
    std::memcpy(to, from, bytes);
  }
  static void check(const char*) {}

 private:
  /// What was launched and has not run, in parts.
  struct Queue {
    std::deque<typename Machine::Recording> parts;
    std::size_t begun = 0;  // parts so far
  };
  static inline std::map<Machine*, Queue> queues;

  /// Begins a part; how many there were before it.
  static std::size_t cut(Machine* machine) {
    Queue& queue = queues[machine];
    machine->record(&queue.parts.emplace_back());
    return queue.begun++;
  }
  /// The first so many parts, where they have not run.
  static void run(Machine* machine, std::size_t parts) {
    Queue& queue = queues[machine];
    machine->record(nullptr);
    for (; queue.begun - queue.parts.size() < parts; queue.parts.pop_front()) machine->replay(queue.parts.front());
    machine->record(&queue.parts.back());
  }
  static void check(const Machine* machine) {
    if (!machine->fault().empty()) throw Error("the emulator: " + machine->fault());
  }
};

template <> const DeviceKind& device_kind<Emu<32>>();

}  // namespace atom::engine
