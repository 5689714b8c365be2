#pragma once
// Parser: tokens to trees, by recursive descent. Nesting is bounded, so that neither parsing nor running can exhaust the stack.
#include <initializer_list>

#include "ast.hpp"
#include "lexer.hpp"

namespace atom::engine::jinja {

class Parser {
 public:
  explicit Parser(Program& program) : program_(program), tokens_(tokenize(program.source, program.texts)) {}
  Block run();

 private:
  using Type = Token::Type;

  // ---- tokens
  [[nodiscard]] const Token& now() const { return tokens_[at_]; }
  [[nodiscard]] const Token& ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  const Token& next() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_[at_]; }
  [[nodiscard]] bool at_sign(std::string_view sign) const { return now().type == Type::sign && now().text == sign; }
  [[nodiscard]] bool at_name(std::string_view name) const { return now().type == Type::name && now().text == name; }
  bool accept_sign(std::string_view sign) { return at_sign(sign) && (next(), true); }
  bool accept_name(std::string_view name) { return at_name(name) && (next(), true); }
  void expect_sign(std::string_view sign);
  void expect_name(std::string_view name);
  void expect(Type type, std::string_view what);
  std::string_view expect_name();
  [[noreturn]] void refuse(std::string what) const { refuse_at(now().line, std::move(what)); }
  [[noreturn]] static void refuse_at(std::uint32_t line, std::string what) { throw SyntaxError{line, std::move(what)}; }
  [[nodiscard]] std::string shown() const;  // the current token, for messages

  // ---- expressions: parse_expression.cpp
  Expr expression() { return conditional(); }
  Expr tuple(bool with_conditional, std::string_view end_name = {});  // an expression, or several with commas
  Expr conditional();
  Expr binary(int level);
  Expr negation();
  Expr comparison();
  Expr unary(bool with_filters);
  Expr primary();
  Expr call(Expr subject);
  Expr postfix(Expr subject);
  Expr filters_and_tests(Expr subject);
  Expr filter_chain(Expr subject);  // from the name of the first filter
  Expr one_filter(Expr subject);
  Expr test(Expr subject);
  Expr subscript(Expr subject);
  Expr list();
  Expr dict();
  void arguments(Expr& call);
  Expr name(std::string_view name, std::uint32_t line);
  Expr finish(Expr e) const;  // sets and bounds the depth
  Expr make(Op op, std::uint32_t line, std::initializer_list<Expr*> kids) const;
  Expr target(bool with_namespace, std::string_view end_name = {});
  Expr one_target(bool with_namespace);

  // ---- statements: parser.cpp
  Block block(std::initializer_list<std::string_view> ends);
  Block body_until(std::string_view end);  // from the end of the opening tag to behind the name of the closing one
  Statement statement();
  Statement conditional_statement();
  Statement loop();
  Statement set();
  Statement macro();
  Statement call();
  Statement filter();
  Statement with();
  Statement generation();
  Statement jump(Tag tag);
  void signature(Signature& s);
  Statement start(Tag tag);

  /// What holds in a part of the template.
  struct Context {
    int depth = 0;         // nested blocks and brackets
    bool in_loop = false;  // break and continue have a meaning
  };
  /// Remembers the context and restores it.
  class Scoped {
   public:
    explicit Scoped(Parser& parser);
    ~Scoped() { parser_.context_ = before_; }
    Scoped(const Scoped&) = delete;
    Scoped& operator=(const Scoped&) = delete;

   private:
    Parser& parser_;
    Context before_;
  };

  Program& program_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  Context context_;
  std::vector<Signature*> macros_;    // those we are in
  std::vector<SyntaxError> unknown_;  // filters and tests; what stands under a condition is refused only when it is reached
};

}  // namespace atom::engine::jinja
