// Expressions, from the loosest operator (if else) to the tightest (filters, which bind to the operand before them).
#include <algorithm>
#include <array>

#include "natives.hpp"
#include "parser.hpp"

namespace atom::engine::jinja {
namespace {

struct Binary {
  std::string_view sign;
  int level;
  Op op;
};
enum Level { sum, concatenation, product, exponent };
constexpr std::array<Binary, 8> binaries = {{{"+", sum, Op::add},
                                             {"-", sum, Op::subtract},
                                             {"~", concatenation, Op::concat},
                                             {"*", product, Op::multiply},
                                             {"/", product, Op::divide},
                                             {"//", product, Op::floor_divide},
                                             {"%", product, Op::modulo},
                                             {"**", exponent, Op::power}}};

constexpr std::array<std::pair<std::string_view, Comparison>, 6> comparisons = {{{"==", Comparison::equal},
                                                                                 {"!=", Comparison::unequal},
                                                                                 {"<", Comparison::less},
                                                                                 {"<=", Comparison::less_equal},
                                                                                 {">", Comparison::greater},
                                                                                 {">=", Comparison::greater_equal}}};

constexpr std::uint32_t deepest = 100;  // of a tree: the length of a chain of operators or subscripts

}  // namespace

Expr Parser::finish(Expr e) const {
  for (const Expr& kid : e.kids) e.depth = std::max(e.depth, kid.depth + 1);
  if (e.depth > deepest)
    refuse_at(e.line, "an expression of more than " + std::to_string(deepest) + " levels; split it with {% set %}");
  return e;
}

Expr Parser::make(Op op, std::uint32_t line, std::initializer_list<Expr*> kids) const {
  Expr e;
  e.op = op;
  e.line = line;
  e.kids.reserve(kids.size());
  for (Expr* kid : kids) e.kids.push_back(std::move(*kid));
  return finish(std::move(e));
}

Expr Parser::tuple(bool with_conditional, std::string_view end_name) {
  const auto at_end = [&] {
    return now().type == Type::print_end || now().type == Type::tag_end || at_sign(")") || (!end_name.empty() && at_name(end_name));
  };
  Expr items;
  items.op = Op::tuple;
  items.line = now().line;
  for (;;) {
    if (at_end()) break;
    items.kids.push_back(with_conditional ? expression() : binary(-2));
    if (!at_sign(",")) {
      if (items.kids.size() > 1) break;
      return std::move(items.kids[0]);
    }
    next();
  }
  if (items.kids.empty() && !at_sign(")")) refuse("expected an expression, found " + shown());
  return finish(std::move(items));
}

Expr Parser::conditional() {
  const Scoped scoped(*this);
  const std::uint32_t line = now().line;
  const std::size_t unknown_before = unknown_.size();
  Expr value = binary(-2);
  while (accept_name("if")) {
    Expr condition = binary(-2);
    if (accept_name("else")) {
      Expr otherwise = conditional();
      value = make(Op::conditional, line, {&condition, &value, &otherwise});
    } else {
      value = make(Op::conditional, line, {&condition, &value});
    }
    unknown_.resize(unknown_before);
  }
  return value;
}

/// Level -2: or; -1: and; then those of `binaries`, from 0.
Expr Parser::binary(int level) {
  const auto operand = [&] {
    if (level == -1) return negation();
    return level == exponent ? unary(true) : binary(level + 1);
  };
  const std::uint32_t line = now().line;
  Expr left = operand();
  if (level < 0) {
    while (accept_name(level == -2 ? "or" : "and")) {
      Expr right = operand();
      left = make(level == -2 ? Op::either : Op::both, line, {&left, &right});
    }
    return left;
  }
  if (level == concatenation && at_sign("~")) {
    Expr all = make(Op::concat, line, {&left});
    while (accept_sign("~")) all.kids.push_back(operand());
    return finish(std::move(all));
  }
  for (;;) {
    const Binary* found = nullptr;
    for (const Binary& b : binaries) {
      if (b.level == level && at_sign(b.sign)) found = &b;
    }
    if (!found || found->op == Op::concat) return left;
    next();
    Expr right = operand();
    left = make(found->op, line, {&left, &right});
  }
}

Expr Parser::negation() {
  const std::uint32_t line = now().line;
  if (!accept_name("not")) return comparison();
  const Scoped scoped(*this);
  Expr operand = negation();
  return make(Op::negation, line, {&operand});
}

Expr Parser::comparison() {
  const std::uint32_t line = now().line;
  Expr first = binary(sum);
  std::vector<Comparison> signs;
  std::vector<Expr> operands;
  for (;;) {
    const auto* found = comparisons.end();
    if (now().type == Type::sign) {
      found = std::find_if(comparisons.begin(), comparisons.end(), [&](const auto& c) { return c.first == now().text; });
    }
    if (found != comparisons.end()) {
      signs.push_back(found->second);
    } else if (at_name("in")) {
      signs.push_back(Comparison::in);
    } else if (at_name("not") && ahead().type == Type::name && ahead().text == "in") {
      signs.push_back(Comparison::not_in);
      next();
    } else {
      break;
    }
    next();
    operands.push_back(binary(sum));
  }
  if (signs.empty()) return first;
  Expr e = make(Op::compare, line, {&first});
  for (Expr& operand : operands) e.kids.push_back(std::move(operand));
  e.comparisons = std::move(signs);
  return finish(std::move(e));
}

Expr Parser::unary(bool with_filters) {
  const std::uint32_t line = now().line;
  Expr e;
  if (at_sign("-") || at_sign("+")) {
    const Scoped scoped(*this);
    const Op op = next().text == "-" ? Op::minus : Op::plus;
    Expr operand = unary(false);
    e = make(op, line, {&operand});
  } else {
    e = primary();
  }
  e = postfix(std::move(e));
  return with_filters ? filters_and_tests(std::move(e)) : e;
}

Expr Parser::name(std::string_view name, std::uint32_t line) {
  Expr e;
  e.line = line;
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    e.value = make_bool(name[0] == 't' || name[0] == 'T');
  } else if (name != "none" && name != "None") {
    e.op = Op::name;
    e.symbol = program_.symbol(name);
    for (Signature* macro : macros_) {
      macro->uses_caller |= name == "caller";
      macro->uses_kwargs |= name == "kwargs";
      macro->uses_varargs |= name == "varargs";
    }
  }
  return e;
}

