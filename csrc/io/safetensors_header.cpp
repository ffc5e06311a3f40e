#include "io/safetensors_header.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "core/text.h"
#include "io/json.h"
#include "tapegrad/error.h"
#include "tapegrad/shape.h"

namespace tapegrad::io {
namespace {

constexpr std::string_view kMetadataName = "__metadata__";

// In the order of DType.
constexpr std::array<std::string_view, kDTypeCount> kDTypeNames = {
    "BOOL", "U8", "I8", "I16", "I32", "I64", "F16", "BF16", "F32", "F64"};

std::optional<DType> dtype_of_name(std::string_view name) {
  const auto found = std::find(kDTypeNames.begin(), kDTypeNames.end(), name);
  if (found == kDTypeNames.end()) return std::nullopt;
  return static_cast<DType>(found - kDTypeNames.begin());
}

class HeaderParser {
 public:
  HeaderParser(std::string_view json, int64_t data_bytes, const std::string& file)
      : json_(json),
        starts_with_object_(json.starts_with('{')),
        data_bytes_(data_bytes),
        file_(file) {}

  Header parse() {
    Header header;
    try {
      read(header);
    } catch (const JsonError& error) {
      fail(error.what());
    }
    check_layout(header);
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& cause) const {
    throw FileError(core::text("load_safetensors: ", file_, ": ", where_, cause));
  }

  void read(Header& header) {
    std::set<std::string> names;
    if (!starts_with_object_) fail("the header does not begin with '{'");
    json_.expect('{');
    for (bool first = true; json_.next_member(first, '}');) {
      std::string name = json_.string();
      json_.expect(':');
      if (!names.insert(name).second) fail(core::text(shown(name), " appears twice in the header"));
      if (name == kMetadataName) {
        read_metadata(header.metadata);
      } else {
        where_ = core::text("tensor ", shown(name), ": ");
        header.records.push_back(read_record(std::move(name)));
        where_.clear();
      }
    }
    json_.end();
  }

  void read_metadata(Metadata& metadata) {
    where_ = "__metadata__: ";
    json_.expect('{');
    for (bool first = true; json_.next_member(first, '}');) {
      std::string key = json_.string();
      json_.expect(':');
      std::string value = json_.string();
      const std::string text = shown(key);
      if (!metadata.emplace(std::move(key), std::move(value)).second) {
        fail(core::text("the key ", text, " appears twice"));
      }
    }
    where_.clear();
  }

  TensorRecord read_record(std::string name) {
    TensorRecord record;
    record.name = std::move(name);
    bool has_dtype = false, has_shape = false, has_offsets = false;
    const auto once = [&](bool& has, const char* key) {
      if (has) fail(core::text("the key '", key, "' appears twice"));
      has = true;
    };
    json_.expect('{');
    for (bool first = true; json_.next_member(first, '}');) {
      const std::string key = json_.string();
      json_.expect(':');
      if (key == "dtype") {
        once(has_dtype, "dtype");
        record.dtype = read_dtype();
      } else if (key == "shape") {
        once(has_shape, "shape");
        record.shape = read_counts(kMaxDims, "shape");
      } else if (key == "data_offsets") {
        once(has_offsets, "data_offsets");
        const std::vector<int64_t> offsets = read_counts(2, "data_offsets");
        if (offsets.size() != 2) fail("data_offsets must be two numbers");
        record.begin = offsets[0];
        record.end = offsets[1];
      } else {
        fail(core::text("unknown key ", shown(key)));
      }
    }
    if (!has_dtype) fail("the key 'dtype' is missing");
    if (!has_shape) fail("the key 'shape' is missing");
    if (!has_offsets) fail("the key 'data_offsets' is missing");
    check_record(record);
    return record;
  }

  DType read_dtype() {
    const std::string name = json_.string();
    const std::optional<DType> dtype = dtype_of_name(name);
    if (dtype) return *dtype;
    fail(core::text("dtype ", shown(name),
                    " is not supported; BOOL, U8, I8, I16, I32, I64, F16, BF16, F32 and F64 are"));
  }

