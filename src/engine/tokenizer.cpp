#include "atom/engine/tokenizer.hpp"

#include <algorithm>
#include <utility>

#include "file.hpp"
#include "tokenizer_data.hpp"
#include "utf8.hpp"

namespace atom::engine {
namespace {

using text::AddedToken;
using text::Entry;
using text::quoted;
using text::Vocabulary;

constexpr JsonLimits file_limits{.bytes = std::size_t{256} << 20};
constexpr std::size_t longest_text = std::size_t{256} << 20;
// No normal form is a dozen times as long as its text, but a file may replace every letter by a page, again and again.
constexpr std::size_t most_growth = 32, most_constant = 1 << 20;

Vocabulary read_vocabulary(const Entry& model, const std::vector<AddedToken>& added) {
  const Entry vocab = model.at("vocab");
  const auto refuse = [&](const std::string& token, std::string_view problem) {
    vocab.refuse(quoted(token) + ": " + std::string(problem));
  };
  std::int64_t highest = -1;
  for (const auto& [token, value] : vocab.json().as_object(vocab.path())) {
    const std::int64_t id = value.as_int(vocab.path());
    if (id < 0 || id >= Vocabulary::most_tokens) {
      refuse(token, "id " + std::to_string(id) + " is outside 0.." + std::to_string(Vocabulary::most_tokens - 1));
    }
    highest = std::max(highest, id);
  }
  for (const AddedToken& token : added) highest = std::max<std::int64_t>(highest, token.id);
  if (highest < 0) vocab.refuse("the vocabulary is empty");

  Vocabulary vocabulary(static_cast<int>(highest) + 1);
  for (const auto& [token, value] : vocab.json().as_object(vocab.path())) {
    const int id = static_cast<int>(value.as_int(vocab.path()));
    if (!vocabulary.add(token, id)) refuse(token, "id " + std::to_string(id) + " is also that of " + quoted(vocabulary.token(id)));
  }
  return vocabulary;
}

void add_to_vocabulary(Vocabulary& vocabulary, const std::vector<AddedToken>& added, const Entry& root) {
  for (std::size_t i = 0; i < added.size(); ++i) {
    const auto& [id, content] = std::pair(added[i].id, added[i].content);
    if (vocabulary.find(content) == id || vocabulary.add(content, id)) continue;
    const int other = vocabulary.find(content);
    root.at("added_tokens")
        .items()[i]
        .refuse(quoted(content) + " has id " + std::to_string(id) +
                (other >= 0 ? ", but elsewhere it has " + std::to_string(other)
                            : ", which is also that of " + quoted(vocabulary.token(id))));
  }
}

/// Adds what one post-processor puts around a text.
void read_post_processor(const Entry& entry, TokenizerData& data) {
  const std::string type = entry.string("type");
  if (type == "ByteLevel") return;  // it adjusts offsets, not ids
  if (type != "TemplateProcessing") entry.refuse_type(type, "TemplateProcessing, ByteLevel, Sequence");
  std::vector<int> before, after;
  bool seen = false;
  for (const Entry& item : entry.at("single").items()) {
    if (const auto sequence = item.find("Sequence")) {
      if (sequence->string("id") != "A" || std::exchange(seen, true)) sequence->refuse("a template of one text holds \"A\" once");
      continue;
    }
    const Entry token = item.at("SpecialToken");
    for (const Entry& id : entry.at("special_tokens").at(token.string("id")).at("ids").items()) {
      const std::int64_t value = id.integer();
      if (value < 0 || value >= data.vocabulary.size() || !data.vocabulary.has(static_cast<int>(value))) {
        id.refuse("id " + std::to_string(value) + " is not in the vocabulary");
      }
      (seen ? after : before).push_back(static_cast<int>(value));
    }
  }
  if (!seen) entry.at("single").refuse("the template has no place for the text");
  data.prefix.insert(data.prefix.begin(), before.begin(), before.end());
  data.suffix.insert(data.suffix.end(), after.begin(), after.end());
}

/// The id of `bos_token` where `add_bos_token` asks for it, else -1.
int read_bos(const std::string& config_path, const Vocabulary& vocabulary) {
  const Json json = Json::parse_file(config_path, file_limits);
  const Entry config(json, "");
  if (!config.flag("add_bos_token", false)) return -1;
  const Entry bos = config.at("bos_token");
  const std::string content = bos.json().is_object() ? bos.string("content") : bos.string();
  const int id = vocabulary.find(content);
  if (id < 0) bos.refuse(quoted(content) + " is not in the vocabulary, but add_bos_token is set");
  return id;
}

/// One call of encode.
class Encoder {
 public:
  Encoder(const TokenizerData& data, const EncodeOptions& options, std::vector<int>& ids)
      : data_(data), options_(options), ids_(ids), cutter_(data.pretokenizer), piece_([this](std::string_view piece) {
          data_.bpe.encode(piece, ids_, scratch_);
        }) {}

  void encode(std::string_view text) {
    const bool parse_special = options_.parse_special;
    constexpr std::size_t long_text = 4096;
    if (text.size() >= long_text) scratch_.known.resize(text::Bpe::known_pieces);
    data_.added.as_typed.split(text, parse_special, [&](const text::TokenTrie::Segment& typed) {
      if (typed.id >= 0) return ids_.push_back(typed.id);
      const auto raw = text.substr(typed.begin, typed.end - typed.begin);
      const auto plain = data_.normalizer.apply(raw, storage_, std::min(longest_text, most_growth * raw.size() + most_constant));
      data_.added.normalized.split(plain, parse_special, [&](const text::TokenTrie::Segment& segment) {
        if (segment.id >= 0) return ids_.push_back(segment.id);
        cutter_.cut(original(plain.substr(segment.begin, segment.end - segment.begin)), typed.begin + segment.begin == 0, piece_);
      });
    });
  }

