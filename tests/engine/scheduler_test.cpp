#include "atom/engine/scheduler.hpp"

#include <deque>
#include <gtest/gtest.h>
#include <random>

namespace atom::engine {
namespace {

constexpr int page = kernels::page_tokens;

/// A scheduler, its pages, and a model that needs no time: run() computes what was scheduled and draws token 7.
struct Bench {
  explicit Bench(EngineConfig c, int pages = 1000) : config(fill(c)), blocks(pages), scheduler(config, blocks) {}

  static EngineConfig fill(EngineConfig c) {
    if (c.max_num_seqs == 0) c.max_num_seqs = 8;
    if (c.max_num_batched_tokens == 0) c.max_num_batched_tokens = 64;
    if (c.max_model_len == 0) c.max_model_len = 256;
    return c;
  }

  Sequence& add(int prompt, double arrival = 0) {
    Sequence& s = sequences.emplace_back();
    s.id = sequences.size();
    s.prompt = prompt;
    s.tokens.reserve(static_cast<std::size_t>(config.max_model_len));
    s.tokens.assign(static_cast<std::size_t>(prompt), 1);
    s.blocks.reserve(blocks_for(config.max_model_len));
    s.arrival = arrival;
    scheduler.add(s);
    return s;
  }

  /// One step as "id:tokens id:tokens".
  std::string run(double now = 0) {
    std::string text;
    for (const auto& [s, tokens, drafts] : scheduler.schedule(now)) {
      text += (text.empty() ? "" : " ") + std::to_string(s->id) + ":" + std::to_string(tokens);
      if (drafts > 0) text += "+" + std::to_string(drafts);
      if (s->computed + tokens + drafts > s->blocks.size() * page) text += " without a page";
      s->computed += tokens;
      if (s->remaining() == 0) s->tokens.push_back(7);
    }
    return text;
  }
  void finish(Sequence& s) { scheduler.remove(s); }

