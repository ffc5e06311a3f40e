// Saving and loading of tensors as safetensors files: a JSON header and raw data, nothing that is
// executed. Format: https://github.com/huggingface/safetensors. Knows nothing of modules.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tapegrad/export.h"
#include "tapegrad/tensor.h"

namespace tapegrad {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;
using Metadata = std::map<std::string, std::string>;

/// What a safetensors file holds.
struct TAPEGRAD_API SafetensorsFile {
  NamedTensors tensors;  ///< in the order of the header
  Metadata metadata;
  /// Throws ValueError when there is no tensor of that name.
  const Tensor& at(const std::string& name) const;
};

/// Writes `tensors` (any strides; values only, no tape) to `path`. The file appears under its name
/// once it is complete; a failure leaves what was there before. Throws FileError naming the path,
/// ValueError on names that are doubled, reserved or not UTF-8.
///
///   tapegrad::save_safetensors({{"weight", weight}, {"bias", bias}}, "model.safetensors");
TAPEGRAD_API void save_safetensors(const NamedTensors& tensors, const std::string& path,
                                   const Metadata& metadata = {});

/// Reads a safetensors file into new tensors. Throws FileError naming path, tensor and cause when
/// the file cannot be read or anything in it is not as the format says.
TAPEGRAD_API SafetensorsFile load_safetensors(const std::string& path);

}  // namespace tapegrad
