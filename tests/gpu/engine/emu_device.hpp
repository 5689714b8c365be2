#pragma once
// The emulator as a device of the engine: memory of its own that begins as NaN, copies, events and graphs.
#include <cstdlib>
#include <cstring>

#include "atom/engine/gpu_device.hpp"
#include "atom/gpu/emu.hpp"

namespace atom::engine {

template <int W> struct EmuRuntime {
  using backend = Emu<W>;
  class Stream {
   public:
    operator gpu::emu::Machine*() const noexcept { return &machine_; }
    void wait() const { check("the emulator"); }
    void check(const char* where) const {
      if (!machine_.fault().empty()) throw Error(std::string(where) + ": " + machine_.fault());
    }

   private:
    mutable gpu::emu::Machine machine_{1};
  };
  struct Event {  // everything is done when it returns
    void record(gpu::emu::Machine*) const {}
    void wait() const {}
    [[nodiscard]] float milliseconds_since(const Event&) const { return 0; }
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
  static void* allocate_pinned(std::size_t bytes) { return std::malloc(bytes + 1); }
  static void release_pinned(void* p) noexcept { std::free(p); }
  static void copy(void* to, const void* from, std::size_t bytes, gpu::emu::Machine*) { std::memcpy(to, from, bytes); }
  static void check(const char*) {}
};

template <> const DeviceKind& device_kind<Emu<32>>();

}  // namespace atom::engine
