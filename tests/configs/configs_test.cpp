// The dimensions that vendors publish, models/configs: each compiles into a specialised build, counts the parameters that are
// published, plans the memory and launches that tests/configs/plans holds, and refuses every other model.
// ATOM_UPDATE_TRACES=1 rewrites the plans; read the diff before you commit it.
#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <ostream>
#include <string>
#include <vector>

#include "atom/core/error.hpp"
#include "atom/engine/executor.hpp"
#include "atom/engine/universal.hpp"

#include "all_builds.inc"
#include "model/trace_text.hpp"

namespace atom::engine {
namespace {

struct Specialised {
  std::string model;  // a folder of models/configs
  Variant build;
};
void PrintTo(const Specialised& s, std::ostream* out) { *out << s.model; }

const std::vector<Specialised>& specialised() {
  static const std::vector<Specialised> all{
#include "all_entries.inc"
  };
  return all;
}

/// As their model cards count them, embeddings once where they are tied, without layers that only draft.
std::size_t published_parameters(const std::string& model) {
  if (model == "Qwen3-0.6B") return 596'049'920;
  if (model == "Qwen3-8B") return 8'190'735'360;
  if (model == "Qwen3-30B-A3B") return 30'532'122'624;
  if (model == "Llama-3.1-8B-Instruct") return 8'030'261'248;
  if (model == "Llama-3.1-70B-Instruct") return 70'553'706'496;
  if (model == "Mixtral-8x7B-v0.1") return 46'702'792'704;
  if (model == "GLM-4.5-Air") return 106'852'251'264;
  if (model == "DeepSeek-V3") return 671'026'419'200;
  if (model == "gpt-oss-20b") return 20'914'757'184;
  if (model == "gpt-oss-120b") return 116'829'156'672;
  if (model == "Qwen3-Next-80B-A3B-Instruct") return 79'674'391'296;
  return 0;
}

Executor dry(const std::string& model, const Registry& builds) {
  ExecutorOptions o;
  o.model_dir = std::string(ATOM_CONFIGS) + "/" + model;
  o.dummy = "zero";
  o.dry = true;
  o.max_rows = 512;
  o.max_seqs = 16;
  o.context_tokens = 4096;
  return Executor(o, builds);
}

std::string plan_text(const Executor& executor) {
  const MemoryUse& m = executor.memory();
  std::string text;
  const auto line = [&](const char* what, std::size_t bytes) { text += std::string(what) + " " + std::to_string(bytes) + "\n"; };
  line("parameters", executor.parameters());
  line("bytes of weights", m.weights);
  line("bytes of KV cache for 4096 tokens", m.kv_cache);
  if (m.states > 0) line("bytes of recurrent states for 16 sequences", m.states);
  line("bytes of activations for 512 rows", m.activations);
  for (const auto& [rows, context] : {std::pair{1, 1000}, std::pair{64, 64}}) {
    const int first_row[] = {0, rows}, last = rows - 1;
    Batch batch;
    batch.rows = rows;
    batch.seqs = batch.logits = 1;
    batch.first_row = first_row;
    batch.context = &context;
    batch.logit_rows = &last;
    text += "\nrows " + std::to_string(rows) + ", context " + std::to_string(context) + "\n" +
            model::traced::spell_out(executor.plan(batch).launches);
  }
  return text;
}

class PublishedConfig : public testing::TestWithParam<Specialised> {
 protected:
  PublishedConfig() { only_.add(GetParam().build); }
  Registry only_;
};

TEST_P(PublishedConfig, CountsThePublishedParameters) {
  EXPECT_EQ(dry(GetParam().model, only_).parameters(), published_parameters(GetParam().model));
}

TEST_P(PublishedConfig, PlansAsPinned) {
  const std::string text = plan_text(dry(GetParam().model, only_)), path = ATOM_PLANS "/" + GetParam().model + ".txt";
  if (std::getenv("ATOM_UPDATE_TRACES")) std::ofstream(path) << text;
  std::ifstream file(path);
  const std::string golden{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(text, golden) << "if the change is meant: ATOM_UPDATE_TRACES=1, then review " << path;
}

/// Constants and holes are the same model.
TEST_P(PublishedConfig, PlansAsTheUniversalBuild) {
  EXPECT_EQ(plan_text(dry(GetParam().model, only_)), plan_text(dry(GetParam().model, universal_builds())));
}

TEST_P(PublishedConfig, RefusesEveryOther) {
  for (const Specialised& other : specialised()) {
    if (other.model == GetParam().model) continue;
    try {
      dry(other.model, only_);
      FAIL() << GetParam().model << " took " << other.model;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("no build in this binary admits"), std::string::npos) << e.what();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, PublishedConfig, testing::ValuesIn(specialised()),
                         [](const auto& test) { return test.param.build.name; });

}  // namespace
}  // namespace atom::engine
