#pragma once
// Scope: the variables of one block. A block sees those of the blocks around it and sets only its own.
#include "ast.hpp"
#include "value.hpp"

namespace atom::engine::jinja {

struct Scope {
  struct Binding {
    Symbol symbol;
    Value value;
    Binding* next;
  };
  Scope* outer = nullptr;
  Binding* first = nullptr;
  bool captured = false;  // a macro or loop may use it after its block has ended
};

/// Makes scopes in the sandbox and reuses those that nothing can reach any more.
class Scopes {
 public:
  explicit Scopes(Sandbox& sandbox) : sandbox_(sandbox) {}

  Scope* open(Scope* outer) {
    Scope* scope = free_scopes_;
    if (scope) {
      free_scopes_ = scope->outer;
    } else {
      scope = sandbox_.make<Scope>();
    }
    *scope = Scope{outer, nullptr, false};
    return scope;
  }
  void close(Scope* scope) {
    if (scope->captured) return;
    while (Scope::Binding* binding = scope->first) {
      scope->first = binding->next;
      binding->next = std::exchange(free_bindings_, binding);
    }
    scope->outer = std::exchange(free_scopes_, scope);
  }
  void set(Scope& scope, Symbol symbol, const Value& value) {
    for (Scope::Binding* b = scope.first; b; b = b->next) {
      if (b->symbol == symbol) {
        b->value = value;
        return;
      }
    }
    Scope::Binding* binding = free_bindings_;
    if (binding) {
      free_bindings_ = binding->next;
    } else {
      binding = sandbox_.make<Scope::Binding>();
    }
    *binding = {symbol, value, scope.first};
    scope.first = binding;
  }
  static const Value* find(const Scope* scope, Symbol symbol) {
    for (; scope; scope = scope->outer) {
      for (const Scope::Binding* b = scope->first; b; b = b->next) {
        if (b->symbol == symbol) return &b->value;
      }
    }
    return nullptr;
  }
  static void capture(Scope* scope) {
    for (; scope && !scope->captured; scope = scope->outer) scope->captured = true;
  }

 private:
  Sandbox& sandbox_;
  Scope* free_scopes_ = nullptr;
  Scope::Binding* free_bindings_ = nullptr;
};

}  // namespace atom::engine::jinja
