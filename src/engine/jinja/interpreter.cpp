#include "interpreter.hpp"

#include <algorithm>
#include <utility>

#include "natives.hpp"
#include "operators.hpp"
#include "print.hpp"

namespace atom::engine::jinja {

class Interpreter::Capture {
 public:
  explicit Capture(Interpreter& interpreter) : interpreter_(interpreter), outer_(std::exchange(interpreter.out_, &text_)) {}
  ~Capture() { interpreter_.out_ = outer_; }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  [[nodiscard]] std::string& text() { return text_; }
  [[nodiscard]] Value value() const { return keep_text(interpreter_.sandbox_, text_); }

 private:
  Interpreter& interpreter_;
  std::string text_;
  std::string* outer_;
};

class Interpreter::InScope {
 public:
  InScope(Interpreter& interpreter, Scope* outer)
      : interpreter_(interpreter), mine_(interpreter.scopes_.open(outer)), before_(std::exchange(interpreter.scope_, mine_)) {}
  ~InScope() {
    interpreter_.scope_ = before_;
    interpreter_.scopes_.close(mine_);
  }
  InScope(const InScope&) = delete;
  InScope& operator=(const InScope&) = delete;

 private:
  Interpreter& interpreter_;
  Scope *mine_, *before_;
};

void Interpreter::set(std::string_view name, const Value& value) {
  const auto known = program_.symbols.find(name);
  if (known != program_.symbols.end()) scopes_.set(*scope_, known->second, value);
}

std::string Interpreter::run() {
  Capture capture(*this);
  run(program_.body);
  return std::move(capture.text());
}

// ---- statements -----------------------------------------------------------------------------------------------------

void Interpreter::print(std::string_view text) {
  sandbox_.take(text.size());
  sandbox_.spend_on(text.size());
  *out_ += text;
}

void Interpreter::print(const Value& value) {
  if (value.is(Kind::text)) return print(value.text());
  std::string text;
  append_str(sandbox_, text, value);
  print(text);
}

Interpreter::Flow Interpreter::run(const Block& block) {
  for (const Statement& s : block) {
    if (const Flow flow = run(s); flow != Flow::next) return flow;
  }
  return Flow::next;
}

Interpreter::Flow Interpreter::run(const Statement& s) {
  sandbox_.spend(1);
  line_ = s.line;
  switch (s.tag) {
    case Tag::text: print(s.text); break;
    case Tag::print:
      for (const Expr& e : s.exprs) print(eval(e));
      break;
    case Tag::conditional: return run_conditional(s);
    case Tag::loop: return run_loop(s, eval(s.exprs[1]), 0);
    case Tag::set: assign(s.exprs[0], eval(s.exprs[1])); break;
    case Tag::set_block: return run_set_block(s);
    case Tag::macro: run_macro(s); break;
    case Tag::call: run_call(s); break;
    case Tag::filter: return run_filter(s);
    case Tag::scope: return run_in_scope(s);
    case Tag::break_: return Flow::break_;
    case Tag::continue_: return Flow::continue_;
  }
  return Flow::next;
}

Interpreter::Flow Interpreter::run_conditional(const Statement& s) {
  const Sandbox::Level level(sandbox_);
  for (std::size_t i = 0; i < s.exprs.size(); ++i) {
    if (is_true(eval(s.exprs[i]))) return run(s.blocks[i]);
  }
  return s.blocks.size() > s.exprs.size() ? run(s.blocks.back()) : Flow::next;
}

Interpreter::Flow Interpreter::run_loop(const Statement& s, const Value& iterable, int depth) {
  const Sandbox::Level level(sandbox_);
  if (s.recursive || s.exprs.size() > 2) Scopes::capture(scope_);  // the loop variable may be used later
  Value variable;
  variable.kind = Kind::loop;
  variable.loop =
      sandbox_.make<Loop>(*this, s, scope_, walk(sandbox_, iterable), s.exprs.size() > 2 ? &s.exprs[2] : nullptr, depth);
  Loop& loop = *variable.loop;
  const auto name = program_.symbols.find("loop");
  while (loop.advance()) {
    const InScope body(*this, loop.scope);
    if (name != program_.symbols.end()) scopes_.set(*scope_, name->second, variable);
    assign(s.exprs[0], loop.current);
    if (run(s.blocks[0]) == Flow::break_) break;
  }
  if (loop.index0 >= 0 || s.blocks.size() < 2) return Flow::next;
  const InScope otherwise(*this, scope_);
  return run(s.blocks[1]);
}

Interpreter::Flow Interpreter::run_in_scope(const Statement& s) {
  const Sandbox::Level level(sandbox_);
  std::vector<Value> values;  // seen from outside of the scope
  for (std::size_t i = 1; i < s.exprs.size(); i += 2) values.push_back(eval(s.exprs[i]));
  const InScope inner(*this, scope_);
  for (std::size_t i = 0; i < values.size(); ++i) assign(s.exprs[2 * i], values[i]);
  return run(s.blocks[0]);
}

Value Interpreter::filtered(const Expr& filters, const Value& captured) {
  captured_ = captured;
  return eval(filters);
}

Interpreter::Flow Interpreter::captured_body(const Statement& s, Value& value) {
  Capture capture(*this);
  const InScope inner(*this, scope_);
  const Flow flow = run(s.blocks[0]);
  if (flow == Flow::next) value = capture.value();
  return flow;
}

Interpreter::Flow Interpreter::run_set_block(const Statement& s) {
  const Sandbox::Level level(sandbox_);
  Value value;
  if (const Flow flow = captured_body(s, value); flow != Flow::next) return flow;
  assign(s.exprs[0], s.exprs.size() > 1 ? filtered(s.exprs[1], value) : value);
  return Flow::next;
}

Interpreter::Flow Interpreter::run_filter(const Statement& s) {
  const Sandbox::Level level(sandbox_);
  Value value;
  if (const Flow flow = captured_body(s, value); flow != Flow::next) return flow;
  print(filtered(s.exprs[0], value));
  return Flow::next;
}

Value Interpreter::make_macro(const Statement& s) {
  Scopes::capture(scope_);
  Value macro;
  macro.kind = Kind::macro;
  macro.macro = sandbox_.make<Macro>(&s, scope_);
  return macro;
}

void Interpreter::run_macro(const Statement& s) { scopes_.set(*scope_, s.symbol, make_macro(s)); }

void Interpreter::run_call(const Statement& s) {
  const Sandbox::Level level(sandbox_);
  const Value caller = make_macro(s);
  print(eval_call(s.exprs[0], &caller));
}

void Interpreter::assign(const Expr& target, const Value& value) {
  switch (target.op) {
    case Op::name: return scopes_.set(*scope_, target.symbol, value);
    case Op::attribute: {
      const Value object = lookup(target.kids[0].symbol);
      if (!object.is(Kind::name_space)) fail("cannot set an attribute of what is no namespace");
      return object.name_space->set(sandbox_, target.text, value);
    }
    default: break;
  }
  require_defined(value);
  const auto items = all_items(sandbox_, value);
  if (items.size() != target.kids.size()) {
    fail(items.size() < target.kids.size() ? "not enough" : "too many", " values to unpack: expected ",
         std::to_string(target.kids.size()), ", found ", std::to_string(items.size()));
  }
  for (std::size_t i = 0; i < items.size(); ++i) assign(target.kids[i], items[i]);
}

// ---- calls ----------------------------------------------------------------------------------------------------------

Arguments Interpreter::arguments(const Expr& e, const Value* caller) {
  const std::size_t stars = std::size_t{e.star_arguments} + std::size_t{e.star_names};
  const std::size_t first_named = e.kids.size() - stars - e.names.size();
  std::vector<Value> positional;
  std::vector<Named> named;
  for (std::size_t i = 1; i < first_named; ++i) positional.push_back(eval(e.kids[i]));
  for (std::size_t i = 0; i < e.names.size(); ++i) named.push_back({e.names[i], eval(e.kids[first_named + i])});
  if (e.star_arguments) {
    const auto more = all_items(sandbox_, eval(e.kids[e.kids.size() - stars]));
    positional.insert(positional.end(), more.begin(), more.end());
  }
  if (e.star_names) {
    const Value more = eval(e.kids.back());
    if (!more.is(Kind::dict)) fail("argument after ** must be a mapping, not ", type_name(more));
    for (const Entry& entry : more.dict()) {
      if (!entry.key.is(Kind::text)) fail("keywords must be strings");
      const auto same = [&](const Named& n) { return n.name == entry.key.text(); };
      if (std::any_of(named.begin(), named.end(), same)) fail("the argument '", entry.key.text(), "' is given twice");
      named.push_back({entry.key.text(), entry.value});
    }
  }
  if (caller) named.push_back({"caller", *caller});
  Named* kept = sandbox_.array<Named>(named.size());
  std::copy(named.begin(), named.end(), kept);
  return {keep_list(sandbox_, positional).list(), {kept, named.size()}};
}

Value Interpreter::eval_native(const Expr& e) {
  const Value subject = eval(e.kids[0]);
  if (!e.native) fail(unknown(e.op == Op::filter ? "filter" : "test", e.text));
  if (e.kids.size() == 1) return e.native(sandbox_, subject, {});
  return e.native(sandbox_, subject, arguments(e, nullptr));
}

Value Interpreter::eval_call(const Expr& e, const Value* caller) {
  const Value callee = eval(e.kids[0]);
  const Arguments given = arguments(e, caller);
  line_ = e.line;
  switch (callee.kind) {
    case Kind::function:
      if (!callee.function->function) return strftime_now(given);
      return callee.function->function(sandbox_, callee.function->self, given);
    case Kind::macro: return call_macro(*callee.macro, given);
    case Kind::loop: return call_loop(*callee.loop, given);
    default: require_defined(callee); fail("'", type_name(callee), "' object is not callable");
  }
}

Value Interpreter::call_macro(const Macro& macro, const Arguments& given) {
  const Sandbox::Level level(sandbox_);
  const Statement& s = *macro.statement;
  const Signature& signature = *s.signature;
  const std::size_t n = signature.parameters.size(), without_default = n - signature.defaults.size();
  const InScope body(*this, macro.scope);
  std::vector<bool> used(given.named.size());
  const auto take = [&](std::string_view name) -> const Value* {
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (given.named[i].name == name) return used[i] = true, &given.named[i].value;
    }
    return nullptr;
  };
  std::vector<const Value*> values(n);
  bool caller_is_parameter = false;
  for (std::size_t i = 0; i < n; ++i) {
    values[i] = i < given.positional.size() ? &given.positional[i] : take(signature.names[i]);
    caller_is_parameter |= signature.names[i] == "caller";
  }
  for (std::size_t i = 0; i < n; ++i) {  // a default sees the parameters before it
    Value value = make_undefined(Form::missing_name, signature.names[i]);
    if (values[i]) {
      value = *values[i];
    } else if (i >= without_default) {
      value = eval(signature.defaults[i - without_default]);
    }
    scopes_.set(*scope_, signature.parameters[i], value);
  }
  if (signature.uses_caller && !caller_is_parameter) {
    const Value* caller = take("caller");
    scopes_.set(*scope_, program_.symbols.at("caller"), caller ? *caller : make_undefined(Form::explanation, "No caller defined"));
  }
  DictBuilder rest(sandbox_);
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (used[i]) continue;
    if (!signature.uses_kwargs) fail("macro '", s.text, "' takes no keyword argument '", given.named[i].name, "'");
    rest.set(make_text(given.named[i].name), given.named[i].value);
  }
  if (signature.uses_kwargs) scopes_.set(*scope_, program_.symbols.at("kwargs"), rest.done());
  const std::size_t extra = given.positional.size() > n ? given.positional.size() - n : 0;
  if (extra > 0 && !signature.uses_varargs) fail("macro '", s.text, "' takes not more than ", std::to_string(n), " argument(s)");
  if (signature.uses_varargs) {
    scopes_.set(*scope_, program_.symbols.at("varargs"), make_list(given.positional.last(extra), Form::tuple));
  }
  Capture capture(*this);
  run(s.blocks[0]);
  return capture.value();
}