 private:
  /// `text` without stand-ins; valid until the next call.
  std::string_view original(std::string_view text) {
    if (options_.stand_ins.empty()) return text;
    original_.clear();
    while (!text.empty()) {
      const auto here = std::ranges::find_if(options_.stand_ins, [&](const StandIn& s) { return text.starts_with(s.character); });
      const bool found = here != options_.stand_ins.end();
      original_ += found ? std::string_view(here->original) : text.substr(0, 1);
      text.remove_prefix(found ? here->character.size() : 1);
    }
    return original_;
  }

  const TokenizerData& data_;
  const EncodeOptions& options_;
  std::vector<int>& ids_;
  text::Cutter cutter_;
  text::Bpe::Scratch scratch_;
  std::string storage_, original_;
  text::Cutter::Sink piece_;
};

}  // namespace

Tokenizer Tokenizer::from_dir(const std::string& model_dir) {
  const std::string config = model_dir + "/tokenizer_config.json";
  return from_file(model_dir + "/tokenizer.json", exists(config) ? config : std::string());
}

Tokenizer Tokenizer::from_file(const std::string& tokenizer_json, const std::string& tokenizer_config_json) {
  const Json json = Json::parse_file(tokenizer_json, file_limits);
  const Entry root(json, "");
  const Entry model = root.at("model");
  if (const auto type = model.find("type"); type && type->string() != "BPE") {
    model.refuse_type(type->string(), "BPE; convert the tokenizer or use a model with a BPE tokenizer");
  }
  const std::vector<AddedToken> added = text::read_added_tokens(root);
  Vocabulary vocabulary = read_vocabulary(model, added);
  text::Pretokenizer pretokenizer(root.find("pre_tokenizer"));
  text::Bpe bpe(model, vocabulary, pretokenizer.byte_level());
  add_to_vocabulary(vocabulary, added, root);

  std::vector<bool> special(static_cast<std::size_t>(vocabulary.size()));
  for (const AddedToken& token : added) special[static_cast<std::size_t>(token.id)] = token.special;
  text::Normalizer normalizer(root.find("normalizer"));
  text::AddedTokens tries(added, normalizer);
  text::TokenText token_text(root.find("decoder"), vocabulary);
  TokenizerData data{.vocabulary = std::move(vocabulary),
                     .special = std::move(special),
                     .normalizer = std::move(normalizer),
                     .added = std::move(tries),
                     .pretokenizer = std::move(pretokenizer),
                     .bpe = std::move(bpe),
                     .token_text = std::move(token_text)};
  for (int id = 0; id < data.vocabulary.size(); ++id)
    if (data.special[static_cast<std::size_t>(id)]) data.special_ids.push_back(id);
  for (const Entry& entry : text::flatten(root.find("post_processor"), "processors")) read_post_processor(entry, data);
  if (!tokenizer_config_json.empty()) {
    data.bos = read_bos(tokenizer_config_json, data.vocabulary);
    if (std::find(data.prefix.begin(), data.prefix.end(), data.bos) != data.prefix.end()) data.bos = -1;
  }
  return Tokenizer(std::make_shared<const TokenizerData>(std::move(data)));
}

std::vector<int> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  if (text.size() > longest_text) {
    throw Error("tokenizer: a text of " + std::to_string(text.size()) + " bytes; at most " + std::to_string(longest_text) +
                " are accepted");
  }
  std::string repaired;
  if (!text::is_valid(text)) text = repaired = text::repaired(text);
  std::vector<int> ids;
  if (options.add_special_tokens) ids = data_->prefix;
  const std::size_t start = ids.size();
  Encoder(*data_, options, ids).encode(text);
  if (options.add_special_tokens) {
    if (data_->bos >= 0 && (ids.size() == start || ids[start] != data_->bos)) ids.insert(ids.begin(), data_->bos);
    ids.insert(ids.end(), data_->suffix.begin(), data_->suffix.end());
  }
  return ids;
}

std::string Tokenizer::decode(std::span<const int> ids, bool skip_special_tokens) const {
  std::string out;
  text::TextStream stream(data_->token_text, text::TextStream::Runs::whole);
  for (const int id : ids) {
    if (data_->visible(id, skip_special_tokens)) stream.push(id, data_->vocabulary.token(id), out);
  }
  stream.finish(out);
  return out;
}

int Tokenizer::vocab_size() const { return data_->vocabulary.size(); }

std::optional<int> Tokenizer::id_of(std::string_view token) const {
  const int id = data_->vocabulary.find(token);
  return id < 0 ? std::nullopt : std::optional(id);
}

std::string_view Tokenizer::token(int id) const {
  return data_->vocabulary.has(id) ? std::string_view(data_->vocabulary.token(id)) : std::string_view();
}

std::string_view Tokenizer::bytes(int id) const {
  return data_->vocabulary.has(id) ? data_->token_text.bytes(id) : std::string_view();
}

bool Tokenizer::is_special(int id) const { return data_->vocabulary.has(id) && data_->special[static_cast<std::size_t>(id)]; }

std::span<const int> Tokenizer::special_tokens() const { return data_->special_ids; }

}  // namespace atom::engine
