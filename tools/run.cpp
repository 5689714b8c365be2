// atom run: text in, text out. A prompt from the command line, one per line of stdin, or a user at a terminal.
#include <cstdio>
#include <iostream>
#include <unistd.h>

#include "atom/core/error.hpp"
#include "atom/engine/generation_config.hpp"

#include "chat_flags.hpp"
#include "common.hpp"
#include "dialogue.hpp"
#include "repl.hpp"
#include "sampling.hpp"
#include "serving.hpp"

namespace atom::tools {

int run(const RunOptions& o) {
  if (o.chat && o.raw) throw Error("--chat and --raw exclude each other");
  const bool interactive = !o.prompt && isatty(STDIN_FILENO) == 1;
  TerminalProgress progress;
  require_model(o.model);
  const std::string& model = o.model.model;
  const bool chat = o.chat || (interactive && !o.raw && has_template(o.chat_flags, model));
  if (!o.system.empty() && !chat) throw Error("--system: only a chat has one; add --chat");
  const auto config = engine::read_config(model);
  const auto defaults = engine::read_generation_config(model, config);
  warn_unknown(config.unknown_keys, model + "/config.json");
  warn_unknown(defaults.unknown_keys, model + "/generation_config.json");
  DialogueOptions how{.chat_template = {},
                      .template_kwargs = template_kwargs(o.chat_flags),
                      .sampling = sampling_params(o.sampling, defaults),
                      .bos_token = defaults.bos_token_id};
  if (chat) how.chat_template = load_template(o.chat_flags, model);

  auto engine = load_engine(o.model, &progress);
  if (!engine.tokenizer()) throw Error(model + "/tokenizer.json: there is none; run needs one to read and write text");
  Dialogue dialogue(engine, std::move(how));
  dialogue.set_system(o.system);
  if (o.prompt) {
    if (!chat) std::fputs(o.prompt->c_str(), stdout);
    dialogue.say(*o.prompt);
    return 0;
  }
  if (interactive) {
    repl(dialogue, !o.no_history);
    return 0;
  }
  for (std::string line; std::getline(std::cin, line);) {
    if (line.empty()) continue;
    try {
      dialogue.say(line);
    } catch (const Error& e) {  // this line's fault; the next one may fit
      std::fprintf(stderr, "atom: %s\n", e.what());
    }
  }
  return 0;
}

}  // namespace atom::tools
