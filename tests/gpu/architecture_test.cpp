#include "atom/gpu/architecture.hpp"

#include <gtest/gtest.h>

namespace atom::gpu {
namespace {

TEST(GpuArchitecture, AmdKernelsRunOnTheirOwnChip) {
  EXPECT_TRUE(serves("gfx90a", "gfx90a:sramecc+:xnack-"));
  EXPECT_TRUE(serves("gfx90a,gfx942", "gfx942:sramecc+:xnack-"));
  EXPECT_TRUE(serves("gfx90a:xnack-,gfx942", "gfx90a"));
  EXPECT_FALSE(serves("gfx90a,gfx942", "gfx950"));
  EXPECT_FALSE(serves("gfx90a", "gfx90"));
  EXPECT_FALSE(serves("gfx942", "gfx90a"));
  EXPECT_FALSE(serves("", "gfx90a"));
}

TEST(GpuArchitecture, NvidiasRunOnLaterChipsOfTheirGeneration) {
  EXPECT_TRUE(serves("80", "sm_80"));
  EXPECT_TRUE(serves("80", "sm_86"));
  EXPECT_FALSE(serves("86", "sm_80"));
  EXPECT_FALSE(serves("80", "sm_90"));
  EXPECT_TRUE(serves("80,100", "sm_103"));
  EXPECT_FALSE(serves("90", "sm_100"));
  EXPECT_TRUE(serves("100f", "sm_103"));
}

TEST(GpuArchitecture, ALetterTiesThemToOneChip) {
  EXPECT_TRUE(serves("90a", "sm_90"));
  EXPECT_TRUE(serves("80,90a", "sm_90"));
  EXPECT_TRUE(serves("100a,80", "sm_89"));
  EXPECT_FALSE(serves("100a", "sm_103"));
  EXPECT_FALSE(serves("90a", "sm_89"));
}

TEST(GpuArchitecture, ADevicesChipIsNamedAsTheOptionNamesIt) {
  EXPECT_EQ(chip_of("gfx942:sramecc+:xnack-"), "gfx942");
  EXPECT_EQ(chip_of("sm_90"), "90");
}

}  // namespace
}  // namespace atom::gpu
