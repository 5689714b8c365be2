// Caches of int8 and fp8 on a GPU of the emulator, through the executor: against the Cpu's, against logits that an independent
// implementation computed, and replayed against launched.
#include <array>

#include "atom/model/qwen3.hpp"
#include "atom/ops/gpu.hpp"

#include "builds/universal.hpp"
#include "emu_device.hpp"
#include "golden.hpp"

namespace atom::engine {
namespace {

const Registry& emulated() {
  static const Registry registry = [] {
    Registry r;
    builds::add_caches<model::Qwen3, builds::Heads{128, true}, Emu<32>, model::Arch::qwen3>(r);
    return r;
  }();
  return registry;
}

class Cache : public testing::TestWithParam<const char*> {
 protected:
  ExecutorOptions options(const char* backend) {
    auto o = test::options(test::dir_of("qwen3"), backend, DType::bf16, 1, 40);  // two steps
    o.kv = GetParam();
    o.max_seqs = 2;
    return o;
  }
};

TEST_P(Cache, LogitsMatch) {
  const SafeTensors golden(test::dir_of("qwen3") + "/golden.safetensors");
  auto ids = test::ids(golden, "input_ids");
  ids.resize(56);
  const auto got = test::all_logits(options("emu"), ids, emulated()), on_cpu = test::all_logits(options("cpu"), ids);
  auto want = test::floats(golden, "logits");
  want.resize(got.size());
  EXPECT_LE(test::difference(got, on_cpu).relative, 2e-2);
  EXPECT_LE(test::difference(got, want).relative, GetParam() == std::string("int8") ? 2e-2 : 5e-2);
}

TEST_P(Cache, ReplayEqualsEager) {
  auto o = options("emu");
  Executor eager(o, emulated());
  o.graph_sizes = {2};
  Executor graphs(o, emulated());
  const auto vocab = static_cast<std::size_t>(eager.vocab());
  const std::array table{0, 1, 2, 3};
  for (int at = 14; at < 18; ++at) {  // over a page's end
    const bool prompt = at == 14;
    std::vector<int> tokens, positions, slots, first_row{0}, context, last;
    for (int s = 0; s < 2; ++s) {
      for (int p = prompt ? 0 : at; p <= at; ++p) {
        tokens.push_back((s * 31 + p * 7) % 101);
        positions.push_back(p);
        slots.push_back(table[static_cast<std::size_t>(s * 2 + p / 16)] * 16 + p % 16);
      }
      first_row.push_back(static_cast<int>(tokens.size()));
      last.push_back(first_row.back() - 1);
      context.push_back(at + 1);
    }
    Batch b;
    b.tokens = tokens.data(), b.positions = positions.data(), b.slots = slots.data(), b.block_table = table.data();
    b.first_row = first_row.data(), b.context = context.data(), b.logit_rows = last.data();
    b.rows = first_row.back(), b.seqs = b.logits = b.table_stride = 2;
    const int before = EmuRuntime<32>::Graph::replayed;
    const float* want = eager.host(eager.forward(b), 2);
    const float* got = graphs.host(graphs.forward(b), 2);
    EXPECT_TRUE(std::equal(want, want + 2 * vocab, got)) << at;
    EXPECT_EQ(EmuRuntime<32>::Graph::replayed - before, !prompt);
  }
}

INSTANTIATE_TEST_SUITE_P(Of, Cache, testing::Values("int8", "fp8"), [](const auto& test) { return std::string(test.param); });

TEST(Caches, AreRefusedWhereThereAreNone) {
  auto o = test::options(test::dir_of("qwen3"), "emu", DType::bf16, 1);
  o.kv = "f32";
  test::expect_error([&] { Executor(o, emulated()); }, "--kv-cache-dtype");
}

}  // namespace
}  // namespace atom::engine
