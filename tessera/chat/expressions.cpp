#include "tessera/chat/expressions.hpp"

#include <fmt/format.h>

#include <cmath>
#include <set>

#include "tessera/base/error.hpp"

namespace tessera::chat {
namespace {

using Kind = Token::Kind;

constexpr int kDeepest = 200; // expressions within expressions

/// Keeps a template that was made to from overflowing the stack.
thread_local int depth = 0;
class Deeper {
 public:
  explicit Deeper(int line) {
    base::require(++depth <= kDeepest, "[chat template] line {}: expressions are nested more than {} deep", line,
                  kDeepest);
  }
  ~Deeper() { --depth; }
};

Expression parse_or(TokenReader& tokens);
Expression parse_unary(TokenReader& tokens);

std::string describe(const Token& token) {
  if (token.kind == Kind::BLOCK_END || token.kind == Kind::PRINT_END) return "the end of the tag";
  if (token.kind == Kind::END) return "the end of the template";
  return fmt::format("\"{}\"", token.text);
}

Value add(const Value& a, const Value& b) {
  if (a.is_string() || b.is_string()) return a.string() + b.string();
  if (a.is_list()) {
    Value::List both = a.list();
    both.insert(both.end(), b.list().begin(), b.list().end());
    return both;
  }
  if (a.is_float() || b.is_float()) return a.number() + b.number();
  return a.integer() + b.integer();
}

Value multiply(const Value& a, const Value& b) {
  if (a.is_string()) {
    std::string text;
    for (std::int64_t i = 0; i < std::min<std::int64_t>(b.integer(), 10000); ++i) text += a.string();
    return text;
  }
  if (a.is_float() || b.is_float()) return a.number() * b.number();
  return a.integer() * b.integer();
}

/// Python's division: towards minus infinity.
Value divide_down(const Value& a, const Value& b) {
  base::require(b.number() != 0.0, "[chat template] division by 0");
  if (a.is_float() || b.is_float()) return std::floor(a.number() / b.number());
  const std::int64_t quotient = a.integer() / b.integer();
  return quotient - (a.integer() % b.integer() != 0 && (a.integer() < 0) != (b.integer() < 0) ? 1 : 0);
}

Value remainder(const Value& a, const Value& b) {
  base::require<base::Unsupported>(!a.is_string(), "[chat template] % on strings is not built yet");
  const Value whole = divide_down(a, b);
  if (a.is_float() || b.is_float()) return a.number() - whole.number() * b.number();
  return a.integer() - whole.integer() * b.integer();
}

Value operate(const std::string& operation, const Value& a, const Value& b) {
  if (operation == "+") return add(a, b);
  if (operation == "~") return a.text() + b.text();
  if (operation == "*") return multiply(a, b);
  if (operation == "//") return divide_down(a, b);
  if (operation == "%") return remainder(a, b);
  if (operation == "/") {
    base::require(b.number() != 0.0, "[chat template] division by 0");
    return a.number() / b.number();
  }
  if (operation == "**") {
    const double power = std::pow(a.number(), b.number());
    const bool whole = a.is_integer() && b.is_integer() && b.integer() >= 0 && std::abs(power) < 0x1p53;
    return whole ? Value(static_cast<std::int64_t>(power)) : Value(power);
  }
  if (a.is_float() || b.is_float()) return a.number() - b.number();
  return a.integer() - b.integer();
}

/// Operands joined by any of some operators, from the left.
template <typename Operand>
Expression parse_chain(TokenReader& tokens, std::initializer_list<const char*> operators, Operand parse_operand) {
  Expression left = parse_operand(tokens);
  while (true) {
    const auto found = std::find_if(operators.begin(), operators.end(),
                                    [&](const char* operation) { return tokens.is_operator(operation); });
    if (found == operators.end()) return left;
    const std::string operation = tokens.next().text;
    left = [left, operation, right = parse_operand(tokens)](Scope& scope) {
      return operate(operation, left(scope), right(scope));
    };
  }
}

Expression parse_sum(TokenReader& tokens) {
  const auto power = [](TokenReader& reader) { return parse_chain(reader, {"**"}, parse_unary); };
  const auto product = [=](TokenReader& reader) { return parse_chain(reader, {"*", "//", "/", "%"}, power); };
  const auto joined = [=](TokenReader& reader) { return parse_chain(reader, {"~"}, product); };
  return parse_chain(tokens, {"+", "-"}, joined);
}

bool holds(const std::string& operation, const Value& a, const Value& b) {
  if (operation == "==") return a == b;
  if (operation == "!=") return !(a == b);
  if (operation == "in") return contains(b, a);
  if (operation == "not in") return !contains(b, a);
  const int order = compare(a, b);
  if (operation == "<") return order < 0;
  if (operation == "<=") return order <= 0;
  return operation == ">" ? order > 0 : order >= 0;
}

Expression parse_comparison(TokenReader& tokens) {
  std::vector<Expression> operands{parse_sum(tokens)};
  std::vector<std::string> operations;
  while (true) {
    std::string operation;
    for (const char* known : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (operation.empty() && tokens.take_operator(known)) operation = known;
    }
    if (operation.empty() && tokens.take_name("in")) operation = "in";
    if (operation.empty() && tokens.is_name("not") && tokens.peek(1).kind == Kind::NAME &&
        tokens.peek(1).text == "in") {
      tokens.next();
      tokens.next();
      operation = "not in";
    }
    if (operation.empty()) break;
    operations.push_back(operation);
    operands.push_back(parse_sum(tokens));
  }
  if (operations.empty()) return operands.front();
  return [operands, operations](Scope& scope) -> Value {
    Value left = operands.front()(scope);
    for (std::size_t i = 0; i < operations.size(); ++i) {
      Value right = operands[i + 1](scope);
      if (!holds(operations[i], left, right)) return false;
      left = std::move(right);
    }
    return true;
  };
}

Expression parse_not(TokenReader& tokens) {
  const Deeper deeper(tokens.line());
  if (!tokens.take_name("not")) return parse_comparison(tokens);
  return [operand = parse_not(tokens)](Scope& scope) -> Value { return !operand(scope).truth(); };
}

Expression parse_and(TokenReader& tokens) {
  Expression left = parse_not(tokens);
  while (tokens.take_name("and")) {
    left = [left, right = parse_not(tokens)](Scope& scope) {
      Value value = left(scope);
      return value.truth() ? right(scope) : value;
    };
  }
  return left;
}

Expression parse_or(TokenReader& tokens) {
  Expression left = parse_and(tokens);
  while (tokens.take_name("or")) {
    left = [left, right = parse_and(tokens)](Scope& scope) {
      Value value = left(scope);
      return value.truth() ? value : right(scope);
    };
  }
  return left;
}

/// Items up to a closing bracket, the opening one taken already. `comma`: whether there was one.
std::vector<Expression> parse_items(TokenReader& tokens, const char* closing, bool* comma = nullptr) {
  std::vector<Expression> items;
  while (!tokens.take_operator(closing)) {
    items.push_back(parse_expression(tokens));
    if (tokens.take_operator(",")) {
      if (comma != nullptr) *comma = true;
      continue;
    }
    tokens.expect_operator(closing);
    break;
  }
  return items;
}

Expression list_of(std::vector<Expression> items) {
  return [items = std::move(items)](Scope& scope) -> Value {
    Value::List list;
    for (const Expression& item : items) list.push_back(item(scope));
    return list;
  };
}

Expression parse_dict(TokenReader& tokens) {
  std::vector<std::pair<Expression, Expression>> entries;
  while (!tokens.take_operator("}")) {
    Expression key = parse_expression(tokens);
    tokens.expect_operator(":");
    entries.emplace_back(std::move(key), parse_expression(tokens));
    if (tokens.take_operator(",")) continue;
    tokens.expect_operator("}");
    break;
  }
  return [entries = std::move(entries)](Scope& scope) -> Value {
    const Value dict{Value::Dict()};
    for (const auto& [key, value] : entries) dict.set(key(scope).string(), value(scope));
    return dict;
  };
}

Expression constant(Value value) {
  return [value = std::move(value)](Scope&) { return value; };
}

Expression parse_name(const std::string& name) {
  if (name == "true" || name == "True") return constant(true);
  if (name == "false" || name == "False") return constant(false);
  if (name == "none" || name == "None") return constant(nullptr);
  return [name](Scope& scope) { return scope.find(name); };
}

Expression parse_primary(TokenReader& tokens) {
  const Token token = tokens.next();
  switch (token.kind) {
    case Kind::NAME:
      return parse_name(token.text);
    case Kind::INTEGER:
      return constant(static_cast<std::int64_t>(std::stoll(token.text)));
    case Kind::FLOAT:
      return constant(std::stod(token.text));
    case Kind::STRING: {
      std::string text = token.text;
      while (tokens.peek().kind == Kind::STRING) text += tokens.next().text;
      return constant(std::move(text));
    }
    default:
      break;
  }
  if (token.kind == Kind::OPERATOR && token.text == "[") return list_of(parse_items(tokens, "]"));
  if (token.kind == Kind::OPERATOR && token.text == "{") return parse_dict(tokens);
  if (token.kind == Kind::OPERATOR && token.text == "(") {
    bool comma = false;
    std::vector<Expression> items = parse_items(tokens, ")", &comma);
    return comma || items.empty() ? list_of(std::move(items)) : items.front();
  }
  throw base::InvalidArgument(
      fmt::format("[chat template] line {}: a value is required; received {}", token.line, describe(token)));
}

Expression parse_subscript(TokenReader& tokens, const Expression& value) {
  Expression parts[3];
  int colons = 0;
  while (!tokens.is_operator("]")) {
    if (tokens.take_operator(":")) {
      base::require(++colons <= 2, "[chat template] line {}: a slice has two colons at most", tokens.line());
      continue;
    }
    base::require(!parts[colons], "[chat template] line {}: ] is required", tokens.line());
    parts[colons] = parse_expression(tokens);
  }
  base::require(colons > 0 || parts[0], "[chat template] line {}: something is required between [ and ]",
                tokens.line());
  tokens.expect_operator("]");
  if (colons == 0) return [value, key = parts[0]](Scope& scope) { return subscript(value(scope), key(scope)); };
  for (Expression& part : parts) {
    if (!part) part = constant(nullptr);
  }
  return [value, first = parts[0], last = parts[1], step = parts[2]](Scope& scope) {
    return slice(value(scope), first(scope), last(scope), step(scope));
  };
}

Expression parse_postfix(TokenReader& tokens, Expression value) {
  while (true) {
    const int line = tokens.line();
    if (tokens.take_operator(".")) {
      value = [value, name = tokens.expect_any_name()](Scope& scope) { return attribute(value(scope), name); };
    } else if (tokens.take_operator("[")) {
      value = parse_subscript(tokens, value);
    } else if (tokens.take_operator("(")) {
      value = [value, line, arguments = parse_arguments(tokens)](Scope& scope) {
        const Value function = value(scope);
        base::require<base::Unsupported>(!function.is_undefined(),
                                         "[chat template] line {}: the function {} is not built yet", line,
                                         function.undefined_name());
        return function.function()(arguments.evaluate(scope));
      };
    } else {
      return value;
    }
  }
}

/// A test's one argument may stand without parentheses.
ParsedArguments parse_test_arguments(TokenReader& tokens) {
  static const std::set<std::string> kGoesOn{"and", "else", "if", "in", "is", "not", "or"};
  if (tokens.take_operator("(")) return parse_arguments(tokens);
  const Token& token = tokens.peek();
  const bool value = token.kind == Kind::STRING || token.kind == Kind::INTEGER || token.kind == Kind::FLOAT ||
                     (token.kind == Kind::NAME && !kGoesOn.contains(token.text)) || tokens.is_operator("[") ||
                     tokens.is_operator("{");
  ParsedArguments arguments;
  if (value) arguments.positional.push_back(parse_postfix(tokens, parse_primary(tokens)));
  return arguments;
}

Expression parse_filters_and_tests(TokenReader& tokens, Expression value) {
  while (true) {
    const int line = tokens.line();
    if (tokens.take_operator("|")) {
      const std::string name = tokens.expect_any_name();
      const Filter filter = find_filter(name, line);
      ParsedArguments arguments;
      if (tokens.take_operator("(")) arguments = parse_arguments(tokens);
      require_arguments(name, line, arguments.positional.size(), arguments.names());
      value = [value, filter, arguments](Scope& scope) { return filter(value(scope), arguments.evaluate(scope)); };
    } else if (tokens.take_name("is")) {
      const bool wanted = !tokens.take_name("not");
      const Test test = find_test(tokens.expect_any_name(), line);
      value = [value, test, wanted, arguments = parse_test_arguments(tokens)](Scope& scope) -> Value {
        return test(value(scope), arguments.evaluate(scope)) == wanted;
      };
    } else {
      return value;
    }
  }
}

Expression parse_unary(TokenReader& tokens) {
  const Deeper deeper(tokens.line());
  if (tokens.take_operator("-")) {
    return [operand = parse_unary(tokens)](Scope& scope) -> Value {
      const Value value = operand(scope);
      return value.is_float() ? Value(-value.number()) : Value(-value.integer());
    };
  }
  if (tokens.take_operator("+")) return parse_unary(tokens);
  return parse_filters_and_tests(tokens, parse_postfix(tokens, parse_primary(tokens)));
}

} // namespace

Token TokenReader::next() {
  const Token token = peek();
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}
bool TokenReader::take_operator(const char* text) {
  if (!is_operator(text)) return false;
  next();
  return true;
}
bool TokenReader::take_name(const char* text) {
  if (!is_name(text)) return false;
  next();
  return true;
}
void TokenReader::expect_operator(const char* text) {
  base::require(take_operator(text), "[chat template] line {}: {} is required; received {}", line(), text,
                describe(peek()));
}
void TokenReader::expect_name(const char* text) {
  base::require(take_name(text), "[chat template] line {}: {} is required; received {}", line(), text,
                describe(peek()));
}
void TokenReader::expect(Token::Kind kind, const char* what) {
  base::require(peek().kind == kind, "[chat template] line {}: {} is required; received {}", line(), what,
                describe(peek()));
  next();
}
std::string TokenReader::expect_any_name() {
  base::require(peek().kind == Kind::NAME, "[chat template] line {}: a name is required; received {}", line(),
                describe(peek()));
  return next().text;
}

Arguments ParsedArguments::evaluate(Scope& scope) const {
  Arguments arguments;
  for (const Expression& expression : positional) arguments.positional.push_back(expression(scope));
  for (const auto& [name, expression] : named) arguments.named.emplace_back(name, expression(scope));
  return arguments;
}
std::vector<std::string> ParsedArguments::names() const {
  std::vector<std::string> result;
  for (const auto& [name, value] : named) result.push_back(name);
  return result;
}

ParsedArguments parse_arguments(TokenReader& tokens) {
  ParsedArguments arguments;
  while (!tokens.take_operator(")")) {
    if (tokens.peek().kind == Kind::NAME && tokens.peek(1).kind == Kind::OPERATOR && tokens.peek(1).text == "=") {
      const std::string name = tokens.next().text;
      tokens.next();
      arguments.named.emplace_back(name, parse_expression(tokens));
    } else {
      arguments.positional.push_back(parse_expression(tokens));
    }
    if (tokens.take_operator(",")) continue;
    tokens.expect_operator(")");
    break;
  }
  return arguments;
}

Expression parse_expression(TokenReader& tokens, bool conditional) {
  const Deeper deeper(tokens.line());
  Expression value = parse_or(tokens);
  if (!conditional || !tokens.take_name("if")) return value;
  Expression condition = parse_or(tokens);
  Expression otherwise = [](Scope&) { return Value::undefined("the value of an if without else"); };
  if (tokens.take_name("else")) otherwise = parse_expression(tokens);
  return [value, condition, otherwise](Scope& scope) {
    return condition(scope).truth() ? value(scope) : otherwise(scope);
  };
}

} // namespace tessera::chat
