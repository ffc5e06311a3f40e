// Reading and writing of safetensors files: an 8-byte little-endian length, that many bytes of
// JSON, the data.
#include <algorithm>
#include <bit>
#include <numeric>
#include <set>

#include "core/tensor_impl.h"
#include "core/text.h"
#include "io/file.h"
#include "io/json.h"
#include "io/safetensors_header.h"
#include "kernels/copy.h"
#include "tapegrad/error.h"
#include "tapegrad/io.h"

namespace tapegrad {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

namespace {

using io::Header;
using io::TensorRecord;

int64_t byte_count(const Tensor& tensor) {
  return tensor.numel() * static_cast<int64_t>(item_size(tensor.dtype()));
}

void check_entries(const NamedTensors& tensors, const Metadata& metadata) {
  const auto refuse = [](const std::string& name, const char* why) {
    throw ValueError(core::text("save_safetensors: the name ", io::shown(name), " ", why));
  };
  std::set<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined()) refuse(name, "stands for an undefined tensor");
    if (name == "__metadata__") refuse(name, "is reserved by the format");
    if (!io::is_utf8(name)) refuse(name, "is not valid UTF-8");
    if (!names.insert(name).second) refuse(name, "is given twice");
    if (is_complex(tensor.dtype())) {
      throw DTypeError(core::text("save_safetensors: tensor ", io::shown(name), " is a ",
                                  core::describe(tensor), ", which the format cannot hold"));
    }
  }
  for (const auto& [key, value] : metadata) {
    if (!io::is_utf8(key) || !io::is_utf8(value)) {
      throw ValueError(core::text("save_safetensors: the metadata entry ", io::shown(key),
                                  " is not valid UTF-8"));
    }
  }
}

/// Large items first, so that all are aligned; otherwise as given.
std::vector<size_t> data_order(const NamedTensors& tensors) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const auto left = item_size(tensors[a].second.dtype());
    const auto right = item_size(tensors[b].second.dtype());
    return left != right ? left > right : a < b;
  });
  return order;
}

/// A byte of a bool that is neither 0 nor 1 would be undefined behaviour later.
void check_bools(const io::InputFile& file, const TensorRecord& record, const Tensor& tensor) {
  const auto* bytes = static_cast<const unsigned char*>(tensor.data());
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    if (bytes[i] > 1) {
      file.fail(core::text("tensor ", io::shown(record.name), ": element ", i, " is ",
                           static_cast<int>(bytes[i]), ", but a BOOL is 0 or 1"));
    }
  }
}

}  // namespace

const Tensor& SafetensorsFile::at(const std::string& name) const {
  for (const auto& [own, tensor] : tensors) {
    if (own == name) return tensor;
  }
  throw ValueError(core::text("SafetensorsFile: there is no tensor ", io::shown(name)));
}

void save_safetensors(const NamedTensors& tensors, const std::string& path,
                      const Metadata& metadata) {
  check_entries(tensors, metadata);
  const std::vector<size_t> order = data_order(tensors);
  Header header;
  header.metadata = metadata;
  header.records.resize(tensors.size());
  int64_t offset = 0;
  for (const size_t i : order) {
    const auto& [name, tensor] = tensors[i];
    const int64_t end = offset + byte_count(tensor);
    const IntSpan sizes = tensor.sizes();
    header.records[i] = {name, tensor.dtype(), {sizes.begin(), sizes.end()}, offset, end};
    offset = end;
  }
  const std::string json = io::format_header(header);
  if (json.size() > io::kMaxHeaderBytes) {
    throw ValueError(core::text("save_safetensors: names and metadata make a header of ",
                                json.size(), " bytes; the format allows ", io::kMaxHeaderBytes));
  }
  io::AtomicFile file("save_safetensors", path);
  const uint64_t length = json.size();
  file.write(&length, sizeof length);
  file.write(json.data(), static_cast<int64_t>(json.size()));
  for (const size_t i : order) {
    Tensor tensor = tensors[i].second;
    if (!tensor.is_contiguous()) {
      Tensor copy = core::make_tensor(tensor.sizes(), tensor.dtype());
      kernels::copy_values(copy, tensor);
      tensor = std::move(copy);
    }
    if (tensor.numel() > 0) file.write(tensor.data(), byte_count(tensor));
  }
  file.commit();
}

SafetensorsFile load_safetensors(const std::string& path) {
  const io::InputFile file("load_safetensors", path);
  uint64_t length = 0;
  constexpr int64_t kPrefix = sizeof length;
  if (file.size() < kPrefix) {
    file.fail(core::text("the file has ", file.size(),
                         " bytes, too few for a safetensors file; is it truncated?"));
  }
  file.read(0, &length, kPrefix);
  if (length > io::kMaxHeaderBytes) {
    file.fail(core::text("its first bytes announce a header of ", length,
                         " bytes, more than the format allows; is this a safetensors file?"));
  }
  const auto header_bytes = static_cast<int64_t>(length);
  if (header_bytes > file.size() - kPrefix) {
    file.fail(core::text("its header takes ", length, " bytes, but the file has ", file.size(),
                         "; is it truncated?"));
  }
  std::string json(length, '\0');
  file.read(kPrefix, json.data(), header_bytes);
  const int64_t data_start = kPrefix + header_bytes;
  Header header = io::parse_header(json, file.size() - data_start, file.shown_path());
  SafetensorsFile result;
  result.metadata = std::move(header.metadata);
  result.tensors.reserve(header.records.size());
  for (TensorRecord& record : header.records) {
    Tensor tensor = core::make_tensor(record.shape, record.dtype);
    file.read(data_start + record.begin, tensor.data(), record.end - record.begin);
    if (record.dtype == DType::Bool) check_bools(file, record, tensor);
    result.tensors.emplace_back(std::move(record.name), std::move(tensor));
  }
  return result;
}

}  // namespace tapegrad