Value Interpreter::call_loop(Loop& loop, const Arguments& given) {
  if (!loop.statement.recursive) fail("the loop must have the 'recursive' marker to be called");
  const Parameters p("loop", given, {"iterable"}, 1);
  const Value iterable = *p[0];
  Capture capture(*this);
  const InScope around(*this, loop.scope);
  run_loop(loop.statement, iterable, loop.depth0 + 1);
  return capture.value();
}

bool Interpreter::meets(const Loop& loop, const Value& item) {
  const InScope test(*this, loop.scope);
  assign(loop.statement.exprs[0], item);
  return is_true(eval(*loop.condition));
}

Value Interpreter::strftime_now(const Arguments& given) {
  const Parameters p("strftime_now", given, {"format"}, 1);
  return keep_text(sandbox_, format_time(p.text(0), now_));
}

// ---- expressions ----------------------------------------------------------------------------------------------------

Value Interpreter::lookup(Symbol symbol) {
  if (const Value* found = Scopes::find(scope_, symbol)) return *found;
  const std::string_view name = program_.symbol_names[symbol];
  if (const Native global = find_global(name)) return make_function(sandbox_, global);
  if (name == "strftime_now") return make_function(sandbox_, nullptr);
  return make_undefined(Form::missing_name, name);
}

