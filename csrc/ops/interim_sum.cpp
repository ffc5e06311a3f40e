// sum by plain loops, until the reductions' own file is here.
#include "autograd/entry.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace {

struct SumRule : autograd::Rule {
  static constexpr const char* name = "Sum";
  static constexpr bool linear = true;
  Dims kept;  // sizes with 1 in place of the summed dimensions
  Tensor forward(autograd::Inputs in) const {
    const Tensor x = contiguous(to(in[0], DType::Float64));
    const Tensor y = zeros(kept, DType::Float64);
    auto* out = y.data_ptr<double>();
    for (int64_t i = 0; i < x.numel(); ++i) {
      int64_t rest = i, offset = 0;
      for (int d = static_cast<int>(x.dim()) - 1; d >= 0; --d) {
        const int64_t at = rest % x.size(d);
        rest /= x.size(d);
        if (kept[d] != 1) offset += at * y.strides()[static_cast<size_t>(d)];
      }
      out[offset] += x.data_ptr<double>()[i];
    }
    return to(y, is_floating_point(in[0].dtype()) ? in[0].dtype() : DType::Int64);
  }
  void pull(autograd::Pull& p) const { p.set(0, expand(p.grad(), p.input_sizes(0))); }
};

}  // namespace

Tensor sum(const Tensor& input, OptionalInts dim, bool keepdim, std::optional<DType> dtype) {
  const Tensor x = dtype ? to(input, *dtype) : input;
  Dims kept(x.sizes()), left;
  bool summed[kMaxDims] = {};
  if (!dim.has_value() || dim.value().empty()) {
    for (int d = 0; d < kept.size(); ++d) summed[d] = true;
  } else {
    for (const int64_t d : dim.value()) summed[wrap_dim("sum", d, x.dim())] = true;
  }
  for (int d = 0; d < kept.size(); ++d) {
    if (summed[d]) kept[d] = 1;
    if (!summed[d] || keepdim) left.push_back(kept[d]);
  }
  return reshape(autograd::enter(SumRule{{}, kept}, x), left);
}

}  // namespace tapegrad
