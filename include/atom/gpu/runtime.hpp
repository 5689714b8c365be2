#pragma once
// The device: streams, memory, events, graphs. Host code; no vendor's header or type is seen from here.
// One idea: everything is an owner that frees itself, over an opaque handle; launches never fail where they are called, and a step
// asks once, check_launches().
// To extend: a function here and in src/gpu/runtime.cpp, which is written once in HIP's names (src/gpu/vendor.hpp gives CUDA's).
#include <atomic>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "atom/core/backend.hpp"

namespace atom::gpu {

/// Devices of this machine; 0 without a driver.
int device_count() noexcept;
/// The chips that this program's kernels are for: "90a,100a".
std::string_view compiled_for() noexcept;
/// Whether the first device copies whole tiles at one thread's word, and its waves multiply them where they lie: Hopper.
bool bulk_copies() noexcept;

struct Device {
  std::string name;
  std::string architecture;  ///< "sm_90", "gfx942"
  int multiprocessors = 0, wave = 0;
  std::size_t memory = 0, l2 = 0;  ///< bytes
  double gbytes = 0, gflops = 0;   ///< per second at full clocks, of memory and of bf16 products; 0: unknown
};
/// Throws atom::Error where there is no such device.
Device device(int index = 0);
/// Throws atom::Error where this machine has no device, or this program no kernels for the first; says what to do.
void require_device();
/// Bytes of its memory that nobody has taken.
std::size_t free_memory(int index = 0);

/// Throws atom::Error if a launch or anything before it on the device failed; `where` begins the message.
void check_launches(const char* where);

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator Hip::stream() const noexcept { return handle_; }
  /// Until all work so far is done; then as check_launches.
  void wait() const;

 private:
  Hip::stream handle_ = nullptr;
};

/// The device's memory, uninitialised. Throws atom::Error naming `what` it is for.
void* allocate(std::size_t bytes, const char* what = "a buffer");
void release(void* p) noexcept;
/// The host's, from which copies are asynchronous. Kernels read and write it at the same address (64-bit systems have one address
/// space, with either maker); who waits for an event behind them sees what they wrote.
void* allocate_pinned(std::size_t bytes);
void release_pinned(void* p) noexcept;
/// Between host and device, or within one of them; the host's memory must outlive the copy.
void copy(void* to, const void* from, std::size_t bytes, Hip::stream stream);

template <class T> class Buffer {
 public:
  explicit Buffer(std::size_t count) : data_(static_cast<T*>(allocate(count * sizeof(T)))), count_(count) {}
  ~Buffer() { release(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  Buffer(Buffer&& o) noexcept : data_(std::exchange(o.data_, nullptr)), count_(std::exchange(o.count_, 0)) {}
  [[nodiscard]] T* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

 private:
  T* data_;
  std::size_t count_;
};

class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(Hip::stream stream) const;
  /// Until all that was in front of it on its stream is done; at once if it was never recorded.
  void wait() const;
  /// Time on the device; waits for this event.
  [[nodiscard]] float milliseconds_since(const Event& earlier) const;

 private:
  void* handle_ = nullptr;
};

/// Holds a stream until the host has launched enough behind it, so that kernels are timed without the host's pace; a second at
/// most.
class Gate {
 public:
  explicit Gate(Hip::stream stream);
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  void open() noexcept;

 private:
  Hip::stream stream_;
  std::atomic<bool> open_{false};
};

/// What was launched on a stream, to be launched again as one.
class Graph {
 public:
  /// From here to end(), what is launched on the stream is recorded instead.
  explicit Graph(Hip::stream stream);
  template <class Step> Graph(Hip::stream stream, Step step) : Graph(stream) {
    step();
    end(stream);
  }
  void end(Hip::stream stream);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void launch(Hip::stream stream) const;

 private:
  void* handle_ = nullptr;
};

}  // namespace atom::gpu
