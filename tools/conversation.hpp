#pragma once
// Conversation: what was said, as the messages a chat template reads.
#include <string>
#include <string_view>
#include <vector>

#include "atom/engine/json.hpp"

namespace atom::tools {

class Conversation {
 public:
  void set_system(std::string text) { system_ = std::move(text); }
  void add_user(std::string text) { turns_.push_back({std::move(text), {}, false}); }
  /// The answer to the last turn.
  void add_answer(std::string text) {
    turns_.back().answer = std::move(text);
    turns_.back().answered = true;
  }
  /// Forgets the last turn, or only its answer.
  void drop_turn() { turns_.pop_back(); }
  void drop_answer() { turns_.back().answered = false; }
  /// Forgets all turns.
  void clear() { turns_.clear(); }
  [[nodiscard]] bool empty() const { return turns_.empty(); }
  /// What the user said last.
  [[nodiscard]] const std::string& last() const { return turns_.back().user; }

  [[nodiscard]] engine::Json messages() const {
    std::string out = "[";
    const auto add = [&](const char* role, std::string_view text) {
      out += std::string(out.size() > 1 ? ", " : "") + "{\"role\": \"" + role + "\", \"content\": ";
      engine::append_json_string(out, text);
      out += '}';
    };
    if (!system_.empty()) add("system", system_);
    for (const Turn& turn : turns_) {
      add("user", turn.user);
      if (turn.answered) add("assistant", turn.answer);
    }
    return engine::Json::parse(out + "]", "conversation");
  }

 private:
  struct Turn {
    std::string user, answer;
    bool answered;
  };
  std::string system_;
  std::vector<Turn> turns_;
};

}  // namespace atom::tools
