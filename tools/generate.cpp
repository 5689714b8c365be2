// atom generate: a file of prompts in, a file of answers out, many at a time.
// One JSON object a line. Lines are read as sequences become free and written in the order of the input, each as soon as those
// before it are there: memory does not grow with the file, and what a run that was interrupted has written can be kept.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>

#include "atom/core/error.hpp"
#include "atom/engine/generation_config.hpp"
#include "atom/engine/json.hpp"

#include "common.hpp"
#include "serving.hpp"

namespace atom::tools {

namespace {

constexpr std::size_t longest_line = std::size_t{16} << 20;

using File = std::unique_ptr<std::FILE, decltype([](std::FILE* f) { std::fclose(f); })>;

struct Line {
  std::string text;
  bool too_long = false;  // then text is its beginning
};

class LineReader {
 public:
  explicit LineReader(std::FILE* file) : file_(file) {}
  /// The next line that is not blank; nothing at the end.
  std::optional<Line> next() {
    for (Line line; read(line); line = {})
      if (line.too_long || std::ranges::any_of(line.text, [](unsigned char c) { return std::isspace(c) == 0; })) return line;
    return {};
  }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  bool read(Line& line) {
    bool any = false;
    for (int c; (c = std::getc(file_)) != EOF;) {
      any = true;
      ++bytes_;
      if (c == '\n') break;
      if (line.text.size() == longest_line)
        line.too_long = true;
      else
        line.text.push_back(static_cast<char>(c));
    }
    return any;
  }
  std::FILE* file_;
  std::size_t bytes_ = 0;
};

// A mistake in one line: its field and what is wrong with it.
struct BadLine {
  std::string field, why;
};

// The value of a field as read() gives it; Json's own message says which type it must have.
template <class Read> auto typed(const std::string& field, Read&& read) {
  try {
    return read();
  } catch (const Error& e) {
    std::string_view why = e.what();
    for (const std::string& prefix : {std::string("line: "), field + ": "})
      if (why.starts_with(prefix)) why.remove_prefix(prefix.size());
    throw BadLine{field, std::string(why)};
  }
}

int token_of(const std::string& field, const engine::Json& value) {
  const std::int64_t id = typed(field, [&] { return value.as_int(field); });
  if (id < 0 || id > std::numeric_limits<int>::max()) throw BadLine{field, std::to_string(id) + " is no token id"};
  return static_cast<int>(id);
}
std::vector<int> tokens_of(const std::string& field, const engine::Json& value) {
  std::vector<int> ids;
  for (const auto& id : typed(field, [&] { return value.as_array(field); })) ids.push_back(token_of(field, id));
  return ids;
}

void read_field(const std::string& key, const engine::Json& v, engine::SamplingParams& p) {
  const auto number = [&](double& to) { to = typed(key, [&] { return v.as_number(key); }); };
  const auto integer = [&](std::int64_t& to) { to = typed(key, [&] { return v.as_int(key); }); };
  const auto text = [&](const engine::Json& j) { return typed(key, [&] { return j.as_string(key); }); };
  if (v.is_null()) return;  // equals absent
  if (key == "temperature") return number(p.temperature);
  if (key == "top_p") return number(p.top_p);
  if (key == "min_p") return number(p.min_p);
  if (key == "presence_penalty") return number(p.presence_penalty);
  if (key == "frequency_penalty") return number(p.frequency_penalty);
  if (key == "repetition_penalty") return number(p.repetition_penalty);
  if (key == "max_tokens") return integer(p.max_tokens);
  if (key == "min_tokens") return integer(p.min_tokens);
  if (key == "top_k") return integer(p.top_k);
  if (key == "n") return integer(p.n);
  if (key == "logprobs") return integer(p.logprobs);
  if (key == "ignore_eos") {
    p.ignore_eos = typed(key, [&] { return v.as_bool(key); });
  } else if (key == "seed") {
    const std::int64_t seed = typed(key, [&] { return v.as_int(key); });
    if (seed < 0) throw BadLine{key, "must be 0 or more"};
    p.seed = static_cast<std::uint64_t>(seed);
  } else if (key == "stop") {
    p.stop_strings.clear();
    if (v.is_string())
      p.stop_strings.push_back(text(v));
    else
      for (const auto& s : typed(key, [&] { return v.as_array(key); })) p.stop_strings.push_back(text(s));
  } else if (key == "stop_token_ids") {
    p.stop_token_ids = tokens_of(key, v);
  } else if (key == "logit_bias") {
    p.logit_bias.clear();
    for (const auto& [token, bias] : typed(key, [&] { return v.as_object(key); })) {
      const bool digits = !token.empty() && token.size() < 10 && token.find_first_not_of("0123456789") == token.npos;
      if (!digits) throw BadLine{key, engine::in_quotes(token) + " is no token id"};
      p.logit_bias.push_back({std::stoi(token), typed(key, [&, &b = bias] { return b.as_number(key); })});
    }
  } else {
    throw BadLine{key,
                  "is unknown; a line has prompt, max_tokens, min_tokens, temperature, top_k, top_p, min_p, seed, n, stop, "
                  "stop_token_ids, ignore_eos, logprobs, logit_bias, presence_penalty, frequency_penalty, repetition_penalty"};
  }
}

engine::Request request_of(const Line& line, const engine::SamplingParams& defaults) {
  if (line.too_long) throw BadLine{"line", "is longer than " + std::to_string(longest_line >> 20) + " MiB"};
  engine::Request r;
  r.params = defaults;
  const auto json = typed("line", [&] { return engine::Json::parse(line.text, "line"); });
  bool prompted = false;
  for (const auto& [key, value] : typed("line", [&] { return json.as_object("line"); })) {
    if (key != "prompt") {
      read_field(key, value, r.params);
      continue;
    }
    prompted = true;
    if (value.is_string())
      r.prompt = value.as_string(key);
    else if (value.is_array())
      r.prompt = tokens_of(key, value);
    else
      throw BadLine{key, "expected a text or an array of token ids"};
  }
  if (!prompted) throw BadLine{"prompt", "is missing"};
  return r;
}

void append(std::string& out, const char* key, double value) {
  out += std::string(", \"") + key + "\": ";
  engine::append_json_number(out, value);
}

std::string error_line(std::size_t index, const std::string& field, const std::string& why) {
  std::string out = "{\"index\": " + std::to_string(index) + ", \"error\": {\"field\": ";
  engine::append_json_string(out, field);
  out += ", \"why\": ";
  engine::append_json_string(out, why);
  return out + "}}\n";
}

std::string answer_line(std::size_t index, const engine::RequestOutput& o, const engine::SamplingParams& p) {
  std::string out = "{\"index\": " + std::to_string(index);
  if (p.n > 1) append(out, "answer", o.index);
  out += ", \"text\": ";
  engine::append_json_string(out, o.text);
  out += ", \"token_ids\": [";
  for (std::size_t i = 0; i < o.token_ids.size(); ++i) out += (i ? ", " : "") + std::to_string(o.token_ids[i]);
  out += "], \"finish_reason\": ";
  engine::append_json_string(out, o.reason());
  append(out, "num_tokens_input", o.num_tokens_input);
  append(out, "num_tokens_output", o.num_tokens_output);
  append(out, "ttft", o.ttft);
  append(out, "tpot", o.tpot);
  append(out, "latency", o.latency);
  if (p.logprobs >= 0) {  // per token: the chosen one first, then the most likely ones
    const auto each = static_cast<std::size_t>(p.logprobs) + 1;
    out += ", \"logprobs\": [";
    for (std::size_t i = 0; i < o.logprobs.size(); ++i) {
      out += i % each ? ", " : i ? "], [" : "[";
      out += "{\"token\": " + std::to_string(o.logprobs[i].token);
      append(out, "logprob", static_cast<double>(o.logprobs[i].logprob));
      out += "}";
    }
    out += o.logprobs.empty() ? "]" : "]]";
  }
  return out + "}\n";
}

// One input line until its answers are written.
struct Pending {
  std::size_t index = 0, end = 0;  // end: where the line ends in the input, in bytes
  engine::SamplingParams params;
  std::vector<std::string> lines;  // of its answers
  std::size_t missing = 0;
};

class BatchJob {
 public:
  BatchJob(engine::LLMEngine& engine, std::FILE* in, std::FILE* out, engine::SamplingParams defaults)
      : engine_(engine), reader_(in), out_(out), defaults_(std::move(defaults)) {}

