// Targets: JSON, config.json, safetensors.
#include "atom/core/error.hpp"
#include "atom/engine/config.hpp"
#include "atom/engine/generation_config.hpp"
#include "atom/engine/json.hpp"
#include "atom/engine/safetensors.hpp"

#include "targets.hpp"

namespace atom::fuzz {

using engine::Json;

namespace {

// The value written again.
void write(const Json& j, std::string& out) {
  switch (j.kind()) {
    case Json::Kind::null: out += "null"; break;
    case Json::Kind::boolean: out += j.as_bool("") ? "true" : "false"; break;
    case Json::Kind::integer: out += std::to_string(j.as_int("")); break;
    case Json::Kind::real: engine::append_json_number(out, j.as_number("") + 0.0); break;  // -0.0 reads back as the integer
    case Json::Kind::string: engine::append_json_string(out, j.as_string("")); break;
    case Json::Kind::array:
      out += '[';
      for (const Json& item : j.as_array("")) {
        if (out.back() != '[') out += ',';
        write(item, out);
      }
      out += ']';
      break;
    case Json::Kind::object:
      out += '{';
      for (const auto& [key, value] : j.as_object("")) {
        if (out.back() != '{') out += ',';
        engine::append_json_string(out, key);
        out += ':';
        write(value, out);
      }
      out += '}';
      break;
  }
}

}  // namespace

Outcome json(std::string_view text) try {
  constexpr engine::JsonLimits limits{.bytes = 1 << 20, .values = 1 << 16, .depth = 16};
  std::string once, twice;
  write(Json::parse(text, "f.json", limits), once);
  write(Json::parse(once, "f.json", limits), twice);  // what was read can be read
  promise(once == twice, "a value that was written and read has changed");
  std::string literal;
  engine::append_json_string(literal, text);
  promise(Json::parse(literal, "f.json").is_string(), "a literal is a string");
  return Outcome::accepted;
} catch (const Error&) {
  return Outcome::rejected;
}

Outcome config(std::string_view text) try {
  const auto [first, second] = halves(text);
  const auto c = engine::from_config(Json::parse(first, "config.json"));
  const auto& attn = c.spec.attn;
  promise(c.spec.layers > 0 && c.spec.vocab > 0 && c.spec.d_model > 0 && c.spec.d_ff > 0, "sizes are positive");
  promise(attn.heads > 0 && attn.kv_heads > 0 && attn.heads % attn.kv_heads == 0 && attn.head_dim % 2 == 0,
          "heads are shared evenly");
  promise(c.numbers.max_position > 0 && c.numbers.attn_scale > 0, "numbers are positive");
  if (second.empty()) return Outcome::accepted;
  try {
    static_cast<void>(engine::from_generation_config(Json::parse(second, "generation_config.json"), c));
    return Outcome::accepted;
  } catch (const Error&) {
    return Outcome::refused;
  }
} catch (const Error&) {
  return Outcome::rejected;
}

Outcome safetensors(std::string_view bytes) try {
  const MemoryFile memory(bytes);
  const engine::SafeTensors file(memory.path());
  std::size_t total = 0;
  volatile unsigned sum = 0;
  for (const auto& t : file.tensors()) {
    for (std::size_t i = 0; i < t.bytes; ++i) sum = sum + static_cast<unsigned>(t.data[i]);  // a range outside the file would trap
    total += t.bytes;
  }
  promise(total < bytes.size(), "tensors do not share bytes");
  return Outcome::accepted;
} catch (const Error&) {
  return Outcome::rejected;
}

}  // namespace atom::fuzz
