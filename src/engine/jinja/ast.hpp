#pragma once
// The parsed template: expressions and statements, as plain trees. Nothing changes them after parsing.
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "value.hpp"

namespace atom::engine::jinja {

using Symbol = std::uint32_t;  // a variable's name

enum class Op : unsigned char {
  constant,  // value
  captured,  // what the filters of {% filter %} and {% set %} blocks are applied to
  name,      // symbol
  list,
  tuple,
  dict,         // kids (dict: key, value, key, value, ...)
  attribute,    // kids[0] . text
  item,         // kids[0] [ kids[1] ]
  slice,        // kids[0] [ kids[1] : kids[2] : kids[3] ], absent parts are constant none
  call,         // kids[0] ( arguments )
  filter,       // kids[0] | native ( arguments )
  test,         // kids[0] is native ( arguments )
  conditional,  // kids[1] if kids[0] else kids[2], which may be absent
  either,
  both,
  negation,  // or, and, not
  minus,
  plus,  // unary
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  concat,   // kids ~ kids ~ ...
  compare,  // kids[0] comparisons[0] kids[1] comparisons[1] ...
};

enum class Comparison : unsigned char { equal, unequal, less, less_equal, greater, greater_equal, in, not_in };

struct Expr {
  Op op = Op::constant;
  bool star_arguments = false, star_names = false;  // of a call: the last kids are *x, **y
  std::uint32_t line = 0;
  Symbol symbol = 0;
  std::uint32_t depth = 1;  // of the tree below
  Value value;
  std::string_view text;                // an attribute's, filter's or test's name
  Native native = nullptr;              // null: an unknown filter or test
  std::vector<Expr> kids;               // of a call: the subject, positional arguments, named ones, *x, **y
  std::vector<std::string_view> names;  // of the named arguments
  std::vector<Comparison> comparisons;
};

struct Statement;
using Block = std::vector<Statement>;

/// The head of a macro, or of a {% call %} block.
struct Signature {
  std::vector<Symbol> parameters;
  std::vector<std::string_view> names;
  std::vector<Expr> defaults;  // of the last parameters
  bool uses_caller = false, uses_kwargs = false, uses_varargs = false;
};

enum class Tag : unsigned char { text, print, conditional, loop, set, set_block, macro, call, filter, scope, break_, continue_ };

struct Statement {
  Tag tag = Tag::text;
  bool recursive = false;  // a loop
  std::uint32_t line = 0;
  std::string_view text;  // Tag::text; the name of a macro
  Symbol symbol = 0;      // of a macro
  // print: what, one after the other; conditional: the conditions; loop: target, items, and perhaps a condition; set: target,
  // value; set_block: target, and perhaps filters of Op::captured; call: the call; filter: filters of Op::captured; scope: target,
  // value, target, value, ...
  std::vector<Expr> exprs;
  std::vector<Block> blocks;  // conditional: one for each condition, and perhaps the else; loop: the body, and perhaps the else
  std::unique_ptr<Signature> signature;  // of a macro or call
};

struct Program {
  std::string where, source;
  std::deque<std::string> texts;  // what views in the trees point into, besides the source
  std::unordered_map<std::string_view, Symbol> symbols;
  std::vector<std::string_view> symbol_names;
  Block body;

  [[nodiscard]] Symbol symbol(std::string_view name) {
    const auto [at, added] = symbols.try_emplace(name, static_cast<Symbol>(symbol_names.size()));
    if (added) symbol_names.push_back(name);
    return at->second;
  }
};

/// Fills in all but `where` and `source`, which are there. Throws SyntaxError (see lexer.hpp).
void parse(Program& program);

}  // namespace atom::engine::jinja