  /// total: bytes of the input, for the progress bar; 0: not known.
  void work(std::size_t total, engine::Progress& progress) {
    const auto slots = static_cast<std::size_t>(engine_.config().max_num_seqs);
    // Finished lines may wait for a slow one before them, so a few times as many lines as slots are held.
    for (bool more = true; more || !pending_.empty();) {
      while (more && waiting_ < slots + 1 && pending_.size() < 8 * slots) more = take();
      engine_.step();
      flush();
      if (total) progress.update("generating", std::min(done_, total - 1), total);
    }
    if (total) progress.update("generating", total, total);
  }
  [[nodiscard]] std::size_t lines() const { return next_; }
  [[nodiscard]] std::size_t refused() const { return refused_; }
  [[nodiscard]] std::size_t tokens() const { return tokens_; }

 private:
  bool take() {
    const std::optional<Line> line = reader_.next();
    if (!line) return false;
    Pending& p = pending_.emplace_back();
    p.index = next_++;
    p.end = reader_.bytes();
    try {
      engine::Request request = request_of(*line, defaults_);
      p.params = request.params;
      p.params.logit_bias.clear();
      const auto answered = [this, &p](const engine::StreamOutput& o) {
        if (!o.finished) return;
        p.lines[static_cast<std::size_t>(o.index)] = answer_line(p.index, *o.finished, p.params);
        tokens_ += o.finished->token_ids.size();
        --p.missing;
        --waiting_;
      };
      const engine::Admission admission = engine_.add(std::move(request), answered);
      if (!admission.ok()) {
        const std::string& field = admission.error.field;
        throw BadLine{field == "stop_strings" ? "stop" : field, admission.error.why};
      }
      p.missing = static_cast<std::size_t>(p.params.n);
      p.lines.resize(p.missing);
      waiting_ += p.missing;
    } catch (const BadLine& bad) {
      p.lines = {error_line(p.index, bad.field, bad.why)};
      ++refused_;
    }
    return true;
  }
  void flush() {
    bool any = false;
    for (; !pending_.empty() && pending_.front().missing == 0; pending_.pop_front(), any = true) {
      for (const std::string& line : pending_.front().lines)
        if (std::fwrite(line.data(), 1, line.size(), out_) != line.size()) throw Error("--output: cannot be written");
      done_ = pending_.front().end;
    }
    if (any && std::fflush(out_) != 0) throw Error("--output: cannot be written");
  }

