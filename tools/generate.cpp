// atom generate: a file of prompts in, a file of answers out, many at a time.
// One JSON object a line. Lines are read as sequences become free and written in the order of the input, each as soon as those
// before it are there: memory does not grow with the file. A file of answers gets its name when it is complete.
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>

#include "atom/core/error.hpp"
#include "atom/engine/generation_config.hpp"
#include "atom/engine/json.hpp"
#include "atom/engine/output_file.hpp"

#include "chat_flags.hpp"
#include "common.hpp"
#include "generate_line.hpp"
#include "sampling.hpp"
#include "serving.hpp"
#include "speculation.hpp"

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

std::string answer_line(std::size_t index, const engine::RequestOutput& o, const engine::SamplingParams& p, bool drafts) {
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
  if (drafts) {
    append(out, "num_tokens_drafted", o.num_tokens_drafted);
    append(out, "num_tokens_accepted", o.num_tokens_accepted);
  }
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

// Where answers go. A file appears complete or not at all; a device or a pipe is written to as it is.
class Output {
 public:
  explicit Output(const std::string& path) : path_(path == "-" ? "stdout" : path) {
    namespace fs = std::filesystem;
    if (path == "-") return;
    if (fs::exists(path) && !fs::is_regular_file(path)) {
      stream_.reset(std::fopen(path.c_str(), "wb"));
      if (!stream_) throw Error("--output: " + path + " cannot be written");
    } else {
      file_.emplace(fs::is_symlink(path) ? fs::canonical(path).string() : path);
    }
  }
  void write(std::string_view text) {
    if (file_) return file_->write(text.data(), text.size());
    std::FILE* to = stream_ ? stream_.get() : stdout;
    if (std::fwrite(text.data(), 1, text.size(), to) != text.size() || std::fflush(to) != 0)
      throw Error("--output: " + path_ + " cannot be written: " + std::strerror(errno));
  }
  void commit() {
    if (file_) file_->commit();
  }

 private:
  std::string path_;
  std::optional<engine::OutputFile> file_;
  File stream_;  // neither: stdout
};

// One input line until its answers are written.
struct Pending {
  std::size_t index = 0, end = 0;  // end: where the line ends in the input, in bytes
  engine::SamplingParams params;
  std::vector<std::string> lines;  // of its answers
  std::size_t missing = 0;
};

class BatchJob {
 public:
  BatchJob(engine::LLMEngine& engine, std::FILE* in, Output& out, LineContext context)
      : engine_(engine), reader_(in), out_(out), context_(std::move(context)), drafts_(engine.stats().speculation.enabled) {}

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
      if (line->too_long) throw BadLine{"line", "is longer than " + std::to_string(longest_line >> 20) + " MiB"};
      engine::Request request = request_of(line->text, context_);
      p.params = request.params;
      p.params.logit_bias.clear();
      const auto answered = [this, &p](const engine::StreamOutput& o) {
        if (!o.finished) return;
        p.lines[static_cast<std::size_t>(o.index)] = answer_line(p.index, *o.finished, p.params, drafts_);
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
    for (; !pending_.empty() && pending_.front().missing == 0; pending_.pop_front()) {
      for (const std::string& line : pending_.front().lines) out_.write(line);
      done_ = pending_.front().end;
    }
  }

  engine::LLMEngine& engine_;
  LineReader reader_;
  Output& out_;
  const LineContext context_;
  const bool drafts_;
  std::deque<Pending> pending_;  // in input order; addresses stay
  std::size_t next_ = 0, waiting_ = 0, done_ = 0, refused_ = 0, tokens_ = 0;
};

LineContext context_of(const GenerateOptions& o) {
  const auto defaults = engine::read_generation_config(o.model.model, engine::read_config(o.model.model));
  LineContext c{.defaults = sampling_params(o.sampling, defaults),
                .chat_template = {},
                .no_template = {},
                .template_kwargs = template_kwargs(o.chat_flags),
                .bos_token = defaults.bos_token_id};
  try {
    c.chat_template = load_template(o.chat_flags, o.model.model);
  } catch (const Error& e) {
    if (!o.chat_flags.chat_template.empty()) throw;
    c.no_template = e.what();  // which matters to lines with messages alone
  }
  return c;
}

}  // namespace

int generate(const GenerateOptions& o) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (o.input != "-" && o.output != "-" && fs::equivalent(o.input, o.output, ignored))
    throw Error("--output: " + o.output + " is the input too; name another file");
  TerminalProgress progress;
  require_model(o.model);
  LineContext context = context_of(o);
  const File in_file(o.input == "-" ? nullptr : std::fopen(o.input.c_str(), "rb"));
  if (o.input != "-" && (!in_file || fs::is_directory(o.input, ignored))) throw Error("--input: " + o.input + " cannot be read");
  Output output(o.output);
  auto engine = load_engine(o.model, &progress);
  context.tokenizer = engine.tokenizer();
  const auto size = o.input == "-" ? 0 : fs::file_size(o.input, ignored);
  BatchJob job(engine, in_file ? in_file.get() : stdin, output, std::move(context));
  job.work(ignored ? 0 : static_cast<std::size_t>(size), progress);
  output.commit();
  const engine::SpeculationStats drafts = engine.stats().speculation;
  std::fprintf(stderr, "%zu prompts, %zu refused; %zu tokens generated%s%s\n", job.lines(), job.refused(), job.tokens(),
               drafts.enabled ? "; " : "", drafts.enabled ? drafts_text(drafts).c_str() : "");
  return 0;
}

}  // namespace atom::tools
