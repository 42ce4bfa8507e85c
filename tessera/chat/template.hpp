#pragma once

#include <string>
#include <string_view>

#include "tessera/chat/program.hpp"

namespace tessera::chat {

/// A Jinja template as transformers runs chat templates: trim_blocks, lstrip_blocks, loop controls, the filter tojson,
/// and the functions raise_exception, strftime_now, namespace, range and dict. Of Jinja it has what published chat
/// templates use: print, if, for, set, macro, break, continue and generation, and the filters, tests and methods that
/// this folder's README lists. Immutable; may be rendered by several threads at once.
class Template {
 public:
  /// Throws InvalidArgument for what is no template, Unsupported, naming the construct and its line, for what is not
  /// built.
  static Template parse(std::string_view source);

  /// The text, with `variables` (a dict) in scope. Throws InvalidArgument for what the template refuses and for values
  /// that do not fit, Unsupported for methods that are not built.
  std::string render(const Value& variables) const;

 private:
  explicit Template(Statement body) : body_(std::move(body)) {}

  Statement body_;
};

} // namespace tessera::chat