  engine::LLMEngine& engine_;
  LineReader reader_;
  std::FILE* out_;
  const engine::SamplingParams defaults_;
  std::deque<Pending> pending_;  // in input order; addresses stay
  std::size_t next_ = 0, waiting_ = 0, done_ = 0, refused_ = 0, tokens_ = 0;
};

engine::SamplingParams sampling(const GenerateOptions& o) {
  const auto d = engine::read_generation_config(o.model.model, engine::read_config(o.model.model));
  engine::SamplingParams p;
  p.temperature = static_cast<double>(o.temperature.value_or(d.temperature));
  p.top_k = o.top_k.value_or(d.top_k);
  p.top_p = static_cast<double>(o.top_p.value_or(d.top_p));
  p.min_p = static_cast<double>(o.min_p.value_or(d.min_p));
  p.max_tokens = o.max_tokens;
  p.seed = o.seed;
  p.stop_strings = o.stop;
  p.ignore_eos = o.ignore_eos;
  return p;
}

}  // namespace

int generate(const GenerateOptions& o) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (o.input != "-" && o.output != "-" && fs::equivalent(o.input, o.output, ignored))
    throw Error("--output: " + o.output + " is the input too; name another file");
  TerminalProgress progress;
  const auto options = executor_options(o.model, &progress);
  const auto defaults = sampling(o);
  if (const auto bad = engine::validate(defaults, std::numeric_limits<int>::max())) throw Error("--" + bad->message());
  const File in_file(o.input == "-" ? nullptr : std::fopen(o.input.c_str(), "rb"));
  if (o.input != "-" && (!in_file || fs::is_directory(o.input, ignored))) throw Error("--input: " + o.input + " cannot be read");
  auto engine = load_engine(
      options, {o.max_num_seqs, o.max_num_batched_tokens, o.model.max_model_len, static_cast<std::size_t>(o.kv_cache_tokens)},
      *o.model.builds);
  const File out_file(o.output == "-" ? nullptr : std::fopen(o.output.c_str(), "wb"));
  if (o.output != "-" && !out_file) throw Error("--output: " + o.output + " cannot be written");
  const auto size = o.input == "-" ? 0 : fs::file_size(o.input, ignored);
  BatchJob job(engine, in_file ? in_file.get() : stdin, out_file ? out_file.get() : stdout, defaults);
  job.work(ignored ? 0 : static_cast<std::size_t>(size), progress);
  std::fprintf(stderr, "%zu prompts, %zu refused; %zu tokens generated\n", job.lines(), job.refused(), job.tokens());
  return 0;
}

}  // namespace atom::tools
