#include "core/half.h"
#include "core/tensor_impl.h"
#include "core/text.h"
#include "core/thread_state.h"
#include "tapegrad/error.h"

namespace tapegrad {

TensorMeta::~TensorMeta() = default;

PythonHooks& python_hooks() {
  static PythonHooks hooks;
  return hooks;
}

namespace {

bool row_major(IntSpan sizes, IntSpan strides) {
  int64_t expected = 1;
  bool dense = true;
  for (size_t i = sizes.size(); i-- > 0;) {
    if (sizes[i] == 0) return true;
    if (sizes[i] == 1) continue;
    dense = dense && strides[i] == expected;
    expected *= sizes[i];
  }
  return dense;
}

}  // namespace

TensorImpl::TensorImpl(core::Storage* storage, DType dtype, IntSpan sizes, IntSpan strides,
                       int64_t offset)
    : dtype_(dtype),
      flags_(core::thread_state.new_tensor_flags),
      storage_(storage),
      offset_(offset) {
  set_geometry(sizes, strides);
}

TensorImpl::~TensorImpl() {
  if (meta) {
    meta->owner_dies(*this);
    delete meta;
  }
  if (base) core::release(base);
  storage_->release();
  drop_geometry();
}

void TensorImpl::set_geometry(IntSpan sizes, IntSpan strides) {
  ndim_ = static_cast<uint8_t>(sizes.size());
  int64_t* to = inline_;
  if (ndim_ > kInlineDims) to = heap_ = new int64_t[size_t{2} * ndim_];
  numel_ = 1;
  for (size_t i = 0; i < sizes.size(); ++i) {
    to[i] = sizes[i];
    to[ndim_ + i] = strides[i];
    numel_ *= sizes[i];
  }
  set(kContiguous, row_major(sizes, strides));
}

void TensorImpl::reset(core::Storage* storage, DType dtype, IntSpan sizes, IntSpan strides,
                       int64_t offset) {
  const Dims new_sizes(sizes), new_strides(strides);  // may point into this tensor
  core::Storage* old = storage_;
  drop_geometry();
  storage_ = storage;
  dtype_ = dtype;
  offset_ = offset;
  set_geometry(new_sizes, new_strides);
  old->release();
}

int64_t Tensor::size(int64_t d) const {
  return impl_->sizes()[static_cast<size_t>(wrap_dim("size", d, impl_->dim()))];
}

Scalar Tensor::item() const {
  if (impl_->numel() != 1) {
    throw ShapeError(
        core::text("item: a tensor with ", impl_->numel(),
                   " elements cannot be converted to a number; index one element or reduce first"));
  }
  return core::read_scalar(impl_->data(), impl_->dtype());
}

namespace core {

void retain(TensorImpl* impl) noexcept { impl->references.fetch_add(1, std::memory_order_relaxed); }

void release(TensorImpl* impl) noexcept {
  if (impl->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (impl->has(TensorImpl::kOwnsPython)) {
    void* object = impl->python.exchange(nullptr);
    if (object && python_hooks().release_object) {
      python_hooks().release_object(object);
      return;
    }
  }
  delete impl;
}

void refuse_lifted() {
  throw LiftedReadError(
      "inside vmap and nested transforms the values of a tensor cannot be read: by item(), bool() "
      "and numpy(), or by operations whose result's shape depends on values; compute it outside, "
      "or with where() instead of a branch");
}

void check_data_type(const Tensor& tensor, DType expected) {
  if (tensor->dtype() != expected) {
    throw DTypeError(text("data_ptr: the tensor holds ", dtype_name(tensor->dtype()), ", not ",
                          dtype_name(expected)));
  }
}

namespace {

void check_supported(DType dtype) {
  if (is_complex(dtype)) {
    throw DTypeError(text("complex tensors are not supported (asked for ", dtype_name(dtype), ")"));
  }
}

Tensor make_unchecked(IntSpan sizes, IntSpan strides, DType dtype, int64_t numel) {
  Storage* storage = Storage::create(static_cast<size_t>(numel) * item_size(dtype));
  return Tensor::adopt(new TensorImpl(storage, dtype, sizes, strides, 0));
}

}  // namespace

Tensor make_tensor(IntSpan sizes, DType dtype) {
  check_supported(dtype);
  const int64_t numel = checked_numel("tensor", sizes);
  if (sizes.empty()) return make_unchecked(sizes, {}, dtype, numel);
  return make_unchecked(sizes, contiguous_strides(sizes), dtype, numel);
}

Tensor make_tensor(IntSpan sizes, IntSpan strides, DType dtype) {
  check_supported(dtype);
  return make_unchecked(sizes, strides, dtype, checked_numel("tensor", sizes));
}

Tensor make_like(const Tensor& like, DType dtype) {
  if (like->is_contiguous())
    return make_unchecked(like->sizes(), like->strides(), dtype, like->numel());
  if (is_dense(like)) return make_tensor(like->sizes(), like->strides(), dtype);
  return make_tensor(like->sizes(), dtype);
}

Tensor make_alias(const Tensor& tensor, IntSpan sizes, IntSpan strides, int64_t offset) {
  Storage* storage = tensor->storage();
  storage->retain();
  auto* impl = new TensorImpl(storage, tensor->dtype(), sizes, strides, offset);
  impl->set(TensorImpl::kInference, tensor->has(TensorImpl::kInference));
  return Tensor::adopt(impl);
}

Tensor make_scalar(Scalar value, DType dtype, bool wrapped) {
  check_supported(dtype);
  Tensor result = make_unchecked({}, {}, dtype, 1);
  write_scalar(result->data(), dtype, value);
  if (wrapped) result->set(TensorImpl::kWrappedNumber, true);
  return result;
}

bool is_dense(const Tensor& tensor) {
  if (tensor->is_contiguous()) return true;
  // Sorted by stride, every dimension must begin where the smaller ones end.
  const IntSpan sizes = tensor->sizes();
  const IntSpan strides = tensor->strides();
  int64_t expected = 1;
  uint64_t done = 0;
  for (size_t step = 0; step < sizes.size(); ++step) {
    bool found = false;
    for (size_t i = 0; i < sizes.size(); ++i) {
      if ((done >> i) & 1) continue;
      if (sizes[i] == 1) {
        done |= uint64_t{1} << i;
        found = true;
        break;
      }
      if (strides[i] == expected) {
        done |= uint64_t{1} << i;
        expected *= sizes[i];
        found = true;
        break;
      }
    }
    if (!found) return false;
  }
  return true;
}

Scalar read_scalar(const void* data, DType dtype) {
  switch (dtype) {
    case DType::Bool:
      return *static_cast<const bool*>(data);
    case DType::UInt8:
      return int64_t{*static_cast<const uint8_t*>(data)};
    case DType::Int8:
      return int64_t{*static_cast<const int8_t*>(data)};
    case DType::Int16:
      return int64_t{*static_cast<const int16_t*>(data)};
    case DType::Int32:
      return int64_t{*static_cast<const int32_t*>(data)};
    case DType::Int64:
      return *static_cast<const int64_t*>(data);
    case DType::Float16:
      return to_float(*static_cast<const Half*>(data));
    case DType::BFloat16:
      return to_float(*static_cast<const BFloat16*>(data));
    case DType::Float32:
      return *static_cast<const float*>(data);
    case DType::Float64:
      return *static_cast<const double*>(data);
    default:
      check_supported(dtype);
      return Scalar();
  }
}

void write_scalar(void* data, DType dtype, Scalar value) {
  switch (dtype) {
    case DType::Bool:
      *static_cast<bool*>(data) = value.to_bool();
      break;
    case DType::UInt8:
      *static_cast<uint8_t*>(data) = static_cast<uint8_t>(value.to_int());
      break;
    case DType::Int8:
      *static_cast<int8_t*>(data) = static_cast<int8_t>(value.to_int());
      break;
    case DType::Int16:
      *static_cast<int16_t*>(data) = static_cast<int16_t>(value.to_int());
      break;
    case DType::Int32:
      *static_cast<int32_t*>(data) = static_cast<int32_t>(value.to_int());
      break;
    case DType::Int64:
      *static_cast<int64_t*>(data) = value.to_int();
      break;
    case DType::Float16:
      *static_cast<Half*>(data) = to_half(static_cast<float>(value.to_double()));
      break;
    case DType::BFloat16:
      *static_cast<BFloat16*>(data) = to_bfloat16(static_cast<float>(value.to_double()));
      break;
    case DType::Float32:
      *static_cast<float*>(data) = static_cast<float>(value.to_double());
      break;
    case DType::Float64:
      *static_cast<double*>(data) = value.to_double();
      break;
    default:
      check_supported(dtype);
  }
}

std::string describe(const Tensor& tensor) {
  return text(dtype_name(tensor->dtype()), " tensor of shape ", shape_string(tensor->sizes()));
}

}  // namespace core
}  // namespace tapegrad
