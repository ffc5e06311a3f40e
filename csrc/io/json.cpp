#include "io/json.h"

#include "core/text.h"

namespace tapegrad::io {

void JsonReader::fail(const std::string& what) const {
  throw JsonError(core::text(what, " at byte ", at_, " of the header"));
}

void JsonReader::skip_space() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return;
    ++at_;
  }
}

void JsonReader::expect(char token) {
  if (!accept(token)) fail(core::text("expected '", token, "'"));
}

bool JsonReader::accept(char token) {
  skip_space();
  if (at_ >= text_.size() || text_[at_] != token) return false;
  ++at_;
  return true;
}

bool JsonReader::next_member(bool& first, char closing) {
  if (accept(closing)) return false;
  if (!first) {
    if (!accept(',')) fail(core::text("expected ',' or '", closing, "'"));
    skip_space();
    if (peek() == closing) fail("a comma without a value after it");
  }
  first = false;
  return true;
}

std::string JsonReader::string() {
  expect('"');
  std::string result;
  while (true) {
    if (at_ >= text_.size()) fail("a string without an end");
    const char c = text_[at_];
    if (c == '"') {
      ++at_;
      return result;
    }
    if (c == '\\') {
      ++at_;
      escape(result);
      continue;
    }
    if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
    const size_t length = utf8_length(text_.substr(at_));
    if (length == 0) fail("invalid UTF-8 in a string");
    result.append(text_.substr(at_, length));
    at_ += length;
  }
}

uint32_t JsonReader::hex4() {
  if (text_.size() - at_ < 4) fail("a \\u escape without four digits");
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = text_[at_];
    uint32_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint32_t>(c - 'a') + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<uint32_t>(c - 'A') + 10;
    } else {
      fail("a \\u escape without four digits");
    }
    value = value * 16 + digit;
    ++at_;
  }
  return value;
}

void JsonReader::escape(std::string& result) {
  constexpr std::string_view kNames = "\"\\/bfnrt";
  constexpr std::string_view kValues = "\"\\/\b\f\n\r\t";
  if (at_ >= text_.size()) fail("a string without an end");
  const char name = text_[at_];
  if (const size_t found = kNames.find(name); found != std::string_view::npos) {
    result.push_back(kValues[found]);
    ++at_;
    return;
  }
  if (name != 'u') fail("an unknown escape");
  ++at_;
  uint32_t code = hex4();
  if (code >= 0xdc00 && code < 0xe000) fail("half of a surrogate pair");
  if (code >= 0xd800 && code < 0xdc00) {
    if (text_.substr(at_, 2) != "\\u") fail("half of a surrogate pair");
    at_ += 2;
    const uint32_t low = hex4();
    if (low < 0xdc00 || low >= 0xe000) fail("half of a surrogate pair");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  const auto push = [&](uint32_t byte) { result.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    push(code);
  } else if (code < 0x800) {
    push(0xc0 | code >> 6);
    push(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    push(0xe0 | code >> 12);
    push(0x80 | (code >> 6 & 0x3f));
    push(0x80 | (code & 0x3f));
  } else {
    push(0xf0 | code >> 18);
    push(0x80 | (code >> 12 & 0x3f));
    push(0x80 | (code >> 6 & 0x3f));
    push(0x80 | (code & 0x3f));
  }
}

int64_t JsonReader::count() {
  skip_space();
  const auto is_digit = [&] { return peek() >= '0' && peek() <= '9'; };
  if (!is_digit()) fail("expected a whole number that is not negative");
  const bool zero = peek() == '0';
  int64_t value = 0;
  int digits = 0;
  while (is_digit()) {
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, peek() - '0', &value)) {
      fail("a number above 2^63 - 1");
    }
    ++at_;
    ++digits;
  }
  if (zero && digits > 1) fail("a number that begins with 0");
  if (peek() == '.' || peek() == 'e' || peek() == 'E') fail("a number that is not whole");
  return value;
}

void JsonReader::end() {
  skip_space();
  if (at_ != text_.size()) fail("something after the end of the JSON object");
}

std::string json_quoted(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (byte < 0x20) {
      result += "\\u00";
      result += kHex[byte >> 4];
      result += kHex[byte & 15];
    } else {
      result += c;
    }
  }
  return result += '"';
}

size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and what lies beyond U+10FFFF.
  const unsigned second = byte(1);
  if (first == 0xe0 && second < 0xa0) return 0;
  if (first == 0xed && second >= 0xa0) return 0;
  if (first == 0xf0 && second < 0x90) return 0;
  if (first == 0xf4 && second >= 0x90) return 0;
  return length;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string shown(std::string_view text) {
  constexpr size_t kMost = 200;
  std::string result = "'";
  while (!text.empty()) {
    if (result.size() > kMost) return result += "...'";
    const size_t length = utf8_length(text);
    if (length == 0 || static_cast<unsigned char>(text[0]) < 0x20) {
      result += '?';
      text.remove_prefix(1);
    } else {
      result += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return result += '\'';
}

}  // namespace tapegrad::io