Value Interpreter::eval(const Expr& e) {
  const Sandbox::Level level(sandbox_);
  sandbox_.spend(1);
  line_ = e.line;
  switch (e.op) {
    case Op::constant: return e.value;
    case Op::captured: return captured_;
    case Op::name: return lookup(e.symbol);
    case Op::list: return eval_list(e, Form::plain);
    case Op::tuple: return eval_list(e, Form::tuple);
    case Op::dict: return eval_dict(e);
    case Op::attribute: return attribute(sandbox_, eval(e.kids[0]), e.text);
    case Op::item: {
      const Value object = eval(e.kids[0]);
      return item(sandbox_, object, eval(e.kids[1]));
    }
    case Op::slice: {
      const Value object = eval(e.kids[0]), start = eval(e.kids[1]), stop = eval(e.kids[2]);
      return slice(sandbox_, object, start, stop, eval(e.kids[3]));
    }
    case Op::call: return eval_call(e, nullptr);
    case Op::filter:
    case Op::test: return eval_native(e);
    case Op::conditional: return eval_conditional(e);
    case Op::either: {
      const Value left = eval(e.kids[0]);
      return is_true(left) ? left : eval(e.kids[1]);
    }
    case Op::both: {
      const Value left = eval(e.kids[0]);
      return is_true(left) ? eval(e.kids[1]) : left;
    }
    case Op::negation: return make_bool(!is_true(eval(e.kids[0])));
    case Op::minus: return negate(eval(e.kids[0]));
    case Op::plus: return positive(eval(e.kids[0]));
    case Op::concat: return eval_concat(e);
    case Op::compare: return eval_compare(e);
    default: break;
  }
  const Value left = eval(e.kids[0]);
  return arithmetic(sandbox_, e.op, left, eval(e.kids[1]));
}

