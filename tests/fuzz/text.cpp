// Targets: tokenizers, encoding, chat templates.
#include "atom/core/error.hpp"
#include "atom/engine/chat_template.hpp"
#include "atom/engine/detokenizer.hpp"
#include "atom/engine/tokenizer.hpp"

#include "targets.hpp"

namespace atom::fuzz {

using engine::Tokenizer;

namespace {

// Encodes a text, and decodes it whole and token by token.
std::vector<int> there_and_back(const Tokenizer& tokenizer, std::string_view text, bool parse_special, bool byte_tokens) {
  const std::vector<int> ids = tokenizer.encode(text, {.parse_special = parse_special});
  engine::Detokenizer stream(tokenizer);
  std::string streamed;
  for (const int id : ids) {
    promise(id >= 0 && id < tokenizer.vocab_size(), "ids are in the vocabulary");
    streamed += stream.push(id);
  }
  streamed += stream.finish();
  promise(byte_tokens || streamed == tokenizer.decode(ids), "a stream adds up to the whole text");  // the exception: Detokenizer
  return ids;
}

}  // namespace

Outcome tokenizer(std::string_view input) try {
  const auto [file, text] = halves(input);
  const MemoryFile memory(file);
  const Tokenizer tokenizer = Tokenizer::from_file(memory.path());
  try {
    for (const bool parse : {true, false}) there_and_back(tokenizer, text.substr(0, 4096), parse, true);
    return Outcome::accepted;
  } catch (const Error&) {
    return Outcome::refused;
  }
} catch (const Error&) {
  return Outcome::rejected;
}

Outcome encoding(std::string_view text) {
  static const Tokenizer tokenizer = Tokenizer::from_dir(ATOM_DEMO_MODEL);
  static_cast<void>(there_and_back(tokenizer, text, true, false));
  const std::vector<int> plain = there_and_back(tokenizer, text, false, false);
  for (const int id : plain) promise(!tokenizer.is_special(id), "text that is not parsed spells no special token");
  const std::string normal = tokenizer.decode(plain);  // NFC and valid UTF-8 by now: from here on nothing changes
  promise(tokenizer.decode(tokenizer.encode(normal, {.parse_special = false})) == normal, "decoding undoes encoding");
  return Outcome::accepted;
}

Outcome chat_template(std::string_view input) try {
  constexpr engine::RenderLimits limits{.steps = 20'000, .bytes = std::size_t{1} << 20, .depth = 200};
  const auto [source, json] = halves(input);
  const auto chat_template = engine::ChatTemplate::parse(source, "t");
  const auto variables = json.empty() ? engine::Json() : engine::Json::parse(json, "v");
  try {
    const auto named = variables.is_object() ? engine::TemplateVariables().set_all(variables) : engine::TemplateVariables();
    promise(chat_template.render(named, limits, engine::LocalTime{2026, 1, 2, 3, 4, 5}).size() <= limits.bytes, "limits hold");
    return Outcome::accepted;
  } catch (const Error&) {
    return Outcome::refused;
  }
} catch (const Error&) {
  return Outcome::rejected;
}

}  // namespace atom::fuzz