  EngineConfig config;
  BlockManager blocks;
  Scheduler scheduler;
  std::deque<Sequence> sequences;
};

TEST(Scheduler, StartsPromptsAsSoonAsThereIsRoom) {
  Bench b({});
  b.add(10), b.add(20);
  EXPECT_EQ(b.run(), "1:10 2:20");
  b.add(5);
  EXPECT_EQ(b.run(), "1:1 2:1 3:5");  // running answers keep running
  EXPECT_EQ(b.run(), "1:1 2:1 3:1");
}

TEST(Scheduler, UnmixedBatchesRunPromptsFirstAndAlone) {
  Bench b({.mixed_batches = false});
  b.add(10);
  EXPECT_EQ(b.run(), "1:10");
  b.add(100);
  EXPECT_EQ(b.run(), "2:64");
  EXPECT_EQ(b.run(), "2:36");
  EXPECT_EQ(b.run(), "1:1 2:1");
}

TEST(Scheduler, SpreadsALongPromptOverSteps) {
  Bench b({});
  b.add(150), b.add(20);
  EXPECT_EQ(b.run(), "1:64");
  EXPECT_EQ(b.run(), "1:64");
  EXPECT_EQ(b.run(), "1:22 2:20");
  EXPECT_EQ(b.run(), "1:1 2:1");
  b.add(70);
  EXPECT_EQ(b.run(), "1:1 2:1 3:48");  // 62 left: whole pages
}

TEST(Scheduler, LongPrefillThresholdLeavesRoomForOthers) {
  Bench b({.long_prefill_token_threshold = 32});
  b.add(100), b.add(20);
  EXPECT_EQ(b.run(), "1:32 2:20");
  EXPECT_EQ(b.run(), "2:1 1:32");
}

TEST(Scheduler, WithoutChunksAPromptWaitsForAStepThatHoldsIt) {
  Bench b({.enable_chunked_prefill = false});
  b.add(40), b.add(30), b.add(10);
  EXPECT_EQ(b.run(), "1:40");  // 24 left are not enough for 2, and 3 does not overtake
  EXPECT_EQ(b.run(), "1:1 2:30 3:10");
}

TEST(Scheduler, RunsAtMostMaxNumSeqs) {
  Bench b({.max_num_seqs = 2});
  b.add(5), b.add(5), b.add(5);
  EXPECT_EQ(b.run(), "1:5 2:5");
  EXPECT_EQ(b.run(), "1:1 2:1");
  b.finish(b.sequences[0]);
  EXPECT_EQ(b.run(), "2:1 3:5");
  EXPECT_EQ(b.scheduler.waiting(), 0);
}

TEST(Scheduler, PreemptsTheNewestAndComputesItAgain) {
  Bench b({}, 4);
  b.add(page - 1), b.add(page - 1), b.add(page - 1);
  EXPECT_EQ(b.run(), "1:15 2:15 3:15");
  EXPECT_EQ(b.run(), "1:1 2:1 3:1");  // now each needs a second page, and one is free
  EXPECT_EQ(b.run(), "1:1 2:1");
  EXPECT_EQ(b.scheduler.preemptions(), 1u);
  EXPECT_EQ(b.sequences[2].computed, 0);
  b.add(1);
  EXPECT_EQ(b.run(), "1:1 2:1") << "3 needs two pages, and 4 does not overtake";
  b.finish(b.sequences[0]);
  EXPECT_EQ(b.run(), "2:1 3:17");  // its prompt and what it had generated
}

TEST(Scheduler, QueuesByIdWhoeverComesLater) {
  Bench b({.max_num_seqs = 1});
  for (int i = 0; i < 5; ++i) b.add(1);
  for (const int late : {2, 1, 3}) b.finish(b.sequences[static_cast<std::size_t>(late)]);
  for (const int late : {2, 1, 3}) b.scheduler.add(b.sequences[static_cast<std::size_t>(late)]);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(b.run(), std::to_string(i + 1) + ":1");
    b.finish(b.sequences[i]);
  }
}

TEST(Scheduler, KeepsPagesForRunningAnswers) {
  Bench b({}, 3);
  b.add(page);  // needs a second page for its first answer
  EXPECT_EQ(b.run(), "1:16");
  b.add(page + 1);
  EXPECT_EQ(b.run(), "1:1") << "two pages were free before, one now; 2 needs both";
  b.add(1);
  EXPECT_EQ(b.run(), "1:1") << "3 would fit, but nobody overtakes";
  b.finish(b.sequences[0]);
  EXPECT_EQ(b.run(), "2:17 3:1");
}

TEST(Scheduler, DelayFactorHoldsPromptsBack) {
  Bench b({.scheduler_delay_factor = 2});
  b.add(10, 0.0);
  EXPECT_EQ(b.run(0.0), "1:10");
  b.add(10, 1.0);
  EXPECT_EQ(b.run(1.0), "1:1");  // the prompt's step took 1 s: 2 waits until it is 2 s old
  EXPECT_EQ(b.run(2.9), "1:1");
  EXPECT_EQ(b.run(3.1), "1:1 2:10");
  b.add(10, 3.2);
  b.finish(b.sequences[0]), b.finish(b.sequences[1]);
  EXPECT_EQ(b.run(3.3), "3:10") << "nothing else runs";
}

EngineConfig drafting(EngineConfig c) {
  c.speculative_config.method = "ngram";
  c.speculative_config.num_speculative_tokens = 4;
  return c;
}

TEST(Scheduler, DraftsTakeWhatIsLeftOfTheBudget) {
  Bench b(drafting({.max_num_batched_tokens = 32}));
  b.add(4), b.add(4);
  EXPECT_EQ(b.run(), "1:4 2:4");
  b.sequences[0].drafts = b.sequences[1].drafts = {1, 1, 1, 1};
  b.add(24);
  EXPECT_EQ(b.run(), "1:1+4 2:1+2 3:24") << "the prompt first";
  EXPECT_EQ(b.run(), "1:1+4 2:1+4 3:1") << "what a step did not verify waits for the next";
}

TEST(Scheduler, DraftsPreemptNobody) {
  Bench b(drafting({}), 4);
  b.add(page - 2), b.add(page - 2), b.add(page - 2);
  EXPECT_EQ(b.run(), "1:14 2:14 3:14");
  for (Sequence& s : b.sequences) s.drafts = {1, 1, 1, 1};
  EXPECT_EQ(b.run(), "1:1+1 2:1+1 3:1+1") << "one page is free, too little for all";
  EXPECT_EQ(b.scheduler.preemptions(), 0u);
  b.finish(b.sequences[2]), b.finish(b.sequences[1]);
  EXPECT_EQ(b.run(), "1:1+4");
}

TEST(Scheduler, PreemptedSequencesForgetTheirDrafts) {
  Bench b(drafting({}), 2);
  b.add(page - 1), b.add(page - 1);
  b.run();
  b.run();
  b.sequences[1].drafts = {1};
  EXPECT_EQ(b.run(), "1:1");
  EXPECT_EQ(b.scheduler.preemptions(), 1u);
  EXPECT_TRUE(b.sequences[1].drafts.empty());
}

TEST(Scheduler, RemovesWaitingAndRunning) {
  Bench b({.max_num_seqs = 1});
  b.add(5), b.add(5), b.add(5);
  b.run();
  b.finish(b.sequences[1]);
  b.finish(b.sequences[0]);
  EXPECT_EQ(b.run(), "3:5");
  b.finish(b.sequences[2]);
  EXPECT_EQ(b.run(), "");
  EXPECT_EQ(b.blocks.used(), 0);
}

TEST(Scheduler, WhatIsRemovedLeavesTheStep) {
  Bench b({});
  b.add(5), b.add(6), b.add(7);
  EXPECT_EQ(b.scheduler.schedule(0).size(), 3u);
  b.finish(b.sequences[1]);
  const auto step = b.scheduler.step();
  ASSERT_EQ(step.size(), 2u);
  EXPECT_EQ(step[0].sequence, &b.sequences[0]);
  EXPECT_EQ(step[1].sequence, &b.sequences[2]);
}

TEST(Scheduler, StopsBehindTheLastTokenThatMayBe) {
  Bench b({});
  b.add(5).longest = 7;
  b.add(5);
  EXPECT_EQ(b.run(), "1:5 2:5");
  EXPECT_EQ(b.run(), "1:1 2:1");
  EXPECT_EQ(b.run(), "2:1") << "the seventh has been drawn";
  b.finish(b.sequences[1]);
  EXPECT_EQ(b.run(), "");
}

// Budget, limits, order and progress over random arrivals on a pool that is too small for all.
TEST(Scheduler, BAD35RandomLoadRespectsEveryLimitAndEnds) {
  std::uint64_t preemptions = 0;
  for (unsigned seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
    EngineConfig c;
    c.max_num_seqs = pick(1, 8);
    c.max_num_batched_tokens = pick(c.max_num_seqs, 64);
    c.max_model_len = pick(20, 120);
    c.mixed_batches = pick(0, 1);
    if (seed % 2) c.speculative_config.method = "ngram";
    Bench b(c, blocks_for(c.max_model_len) + pick(0, 8));
    int left = 30, live = 0;
    for (int step = 0; left > 0 || live > 0; ++step) {
      ASSERT_LT(step, 20000) << "no progress, seed " << seed;
      if (left > 0 && pick(0, 2) == 0) b.add(pick(1, c.max_model_len - 1)), --left, ++live;
      int rows = 0, seqs = 0;
      const int waiting = b.scheduler.waiting();
      for (const auto& [s, tokens, drafts] : b.scheduler.schedule(step)) {
        rows += tokens + drafts, ++seqs;
        ASSERT_GT(tokens, 0);
        ASSERT_LE(tokens, s->remaining());
        ASSERT_LE(s->computed + tokens + drafts, s->blocks.size() * page);
        s->computed += tokens;
        if (s->remaining() > 0) continue;
        s->computed += drafts;
        s->tokens.insert(s->tokens.end(), static_cast<std::size_t>(drafts + 1), 7);
        const int room = c.max_model_len - s->length() - 1;
        s->drafts.assign(seed % 2 && room > 0 ? static_cast<std::size_t>(pick(0, std::min(room, 4))) : 0, 7);
      }
      ASSERT_TRUE(seqs > 0 || waiting + b.scheduler.running() == 0);
      ASSERT_LE(rows, c.max_num_batched_tokens);
      ASSERT_LE(b.scheduler.running(), c.max_num_seqs);
      for (Sequence& s : b.sequences)
        if (s.state == SequenceState::running && (s.length() >= c.max_model_len || (s.generated() > 0 && pick(0, 40) == 0)))
          b.finish(s), --live;
    }
    EXPECT_EQ(b.blocks.used(), 0);
    preemptions += b.scheduler.preemptions();
  }
  EXPECT_GT(preemptions, 50u);
}

}  // namespace
}  // namespace atom::engine
