#include "tessera/chat/template.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <initializer_list>

#include "tessera/base/error.hpp"
#include "tessera/chat/expressions.hpp"

namespace tessera::chat {
namespace {

using Kind = Token::Kind;

constexpr std::int64_t kLongestRange = 100000; // as in Jinja's sandbox
constexpr std::size_t kLongestText = std::size_t{64} << 20;
constexpr int kDeepestBlocks = 100;

Statement sequence(std::vector<Statement> statements) {
  return [statements = std::move(statements)](Scope& scope, std::string& out) {
    for (const Statement& statement : statements) {
      if (const Flow flow = statement(scope, out); flow != Flow::ON) return flow;
    }
    return Flow::ON;
  };
}

/// Names that a value is set to: one, or as many as it has items.
void assign(Scope& scope, const std::vector<std::string>& names, const Value& value) {
  if (names.size() == 1) {
    scope.names[names.front()] = value;
    return;
  }
  const Value::List items = items_of(value);
  base::require(items.size() == names.size(), "[chat template] {} values are required for {} names; received {}",
                names.size(), names.size(), items.size());
  for (std::size_t i = 0; i < names.size(); ++i) scope.names[names[i]] = items[i];
}

Value loop_state(const Value::List& items, std::size_t i) {
  const auto index = static_cast<std::int64_t>(i);
  const auto length = static_cast<std::int64_t>(items.size());
  return Value::Dict{{"index", index + 1},
                     {"index0", index},
                     {"revindex", length - index},
                     {"revindex0", length - index - 1},
                     {"first", i == 0},
                     {"last", index + 1 == length},
                     {"length", length},
                     {"previtem", i > 0 ? items[i - 1] : Value::undefined("loop.previtem")},
                     {"nextitem", i + 1 < items.size() ? items[i + 1] : Value::undefined("loop.nextitem")}};
}

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokenize(source)) {}

  Statement run() {
    Statement all = body({});
    base::require(tokens_.peek().kind == Kind::END, "[chat template] line {}: the end of the template is required",
                  tokens_.line());
    return all;
  }

 private:
  /// Statements up to a block tag of one of these names, which is left to the caller.
  Statement body(std::initializer_list<const char*> ends) {
    base::require(++depth_ <= kDeepestBlocks, "[chat template] line {}: blocks are nested more than {} deep",
                  tokens_.line(), kDeepestBlocks);
    std::vector<Statement> statements;
    while (tokens_.peek().kind != Kind::END) {
      const Token token = tokens_.peek();
      if (token.kind == Kind::BLOCK_BEGIN &&
          std::any_of(ends.begin(), ends.end(), [&](const char* end) { return tokens_.peek(1).text == end; }))
        break;
      tokens_.next();
      if (token.kind == Kind::TEXT) {
        statements.push_back([text = token.text](Scope&, std::string& out) {
          out += text;
          return Flow::ON;
        });
      } else if (token.kind == Kind::PRINT_BEGIN) {
        statements.push_back(print());
      } else {
        statements.push_back(block());
      }
    }
    --depth_;
    return sequence(std::move(statements));
  }

  /// The tag that ends a block, whose beginning stood on `line`.
  void end_block(const char* name, int line) {
    base::require(tokens_.peek().kind == Kind::BLOCK_BEGIN && tokens_.peek(1).text == name,
                  "[chat template] the block of line {} must end with {}", line, name);
    tokens_.next();
    tokens_.next();
    end_tag();
  }
  void end_tag() { tokens_.expect(Kind::BLOCK_END, "%}"); }

  Statement print() {
    Expression value = parse_expression(tokens_);
    tokens_.expect(Kind::PRINT_END, "}}");
    return [value](Scope& scope, std::string& out) {
      out += value(scope).text();
      base::require(out.size() <= kLongestText, "[chat template] the text grows beyond {} bytes", kLongestText);
      return Flow::ON;
    };
  }

