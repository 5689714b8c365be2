// Target: a line that `atom generate` reads, as a request, and the judgement of its parameters.
#include "atom/core/error.hpp"
#include "atom/engine/tokenizer.hpp"

#include "generate_line.hpp"
#include "targets.hpp"

namespace atom::fuzz {

namespace {

tools::LineContext context() {
  tools::LineContext c;
  static const engine::Tokenizer tokenizer = engine::Tokenizer::from_dir(ATOM_DEMO_MODEL);
  c.tokenizer = &tokenizer;
  c.chat_template = engine::ChatTemplate::parse(
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
      "{% if tools %}{{ tools|tojson }}{% endif %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
      "template");
  c.template_kwargs = engine::Json::parse("{}", "kwargs");
  c.bos_token = 0;
  return c;
}

}  // namespace

Outcome lines(std::string_view text) {
  static const tools::LineContext with = context();
  try {
    const engine::Request request = tools::request_of(std::string(text), with);
    if (const auto* ids = std::get_if<std::vector<int>>(&request.prompt))
      for (const int id : *ids) promise(id >= 0, "token ids are not negative");
    const auto error = engine::validate(request.params, with.tokenizer->vocab_size());
    promise(!error || !error->field.empty(), "a mistake has a field");
    return error ? Outcome::refused : Outcome::accepted;
  } catch (const tools::BadLine& bad) {
    promise(!bad.why.empty(), "a mistake has a reason");  // its field may be an empty key of the line
    return Outcome::rejected;
  }
}

}  // namespace atom::fuzz
