#include "parser.hpp"

#include <algorithm>
#include <array>

namespace atom::engine::jinja {

void parse(Program& program) { program.body = Parser(program).run(); }

Parser::Scoped::Scoped(Parser& parser) : parser_(parser), before_(parser.context_) {
  constexpr int deepest = 64;
  if (++parser_.context_.depth > deepest) {
    parser_.context_ = before_;
    parser_.refuse("nested deeper than " + std::to_string(deepest) + " levels");
  }
}

std::string Parser::shown() const {
  switch (now().type) {
    case Type::data: return "text outside of tags";
    case Type::print_begin: return "{{";
    case Type::print_end: return "}}";
    case Type::tag_begin: return "{%";
    case Type::tag_end: return "%}";
    case Type::end: return "the end of the template";
    case Type::text: return "the text " + in_quotes(now().text);
    default: return in_quotes(now().text);
  }
}

void Parser::expect_sign(std::string_view sign) {
  if (!accept_sign(sign)) refuse("expected " + in_quotes(sign) + ", found " + shown());
}

void Parser::expect_name(std::string_view name) {
  if (!accept_name(name)) refuse("expected " + in_quotes(name) + ", found " + shown());
}

void Parser::expect(Type type, std::string_view what) {
  if (now().type != type) refuse("expected " + std::string(what) + ", found " + shown());
  next();
}

std::string_view Parser::expect_name() {
  if (now().type != Type::name) refuse("expected a name, found " + shown());
  return next().text;
}

Block Parser::run() {
  Block body = block({});
  if (!unknown_.empty()) throw unknown_.front();
  return body;
}

Statement Parser::start(Tag tag) {
  Statement s;
  s.tag = tag;
  s.line = now().line;
  return s;
}

/// Statements up to a tag that one of `ends` names; the current token is then that name. Without ends: to the end.
Block Parser::block(std::initializer_list<std::string_view> ends) {
  const Scoped scoped(*this);
  Block body;
  while (now().type != Type::end) {
    if (now().type == Type::data) {
      body.push_back(start(Tag::text));
      body.back().text = next().text;
    } else if (now().type == Type::print_begin) {
      body.push_back(start(Tag::print));
      next();
      body.back().exprs.push_back(tuple(true));
      expect(Type::print_end, "}}");
    } else {
      next();  // {%
      if (now().type == Type::name && std::find(ends.begin(), ends.end(), now().text) != ends.end()) return body;
      body.push_back(statement());
      expect(Type::tag_end, "%}");
    }
  }
  if (ends.size() > 0) refuse("the end of the template, but {% " + std::string(*(ends.end() - 1)) + " %} is missing");
  return body;
}

Block Parser::body_until(std::string_view end) {
  accept_sign(":");
  expect(Type::tag_end, "%}");
  Block body = block({end});
  next();
  return body;
}

Statement Parser::statement() {
  using Parse = Statement (Parser::*)();
  static constexpr std::array<std::pair<std::string_view, Parse>, 8> tags = {{{"if", &Parser::conditional_statement},
                                                                              {"for", &Parser::loop},
                                                                              {"set", &Parser::set},
                                                                              {"macro", &Parser::macro},
                                                                              {"call", &Parser::call},
                                                                              {"filter", &Parser::filter},
                                                                              {"with", &Parser::with},
                                                                              {"generation", &Parser::generation}}};
  for (const auto& [name, parse] : tags) {
    if (at_name(name)) return (this->*parse)();
  }
  if (at_name("break")) return jump(Tag::break_);
  if (at_name("continue")) return jump(Tag::continue_);
  if (at_name("print")) {
    Statement s = start(Tag::print);
    do {
      next();  // print, or a comma
      s.exprs.push_back(expression());
    } while (at_sign(","));
    return s;
  }
  for (const std::string_view other : {"include", "import", "from", "extends", "block"}) {
    if (at_name(other)) refuse("{% " + std::string(other) + " %} is not supported: a chat template stands alone");
  }
  if (at_name("autoescape")) refuse("{% autoescape %} is not supported: a chat template prints text as it is");
  refuse(now().type == Type::name ? "unknown tag " + shown() : "expected the name of a tag, found " + shown());
}

Statement Parser::conditional_statement() {
  Statement s = start(Tag::conditional);
  const std::size_t unknown_before = unknown_.size();
  do {
    next();  // if, elif
    s.exprs.push_back(tuple(false));
    accept_sign(":");
    expect(Type::tag_end, "%}");
    s.blocks.push_back(block({"elif", "else", "endif"}));
  } while (at_name("elif"));
  if (next().text == "else") s.blocks.push_back(body_until("endif"));
  unknown_.resize(unknown_before);
  return s;
}

Statement Parser::loop() {
  Statement s = start(Tag::loop);
  next();
  s.exprs.push_back(target(false, "in"));
  expect_name("in");
  s.exprs.push_back(tuple(false, "recursive"));
  if (accept_name("if")) s.exprs.push_back(expression());
  s.recursive = accept_name("recursive");
  accept_sign(":");
  expect(Type::tag_end, "%}");
  {
    const Scoped scoped(*this);
    context_.in_loop = true;
    s.blocks.push_back(block({"else", "endfor"}));
  }
  if (next().text == "else") s.blocks.push_back(body_until("endfor"));
  return s;
}

Statement Parser::set() {
  Statement s = start(Tag::set);
  next();
  s.exprs.push_back(target(true));
  if (accept_sign("=")) {
    s.exprs.push_back(tuple(true));
    return s;
  }
  s.tag = Tag::set_block;
  Expr captured;
  captured.op = Op::captured;
  if (accept_sign("|")) s.exprs.push_back(filter_chain(std::move(captured)));
  s.blocks.push_back(body_until("endset"));
  return s;
}

void Parser::signature(Signature& s) {
  while (!at_sign(")")) {
    if (!s.names.empty()) expect_sign(",");
    const std::string_view name = expect_name();
    s.names.push_back(name);
    s.parameters.push_back(program_.symbol(name));
    if (accept_sign("=")) {
      s.defaults.push_back(expression());
    } else if (!s.defaults.empty()) {
      refuse("a parameter without a default after one that has a default");
    }
  }
  next();
}

Statement Parser::macro() {
  Statement s = start(Tag::macro);
  next();
  s.text = expect_name();
  s.symbol = program_.symbol(s.text);
  s.signature = std::make_unique<Signature>();
  expect_sign("(");
  signature(*s.signature);
  macros_.push_back(s.signature.get());
  const Scoped scoped(*this);
  context_.in_loop = false;
  s.blocks.push_back(body_until("endmacro"));
  macros_.pop_back();
  return s;
}

Statement Parser::call() {
  Statement s = start(Tag::call);
  next();
  s.text = "caller";
  s.signature = std::make_unique<Signature>();
  if (accept_sign("(")) signature(*s.signature);
  s.exprs.push_back(expression());
  if (s.exprs[0].op != Op::call) refuse_at(s.line, "{% call %} needs a call of a macro");
  macros_.push_back(s.signature.get());
  const Scoped scoped(*this);
  context_.in_loop = false;
  s.blocks.push_back(body_until("endcall"));
  macros_.pop_back();
  return s;
}

Statement Parser::filter() {
  Statement s = start(Tag::filter);
  next();
  Expr captured;
  captured.op = Op::captured;
  s.exprs.push_back(filter_chain(std::move(captured)));
  s.blocks.push_back(body_until("endfilter"));
  return s;
}

Statement Parser::with() {
  Statement s = start(Tag::scope);
  next();
  while (now().type != Type::tag_end) {
    if (!s.exprs.empty()) expect_sign(",");
    s.exprs.push_back(target(false));
    expect_sign("=");
    s.exprs.push_back(expression());
  }
  s.blocks.push_back(body_until("endwith"));
  return s;
}

Statement Parser::generation() {
  Statement s = start(Tag::scope);
  next();
  const Scoped scoped(*this);
  context_.in_loop = false;
  s.blocks.push_back(body_until("endgeneration"));
  return s;
}

Statement Parser::jump(Tag tag) {
  Statement s = start(tag);
  if (!context_.in_loop) refuse(shown() + " outside of a loop");
  next();
  return s;
}

}  // namespace atom::engine::jinja