  Statement block() {
    const int line = tokens_.line();
    const std::string name = tokens_.expect_any_name();
    if (name == "if") return condition(line);
    if (name == "for") return loop(line);
    if (name == "set") return set(line);
    if (name == "macro") return macro(line);
    if (name == "break" || name == "continue") {
      end_tag();
      return [flow = name == "break" ? Flow::BREAK : Flow::CONTINUE](Scope&, std::string&) { return flow; };
    }
    if (name == "generation") { // marks what is trained on
      end_tag();
      Statement inside = body({"endgeneration"});
      end_block("endgeneration", line);
      return inside;
    }
    throw base::Unsupported(fmt::format("[chat template] line {}: the tag {} is not built yet", line, name));
  }

  Statement condition(int line) {
    Expression holds = parse_expression(tokens_);
    end_tag();
    Statement then = body({"elif", "else", "endif"});
    Statement otherwise = sequence({});
    if (tokens_.peek(1).text == "elif") {
      tokens_.next();
      tokens_.next();
      otherwise = condition(line);
    } else {
      if (tokens_.peek(1).text == "else" && tokens_.peek().kind == Kind::BLOCK_BEGIN) {
        end_block("else", line);
        otherwise = body({"endif"});
      }
      end_block("endif", line);
    }
    return [holds, then, otherwise](Scope& scope, std::string& out) {
      return holds(scope).truth() ? then(scope, out) : otherwise(scope, out);
    };
  }

  std::vector<std::string> targets() {
    std::vector<std::string> names{tokens_.expect_any_name()};
    while (tokens_.take_operator(",")) names.push_back(tokens_.expect_any_name());
    return names;
  }

  Statement loop(int line) {
    const std::vector<std::string> names = targets();
    tokens_.expect_name("in");
    Expression items = parse_expression(tokens_, false);
    Expression wanted;
    if (tokens_.take_name("if")) wanted = parse_expression(tokens_);
    base::require<base::Unsupported>(!tokens_.is_name("recursive"),
                                     "[chat template] line {}: recursive loops are not built yet", tokens_.line());
    end_tag();
    Statement inside = body({"else", "endfor"});
    Statement otherwise = sequence({});
    if (tokens_.peek(1).text == "else") {
      end_block("else", line);
      otherwise = body({"endfor"});
    }
    end_block("endfor", line);
    return [names, items, wanted, inside, otherwise](Scope& scope, std::string& out) {
      Value::List list;
      for (Value& item : items_of(items(scope))) {
        Scope own{&scope, {}};
        assign(own, names, item);
        if (!wanted || wanted(own).truth()) list.push_back(std::move(item));
      }
      if (list.empty()) return otherwise(scope, out);
      for (std::size_t i = 0; i < list.size(); ++i) {
        Scope own{&scope, {}};
        assign(own, names, list[i]);
        own.names["loop"] = loop_state(list, i);
        if (inside(own, out) == Flow::BREAK) break;
      }
      return Flow::ON;
    };
  }

  Statement set(int line) {
    const std::vector<std::string> names = targets();
    std::string member;
    if (tokens_.take_operator(".")) member = tokens_.expect_any_name();
    Expression value;
    if (tokens_.take_operator("=")) {
      value = parse_expression(tokens_);
      if (tokens_.is_operator(",")) value = tuple(value);
      end_tag();
    } else {
      end_tag();
      Statement inside = body({"endset"});
      end_block("endset", line);
      value = [inside](Scope& scope) -> Value {
        std::string text;
        Scope own{&scope, {}};
        inside(own, text);
        return text;
      };
    }
    return [names, member, value](Scope& scope, std::string&) {
      if (member.empty()) {
        assign(scope, names, value(scope));
      } else {
        scope.find(names.front()).set(member, value(scope));
      }
      return Flow::ON;
    };
  }