Expr Parser::primary() {
  const Token token = now();
  Expr e;
  e.line = token.line;
  switch (token.type) {
    case Type::name: return next(), name(token.text, token.line);
    case Type::number:
      next();
      e.value = token.number;
      return e;
    case Type::text: {
      next();
      std::string_view text = token.text;
      while (now().type == Type::text) {  // neighbours are one text
        text = program_.texts.emplace_back(std::string(text) += now().text);
        next();
      }
      e.value = make_text(text);
      return e;
    }
    default: break;
  }
  const Scoped scoped(*this);
  if (accept_sign("(")) {
    e = tuple(true);
    expect_sign(")");
    return e;
  }
  if (at_sign("[")) return list();
  if (at_sign("{")) return dict();
  refuse("expected an expression, found " + shown());
}

Expr Parser::list() {
  Expr e;
  e.op = Op::list;
  e.line = next().line;
  while (!at_sign("]")) {
    if (!e.kids.empty()) expect_sign(",");
    if (at_sign("]")) break;
    e.kids.push_back(expression());
  }
  next();
  return finish(std::move(e));
}

Expr Parser::dict() {
  Expr e;
  e.op = Op::dict;
  e.line = next().line;
  while (!at_sign("}")) {
    if (!e.kids.empty()) expect_sign(",");
    if (at_sign("}")) break;
    e.kids.push_back(expression());
    expect_sign(":");
    e.kids.push_back(expression());
  }
  next();
  return finish(std::move(e));
}

Expr Parser::call(Expr subject) {
  Expr e = make(Op::call, now().line, {&subject});
  arguments(e);
  return finish(std::move(e));
}

Expr Parser::postfix(Expr subject) {
  for (;;) {
    if (at_sign(".") || at_sign("[")) {
      subject = subscript(std::move(subject));
    } else if (at_sign("(")) {
      subject = call(std::move(subject));
    } else {
      return subject;
    }
  }
}

Expr Parser::subscript(Expr subject) {
  const std::uint32_t line = now().line;
  if (accept_sign(".")) {
    const Token token = next();
    if (token.type == Type::name) {
      Expr e = make(Op::attribute, line, {&subject});
      e.text = token.text;
      return e;
    }
    if (token.type != Type::number || !token.number.is(Kind::integer))
      refuse_at(token.line, "expected a name or a number after the dot");
    Expr index;
    index.line = line;
    index.value = token.number;
    return make(Op::item, line, {&subject, &index});
  }
  next();
  const Scoped scoped(*this);
  Expr parts[3];
  bool slice = false;
  if (!at_sign(":")) parts[0] = expression();
  for (int i = 1; i < 3 && accept_sign(":"); ++i) {
    slice = true;
    if (!at_sign(":") && !at_sign("]")) parts[i] = expression();
  }
  expect_sign("]");
  return slice ? make(Op::slice, line, {&subject, &parts[0], &parts[1], &parts[2]}) : make(Op::item, line, {&subject, &parts[0]});
}

