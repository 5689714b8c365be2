// atom tokenize: stdin to ids and back, JSON on one side and text on the other.
#include <cstdio>

#include "atom/core/error.hpp"
#include "atom/engine/json.hpp"
#include "atom/engine/tokenizer.hpp"

#include "common.hpp"

namespace atom::tools {

int tokenize(const TokenizeOptions& o) {
  if (o.model.empty()) throw Error("--model: no model given, and the demo model is not beside this program");
  const auto tokenizer = engine::Tokenizer::from_dir(o.model);
  const std::string input = read_stdin();
  std::string out;
  if (o.decode) {
    const auto json = engine::Json::parse(input, "stdin");
    std::vector<int> ids;
    for (const auto& id : json.as_array("ids")) {
      const auto value = id.as_int("id");
      if (value < 0 || value >= tokenizer.vocab_size())
        throw Error("stdin: id " + std::to_string(value) + " is outside the vocabulary of " +
                    std::to_string(tokenizer.vocab_size()));
      ids.push_back(static_cast<int>(value));
    }
    out = tokenizer.decode(ids, /*skip_special_tokens=*/o.no_special);
  } else {
    for (int id : tokenizer.encode(input, {.add_special_tokens = !o.no_special}))
      out += (out.empty() ? "[" : ", ") + std::to_string(id);
    out += out.empty() ? "[]\n" : "]\n";
  }
  std::fwrite(out.data(), 1, out.size(), stdout);
  return 0;
}

}  // namespace atom::tools
