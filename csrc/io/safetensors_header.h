// The header of a safetensors file: which tensor lies where. Everything that can be wrong with one
// is found here, before any memory is taken for data. Knows no files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tapegrad/dtype.h"
#include "tapegrad/io.h"

namespace tapegrad::io {

/// The format's own limit.
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;

struct TensorRecord {
  std::string name;
  DType dtype = DType::Float32;
  std::vector<int64_t> shape;
  int64_t begin = 0;  // bytes from the start of the data
  int64_t end = 0;
};

struct Header {
  std::vector<TensorRecord> records;
  Metadata metadata;
};

/// Throws FileError, "file: tensor: cause", unless `json` describes `data_bytes` bytes of data
/// completely, without overlap or hole.
Header parse_header(std::string_view json, int64_t data_bytes, const std::string& file);

/// The JSON of a header, filled up with spaces to a multiple of 8 bytes.
std::string format_header(const Header& header);

}  // namespace tapegrad::io
