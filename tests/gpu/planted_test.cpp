// Every planted bug is found, on waves of 32 and 64 and under several schedules, and said in its sentence.
#include <gtest/gtest.h>
#include <vector>

#include "planted/memory.hpp"

namespace atom {
namespace {

using namespace planted;

template <class K, int W> std::string fault_of(unsigned schedule) {
  alignas(16) static int memory[512];
  gpu::emu::Machine machine(schedule);
  gpu::launch<K, Emu<W>>(&machine, {2, 1}, +memory);
  return machine.fault();
}

template <class K> struct Planted : testing::Test {};
using Bugs = testing::Types<BarrierInABranch, ReturnBeforeTheBarrier, ShuffleInABranch, ShuffleBesideABarrier, LaneOutsideTheWave,
                            MissingBarrier, ScratchUsedTwice, TwoWriters, ShuffleForABarrier, WaveSyncForABarrier,
                            PlainBesideAtomic, NeverWritten, LeftFromTheBlockBefore, OutOfBounds, VectorOutOfBounds, Misaligned,
                            ReadInFlight, WaitForTooFew, NoBarrierBehindTheWait, NobodyWaits, ReadBeforeItsPhase,
                            FewerBytesThanAnnounced, TileThatIsStillRead, TooManyArrive, ArrivalsNobodyBegan, NobodyWaitsForTheTile
#if !defined(__clang__)
                            ,
                            TwoBarriers
#endif
                            >;
TYPED_TEST_SUITE(Planted, Bugs);

TYPED_TEST(Planted, IsFoundAndNamed) {
  for (unsigned schedule : {0u, 1u, 2u, 3u}) {
    for (const std::string& fault : {fault_of<TypeParam, 32>(schedule), fault_of<TypeParam, 64>(schedule)}) {
      EXPECT_NE(fault, "") << "schedule " << schedule;
      EXPECT_NE(fault.find(TypeParam::says), std::string::npos) << fault << " under schedule " << schedule;
    }
  }
}

// A bug that shared memory does not show: blocks that build on the order in which they run.
struct LastBlockWins : Base {
  template <class Cta> void operator()(Cta& cta, int* out) const {
    if (cta.thread() == 0) *out = cta.block_x();
  }
};
TEST(Schedules, ShowADependenceOnTheOrderOfBlocks) {
  std::vector<int> results;
  for (unsigned schedule = 0; schedule < 4; ++schedule) {
    gpu::emu::Machine machine(schedule);
    int last = -1;
    gpu::launch<LastBlockWins, Emu<32>>(&machine, {20, 1}, &last);
    EXPECT_EQ(machine.fault(), "");
    results.push_back(last);
  }
  EXPECT_EQ(results[0], 19);
  EXPECT_FALSE(results[1] == 19 && results[2] == 19 && results[3] == 19);
}

TEST(Machine, AFaultStays) {
  gpu::emu::Machine machine;
  int memory[512] = {};
  gpu::launch<BarrierInABranch, Emu<32>>(&machine, {1, 1}, +memory);
  const std::string first = machine.fault();
  memory[0] = 7;
  gpu::launch<LastBlockWins, Emu<32>>(&machine, {1, 1}, +memory);
  EXPECT_EQ(memory[0], 7) << "a launch after a fault does nothing";
  EXPECT_EQ(machine.fault(), first);
  machine.clear();
  gpu::launch<LastBlockWins, Emu<32>>(&machine, {1, 1}, +memory);
  EXPECT_EQ(machine.fault(), "");
  EXPECT_EQ(memory[0], 0);
}

}  // namespace
}  // namespace atom
