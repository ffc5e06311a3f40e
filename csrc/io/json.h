// The part of JSON that a safetensors header is made of: objects, strings, lists of counts. Strict:
// whatever RFC 8259 does not allow is an error. Knows no tensors.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace tapegrad::io {

/// What is wrong with a text, and where.
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Reads a text token by token. Every function skips white space first and throws JsonError where
/// something else stands.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  /// Steps over `token`.
  void expect(char token);
  /// Steps over `token` if it is next.
  bool accept(char token);
  /// For loops over members: true while there is another one; steps over commas and the closing
  /// bracket. `first` is true at the first call.
  bool next_member(bool& first, char closing);
  /// UTF-8, escapes resolved.
  std::string string();
  /// A whole number from 0 to 2^63 - 1, without sign, fraction or exponent.
  int64_t count();
  /// Nothing but white space is left.
  void end();
  [[noreturn]] void fail(const std::string& what) const;

 private:
  void skip_space();
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void escape(std::string& result);
  uint32_t hex4();
  std::string_view text_;
  size_t at_ = 0;
};

/// `text` in quotes, with escapes where JSON wants them. `text` must be UTF-8.
std::string json_quoted(std::string_view text);

/// Length of the UTF-8 sequence that `text` begins with; 0 when it is none.
size_t utf8_length(std::string_view text);
bool is_utf8(std::string_view text);

/// `text` for an error message: quoted, shortened, control characters and broken UTF-8 replaced.
std::string shown(std::string_view text);

}  // namespace tapegrad::io