Value Interpreter::eval_conditional(const Expr& e) {
  if (is_true(eval(e.kids[0]))) return eval(e.kids[1]);
  if (e.kids.size() > 2) return eval(e.kids[2]);
  return make_undefined(Form::explanation, "the inline if-expression evaluated to false and no else section was defined.");
}

Value Interpreter::eval_concat(const Expr& e) {
  std::vector<Value> parts;
  for (const Expr& kid : e.kids) parts.push_back(eval(kid));
  std::string_view text = to_text(sandbox_, parts[0]);
  for (std::size_t i = 1; i < parts.size(); ++i) text = sandbox_.join(text, to_text(sandbox_, parts[i]));
  return make_text(text);
}

Value Interpreter::eval_compare(const Expr& e) {
  Value left = eval(e.kids[0]);
  for (std::size_t i = 0; i < e.comparisons.size(); ++i) {
    const Value right = eval(e.kids[i + 1]);
    if (!compare(sandbox_, e.comparisons[i], left, right)) return make_bool(false);
    left = right;
  }
  return make_bool(true);
}

Value Interpreter::eval_list(const Expr& e, Form form) {
  Value* items = sandbox_.array<Value>(e.kids.size());
  for (std::size_t i = 0; i < e.kids.size(); ++i) items[i] = eval(e.kids[i]);
  return make_list({items, e.kids.size()}, form);
}

Value Interpreter::eval_dict(const Expr& e) {
  DictBuilder dict(sandbox_);
  for (std::size_t i = 0; i < e.kids.size(); i += 2) {
    const Value key = eval(e.kids[i]);
    dict.set(key, eval(e.kids[i + 1]));
  }
  return dict.done();
}

}  // namespace atom::engine::jinja