  std::vector<int64_t> read_counts(int most, const char* key) {
    std::vector<int64_t> counts;
    json_.expect('[');
    for (bool first = true; json_.next_member(first, ']');) {
      if (static_cast<int>(counts.size()) == most) {
        fail(core::text(key, " has more than ", most, " numbers"));
      }
      counts.push_back(json_.count());
    }
    return counts;
  }

  void check_record(const TensorRecord& record) const {
    const auto describe = [&] {
      return core::text(kDTypeNames[static_cast<size_t>(record.dtype)], " of shape ",
                        shape_string(record.shape));
    };
    auto bytes = static_cast<int64_t>(item_size(record.dtype));
    bool empty = false;
    for (const int64_t size : record.shape) {
      empty |= size == 0;
      if (size != 0 && __builtin_mul_overflow(bytes, size, &bytes)) {
        fail(core::text(describe(), " has more bytes than a file can hold"));
      }
    }
    if (empty) bytes = 0;
    if (record.begin > record.end || record.end > data_bytes_) {
      fail(core::text("data_offsets [", record.begin, ", ", record.end, "] do not lie in the ",
                      data_bytes_, " bytes of data that the file has; is it truncated?"));
    }
    if (record.end - record.begin != bytes) {
      fail(core::text("data_offsets [", record.begin, ", ", record.end, "] span ",
                      record.end - record.begin, " bytes, but ", describe(), " takes ", bytes));
    }
  }

  /// The data must be covered once, from its first byte to its last.
  void check_layout(const Header& header) {
    std::vector<const TensorRecord*> order;
    order.reserve(header.records.size());
    for (const TensorRecord& record : header.records) order.push_back(&record);
    std::sort(order.begin(), order.end(), [](const TensorRecord* a, const TensorRecord* b) {
      return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
    });
    int64_t covered = 0;
    for (const TensorRecord* record : order) {
      where_ = core::text("tensor ", shown(record->name), ": ");
      if (record->begin < covered) {
        fail(core::text("its data begins at byte ", record->begin,
                        " and overlaps another tensor, which ends at ", covered));
      }
      if (record->begin > covered) {
        fail(core::text("its data begins at byte ", record->begin, " and leaves a hole after byte ",
                        covered));
      }
      covered = record->end;
    }
    where_.clear();
    if (covered != data_bytes_) {
      fail(core::text("the tensors end at byte ", covered, ", but the file has ", data_bytes_,
                      " bytes of data"));
    }
  }

  JsonReader json_;
  bool starts_with_object_;
  int64_t data_bytes_;
  const std::string& file_;
  std::string where_;
};

}  // namespace

Header parse_header(std::string_view json, int64_t data_bytes, const std::string& file) {
  return HeaderParser(json, data_bytes, file).parse();
}

std::string format_header(const Header& header) {
  std::string json = "{";
  const auto comma = [&] {
    if (json.back() != '{') json += ',';
  };
  if (!header.metadata.empty()) {
    json += core::text('"', kMetadataName, "\":{");
    for (const auto& [key, value] : header.metadata) {
      comma();
      json += json_quoted(key) + ":" + json_quoted(value);
    }
    json += '}';
  }
  for (const TensorRecord& record : header.records) {
    comma();
    json += json_quoted(record.name);
    json += core::text(":{\"dtype\":\"", kDTypeNames[static_cast<size_t>(record.dtype)],
                       "\",\"shape\":[");
    for (size_t i = 0; i < record.shape.size(); ++i) {
      if (i > 0) json += ',';
      json += std::to_string(record.shape[i]);
    }
    json += core::text("],\"data_offsets\":[", record.begin, ",", record.end, "]}");
  }
  json += '}';
  json.resize((json.size() + 7) / 8 * 8, ' ');
  return json;
}

}  // namespace tapegrad::io
