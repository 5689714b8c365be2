#pragma once
// Interpreter: one render of a program. It walks the trees; what filters, tests, methods and operators do is elsewhere.
#include <optional>
#include <string>

#include "ast.hpp"
#include "scope.hpp"

namespace atom::engine::jinja {

struct Macro {
  const Statement* statement;  // a macro or call: its signature and body
  Scope* scope;                // where it was defined
};

class Interpreter {
 public:
  Interpreter(const Program& program, Sandbox& sandbox, const std::optional<LocalTime>& now)
      : program_(program), sandbox_(sandbox), scopes_(sandbox), scope_(scopes_.open(nullptr)), now_(now) {}

  /// A variable of the template; names that the template never mentions are passed over.
  void set(std::string_view name, const Value& value);
  [[nodiscard]] bool mentions(std::string_view name) const { return program_.symbols.contains(name); }
  /// Renders. What it throws happened at line().
  std::string run();
  [[nodiscard]] std::uint32_t line() const { return line_; }

 private:
  friend struct Loop;
  enum class Flow : unsigned char { next, break_, continue_ };

  // ---- statements
  Flow run(const Block& block);
  Flow run(const Statement& s);
  Flow run_conditional(const Statement& s);
  Flow run_loop(const Statement& s, const Value& iterable, int depth);
  Flow run_in_scope(const Statement& s);
  /// Runs a block whose output becomes `value`.
  Flow captured_body(const Statement& s, Value& value);
  Flow run_set_block(const Statement& s);
  Flow run_filter(const Statement& s);
  void run_macro(const Statement& s);
  void run_call(const Statement& s);
  void assign(const Expr& target, const Value& value);
  void print(const Value& value);
  void print(std::string_view text);
  Value filtered(const Expr& filters, const Value& captured);

  // ---- expressions
  Value eval(const Expr& e);
  Value eval_conditional(const Expr& e);
  Value eval_concat(const Expr& e);
  Value eval_compare(const Expr& e);
  Value eval_dict(const Expr& e);
  Value eval_list(const Expr& e, Form form);
  Value eval_native(const Expr& e);
  Value eval_call(const Expr& e, const Value* caller);
  Arguments arguments(const Expr& e, const Value* caller);
  Value lookup(Symbol symbol);
  Value call_macro(const Macro& macro, const Arguments& given);
  Value call_loop(Loop& loop, const Arguments& given);
  bool meets(const Loop& loop, const Value& item);  // its condition
  Value strftime_now(const Arguments& given);
  Value make_macro(const Statement& s);

  /// Text printed while it lives goes to `text`.
  class Capture;
  /// A block's scope, while it lives.
  class InScope;

  const Program& program_;
  Sandbox& sandbox_;
  Scopes scopes_;
  Scope* scope_;
  std::optional<LocalTime> now_;
  std::string* out_ = nullptr;
  Value captured_;
  std::uint32_t line_ = 0;
};

/// The `loop` variable. Items are drawn one by one: the condition of a loop may depend on what its body did.
struct Loop {
  Interpreter& interpreter;
  const Statement& statement;
  Scope* scope;  // around the loop
  Items source;
  const Expr* condition;  // of an item, or null
  int depth0;
  std::size_t drawn = 0;  // of the source
  std::int64_t index0 = -1, length = -1;
  Value current = {}, previous = {}, after = {}, changed = {};
  bool has_after = false, has_changed = false;

  bool advance();        // to the next item
  bool peek();           // looks for the next item: `after`
  std::int64_t count();  // of all items, which draws them
  bool draw(Value& item);
};

/// Local time by `clock`, or the machine's, in the form of strftime; of Python's additions, %f is 000000.
std::string format_time(std::string_view format, const std::optional<LocalTime>& clock);

}  // namespace atom::engine::jinja
