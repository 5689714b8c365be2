#pragma once
// Where a GPU kernel must give the same answer: on waves of 32 and 64, whatever runs first.
#include <gtest/gtest.h>

#include "atom/core/backend.hpp"
#include "atom/gpu/emu.hpp"

#include "noise.hpp"

namespace atom::test {

/// Calls body(Emu<W>{}, machine) for both waves and two schedules each. A fault of the machine is a failure, and so is a result
/// that depends on the schedule.
template <class Body> void on_every_wave(Body body) {
  const auto on = [&]<int W>(Emu<W> backend) {
    SCOPED_TRACE(testing::Message() << "waves of " << W);
    gpu::emu::Machine in_order(0), shuffled(7);
    const auto first = body(backend, &in_order), second = body(backend, &shuffled);
    EXPECT_EQ(in_order.fault(), "");
    EXPECT_EQ(shuffled.fault(), "");
    if constexpr (requires { identical(first, second); })
      EXPECT_TRUE(identical(first, second)) << "depends on the schedule";
    else
      EXPECT_EQ(first, second) << "depends on the schedule";
  };
  on(Emu<32>{});
  on(Emu<64>{});
}

}  // namespace atom::test
