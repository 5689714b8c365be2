#pragma once
// The emulator as a device of the engine: memory of its own that begins as NaN, copies, events and graphs. What is copied to pinned
// memory arrives there when somebody waits for it, and no earlier.
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>

#include "atom/engine/gpu_device.hpp"
#include "atom/gpu/emu.hpp"

namespace atom::engine {

template <int W> struct EmuRuntime {
  using backend = Emu<W>;
  class Stream {
   public:
    operator gpu::emu::Machine*() const noexcept { return &machine_; }
    void wait() const {
      check("the emulator");
      arrive(copied);
    }
    void check(const char* where) const {
      if (!machine_.fault().empty()) throw Error(std::string(where) + ": " + machine_.fault());
    }

   private:
    mutable gpu::emu::Machine machine_{1};
  };
  class Event {  // kernels are done when they return
   public:
    void record(gpu::emu::Machine* machine) {
      machine_ = machine;
      copied_ = copied;
    }
    void wait() const {
      if (machine_ && !machine_->fault().empty()) throw Error("the emulator: " + machine_->fault());
      arrive(copied_);
    }
    [[nodiscard]] float milliseconds_since(const Event&) const { return 0; }

   private:
    gpu::emu::Machine* machine_ = nullptr;
    std::size_t copied_ = 0;
  };
  struct Gate {
    explicit Gate(gpu::emu::Machine*) {}
    void open() {}
  };
  class Graph {
   public:
    explicit Graph(gpu::emu::Machine* machine) { machine->record(&recording_); }
    template <class Step> Graph(gpu::emu::Machine* machine, Step step) : Graph(machine) {
      step();
      end(machine);
    }
    void end(gpu::emu::Machine* machine) {
      machine->record(nullptr);
      ++recorded;
    }
    void launch(gpu::emu::Machine* machine) const {
      machine->replay(recording_);
      ++replayed;
    }
    static inline int recorded = 0, replayed = 0;

   private:
    gpu::emu::Machine::Recording recording_;
  };
  static void* allocate(std::size_t bytes, const char*) {
    void* p = std::aligned_alloc(256, (bytes + 256) / 256 * 256);
    std::memset(p, 0xff, bytes);
    return p;
  }
  static void release(void* p) noexcept { std::free(p); }
  static void* allocate_pinned(std::size_t bytes) {
    auto* p = static_cast<std::byte*>(std::malloc(bytes + 1));
    pinned[p] = bytes;
    return p;
  }
  static void release_pinned(void* p) noexcept {
    pinned.erase(static_cast<std::byte*>(p));
    std::free(p);
  }
  static void copy(void* to, const void* from, std::size_t bytes, gpu::emu::Machine*) {
    const auto* source = static_cast<const std::byte*>(from);
    auto* target = static_cast<std::byte*>(to);
    const auto block = pinned.upper_bound(target);
    if (block == pinned.begin() || target >= std::prev(block)->first + std::prev(block)->second) {
      std::memcpy(to, from, bytes);
      return;
    }
    std::memset(to, 0xff, bytes);
    on_the_way.push_back({target, {source, source + bytes}});
    ++copied;
  }
  static void check(const char*) {}

 private:
  struct Copy {
    std::byte* to;
    std::vector<std::byte> data;
  };
  static void arrive(std::size_t count) {
    for (; copied - on_the_way.size() < count; on_the_way.pop_front())
      std::ranges::copy(on_the_way.front().data, on_the_way.front().to);
  }
  static inline std::map<std::byte*, std::size_t> pinned;  // and how many bytes
  static inline std::deque<Copy> on_the_way;
  static inline std::size_t copied = 0;  // to pinned memory, so far
};

template <> const DeviceKind& device_kind<Emu<32>>();

}  // namespace atom::engine