  /// Values with commas between them.
  Expression tuple(Expression first) {
    std::vector<Expression> items{std::move(first)};
    while (tokens_.take_operator(",")) items.push_back(parse_expression(tokens_));
    return [items](Scope& scope) -> Value {
      Value::List list;
      for (const Expression& item : items) list.push_back(item(scope));
      return list;
    };
  }

  Statement macro(int line) {
    const std::string name = tokens_.expect_any_name();
    tokens_.expect_operator("(");
    std::vector<std::pair<std::string, Expression>> parameters;
    while (!tokens_.take_operator(")")) {
      const std::string parameter = tokens_.expect_any_name();
      Expression fallback = [parameter](Scope&) { return Value::undefined(parameter); };
      if (tokens_.take_operator("=")) fallback = parse_expression(tokens_);
      parameters.emplace_back(parameter, fallback);
      if (!tokens_.take_operator(",")) {
        tokens_.expect_operator(")");
        break;
      }
    }
    end_tag();
    Statement inside = body({"endmacro"});
    end_block("endmacro", line);
    return [name, parameters, inside](Scope& scope, std::string&) {
      // Macros see the template's own scope, which outlives every call, and none of the loops around them.
      Scope* of_template = &scope;
      while (of_template->outer->outer != nullptr) of_template = of_template->outer;
      const auto call = [of_template, parameters, inside, depth = 0](const Arguments& arguments) mutable -> Value {
        base::require(++depth <= kDeepestBlocks, "[chat template] macros call each other more than {} deep",
                      kDeepestBlocks);
        Scope own{of_template, {}};
        for (std::size_t i = 0; i < parameters.size(); ++i)
          own.names[parameters[i].first] = arguments.get(i, parameters[i].first, parameters[i].second(own));
        std::string text;
        inside(own, text);
        --depth;
        return text;
      };
      scope.names[name] = Value::Function(call);
      return Flow::ON;
    };
  }

  TokenReader tokens_;
  int depth_ = 0;
};

Value range(const Arguments& arguments) {
  const bool bounded = arguments.positional.size() > 1;
  const std::int64_t first = bounded ? arguments.positional[0].integer() : 0;
  const std::int64_t last = arguments.get(bounded ? 1 : 0, "stop", std::int64_t{0}).integer();
  const std::int64_t step = arguments.get(2, "step", std::int64_t{1}).integer();
  base::require(step != 0, "[chat template] range needs a step other than 0");
  Value::List list;
  for (std::int64_t i = first; step > 0 ? i < last : i > last; i += step) {
    base::require(static_cast<std::int64_t>(list.size()) < kLongestRange,
                  "[chat template] range may have {} items at most", kLongestRange);
    list.emplace_back(i);
  }
  return list;
}

Value dict_of(const Arguments& arguments) {
  const Value dict{Value::Dict()};
  for (const Value& other : arguments.positional) {
    for (const auto& [key, value] : other.dict()) dict.set(key, value);
  }
  for (const auto& [key, value] : arguments.named) dict.set(key, value);
  return dict;
}

Value time_text(const Arguments& arguments) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[256];
  return std::string(text, std::strftime(text, sizeof text, arguments.get(0, "format", "").string().c_str(), &local));
}

Value refuse(const Arguments& arguments) {
  throw base::InvalidArgument(
      fmt::format("[chat template] the template refuses the messages: {}", arguments.get(0, "message", "").text()));
}

} // namespace

Template Template::parse(std::string_view source) {
  return Template(Parser(source).run());
}

std::string Template::render(const Value& variables) const {
  Scope globals;
  globals.names = {{"range", Value::Function(range)},
                   {"dict", Value::Function(dict_of)},
                   {"namespace", Value::Function(dict_of)},
                   {"strftime_now", Value::Function(time_text)},
                   {"raise_exception", Value::Function(refuse)}};
  Scope scope{&globals, {}};
  for (const auto& [name, value] : variables.dict()) scope.names[name] = value;
  std::string out;
  body_(scope, out);
  return out;
}

} // namespace tessera::chat