void Parser::arguments(Expr& call) {
  const Scoped scoped(*this);
  const std::uint32_t line = now().line;
  const auto require = [&](bool valid) {
    if (!valid) refuse_at(line, "the arguments of this call are out of order: positional, named, *list, **dict");
  };
  Expr star, star_names;
  expect_sign("(");
  for (bool first = true; !at_sign(")"); first = false) {
    if (!first) {
      expect_sign(",");
      if (at_sign(")")) break;
    }
    if (accept_sign("*")) {
      require(!call.star_arguments && !call.star_names);
      call.star_arguments = true;
      star = expression();
    } else if (accept_sign("**")) {
      require(!call.star_names);
      call.star_names = true;
      star_names = expression();
    } else if (now().type == Type::name && ahead().type == Type::sign && ahead().text == "=") {
      require(!call.star_names);
      const std::string_view name = next().text;
      if (std::find(call.names.begin(), call.names.end(), name) != call.names.end()) {
        refuse("the argument " + std::string(name) + " is given twice");
      }
      next();
      call.names.push_back(name);
      call.kids.push_back(expression());
    } else {
      require(!call.star_arguments && !call.star_names && call.names.empty());
      call.kids.push_back(expression());
    }
  }
  next();
  if (call.star_arguments) call.kids.push_back(std::move(star));
  if (call.star_names) call.kids.push_back(std::move(star_names));
}

Expr Parser::filters_and_tests(Expr subject) {
  for (;;) {
    if (accept_sign("|")) {
      subject = one_filter(std::move(subject));
    } else if (at_name("is")) {
      subject = test(std::move(subject));
    } else if (at_sign("(")) {
      subject = call(std::move(subject));
    } else {
      return subject;
    }
  }
}

Expr Parser::filter_chain(Expr subject) {
  do {
    subject = one_filter(std::move(subject));
  } while (accept_sign("|"));
  return subject;
}

Expr Parser::one_filter(Expr subject) {
  Expr e = make(Op::filter, now().line, {&subject});
  e.text = expect_name();
  e.native = find_filter(e.text);
  if (!e.native) unknown_.push_back({e.line, unknown("filter", e.text)});
  if (at_sign("(")) arguments(e);
  return finish(std::move(e));
}

Expr Parser::test(Expr subject) {
  const std::uint32_t line = next().line;
  const bool negated = accept_name("not");
  Expr e = make(Op::test, line, {&subject});
  e.text = expect_name();
  e.native = find_test(e.text);
  if (!e.native) unknown_.push_back({line, unknown("test", e.text)});
  const Type type = now().type;
  if (at_sign("(")) {
    arguments(e);
  } else if ((type == Type::name && !at_name("else") && !at_name("or") && !at_name("and")) || type == Type::text ||
             type == Type::number || at_sign("[") || at_sign("{")) {
    if (at_name("is")) refuse("tests cannot be chained with is");
    e.kids.push_back(postfix(primary()));
  }
  e = finish(std::move(e));
  return negated ? make(Op::negation, line, {&e}) : e;
}

Expr Parser::target(bool with_namespace, std::string_view end_name) {
  const std::uint32_t line = now().line;
  Expr first = one_target(with_namespace);
  if (!at_sign(",")) return first;
  Expr e = make(Op::tuple, line, {&first});
  while (accept_sign(",")) {
    if (at_sign("=") || at_sign(")") || (!end_name.empty() && at_name(end_name))) break;
    e.kids.push_back(one_target(with_namespace));
  }
  return finish(std::move(e));
}

Expr Parser::one_target(bool with_namespace) {
  const Scoped scoped(*this);
  if (accept_sign("(")) {
    Expr e = target(with_namespace);
    expect_sign(")");
    return e;
  }
  const std::uint32_t line = now().line;
  if (now().type != Type::name) refuse("expected the name of a variable, found " + shown());
  Expr e = name(next().text, line);
  if (e.op != Op::name) refuse_at(line, "true, false and none cannot be set");
  if (with_namespace && accept_sign(".")) {
    const std::string_view attribute = expect_name();
    e = make(Op::attribute, line, {&e});
    e.text = attribute;
  }
  return e;
}

}  // namespace atom::engine::jinja
