#include "kernels/copy.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/launch.h"
#include "core/parallel.h"
#include "kernels/convert.h"
#include "kernels/plan.h"

namespace tapegrad::kernels {
namespace {

constexpr int64_t kGrain = 32768;
constexpr int64_t kBlock = 1024;

struct FlatCopy {
  int64_t bytes;
  bool past_caches;
};

void run_flat_copy(void* const* data, const FlatCopy& p) {
  core::parallel_for(0, p.bytes, 4 * kGrain, [&](int64_t begin, int64_t end) {
    char* to = static_cast<char*>(data[0]) + begin;
    const char* from = static_cast<const char*>(data[1]) + begin;
    if (p.past_caches) {
      convert_loops().stream(from, to, end - begin);
      convert_loops().stream_end();
    } else {
      std::memcpy(to, from, static_cast<size_t>(end - begin));
    }
  });
}

struct StridedCopy {
  DType to;
  DType from;
  Plan plan;
};

/// The type through which a conversion goes: exact for both sides wherever the target can hold the
/// value.
Compute bridge(DType from, DType to) {
  if (!is_floating_point(from) && !is_floating_point(to)) return Compute::Int64;
  const auto small = [](DType d) { return d == DType::Float32 || is_half(d) || item_size(d) <= 2; };
  return small(from) && small(to) ? Compute::Float : Compute::Double;
}

void convert_rows(void* const* data, const StridedCopy& p, int64_t begin, int64_t end) {
  const Compute compute = bridge(p.from, p.to);
  const GatherLoop gather =
      convert_loops().gather[static_cast<size_t>(p.from)][static_cast<int>(compute)];
  const ScatterLoop scatter =
      convert_loops().scatter[static_cast<int>(compute)][static_cast<size_t>(p.to)];
  const int inner = p.plan.ndim - 1;
  const int64_t to_stride = inner < 0 ? 1 : p.plan.strides[0][inner];
  const int64_t from_stride = inner < 0 ? 1 : p.plan.strides[1][inner];
  const auto to_size = static_cast<int64_t>(item_size(p.to));
  const auto from_size = static_cast<int64_t>(item_size(p.from));
  // A side that has the compute type already needs no block in between.
  const DType native = compute == Compute::Float    ? DType::Float32
                       : compute == Compute::Double ? DType::Float64
                                                    : DType::Int64;
  const bool from_native = p.from == native && from_stride == 1;
  const bool to_native = p.to == native && to_stride == 1;
  const int64_t most = from_native || to_native ? end - begin : kBlock;
  alignas(64) char block[kBlock * 8];
  PlanWalker walker(p.plan, begin);
  for (int64_t at = begin; at < end;) {
    const int64_t n = std::min({end - at, walker.row_left(), most});
    const char* from = static_cast<const char*>(data[1]) + walker.offset(1) * from_size;
    char* to = static_cast<char*>(data[0]) + walker.offset(0) * to_size;
    if (to_native) {
      gather(from, from_stride, to, n);
    } else if (from_native) {
      scatter(from, to, to_stride, n);
    } else {
      gather(from, from_stride, block, n);
      scatter(block, to, to_stride, n);
    }
    walker.advance(n);
    at += n;
  }
}

/// Short rows of one value each, densely: repeat_interleave. A loop of its own, as calling a kernel
/// for a few elements costs more than the elements.
template <class Item>
void repeat_items(void* const* data, const StridedCopy& p, int64_t begin, int64_t end) {
  const int64_t times = p.plan.sizes[1];
  const auto* from = static_cast<const Item*>(data[1]);
  auto* to = static_cast<Item*>(data[0]);
  for (int64_t i = begin; i < end; ++i) {
    const Item value = from[i * p.plan.strides[1][0]];
    Item* row = to + i * times;
    for (int64_t k = 0; k < times; ++k) row[k] = value;
  }
}

bool is_item_repeat(const StridedCopy& p) {
  const Plan& plan = p.plan;
  return plan.ndim == 2 && p.to == p.from && item_size(p.to) >= 4 && plan.sizes[1] <= 32 &&
         plan.strides[0][1] == 1 && plan.strides[0][0] == plan.sizes[1] && plan.strides[1][1] == 0;
}

void run_item_repeat(void* const* data, const StridedCopy& p) {
  core::parallel_for(0, p.plan.sizes[0], std::max<int64_t>(1, kGrain / p.plan.sizes[1]),
                     [&](int64_t begin, int64_t end) {
                       if (item_size(p.to) == 4)
                         repeat_items<uint32_t>(data, p, begin, end);
                       else
                         repeat_items<uint64_t>(data, p, begin, end);
                     });
}

void move_rows(void* const* data, const StridedCopy& p, int64_t begin, int64_t end) {
  const auto size = static_cast<int64_t>(item_size(p.to));
  const MoveLoop move = convert_loops().move[std::countr_zero(static_cast<unsigned>(size))];
  const int inner = p.plan.ndim - 1, outer = inner - 1;
  const int64_t row = inner < 0 ? 1 : p.plan.sizes[inner];
  const int64_t to_stride = inner < 0 ? 1 : p.plan.strides[0][inner];
  const int64_t from_stride = inner < 0 ? 1 : p.plan.strides[1][inner];
  const int64_t to_step = outer < 0 ? 0 : p.plan.strides[0][outer] * size;
  const int64_t from_step = outer < 0 ? 0 : p.plan.strides[1][outer] * size;
  PlanWalker walker(p.plan, begin);
  for (int64_t at = begin; at < end;) {
    char* to = static_cast<char*>(data[0]) + walker.offset(0) * size;
    const char* from = static_cast<const char*>(data[1]) + walker.offset(1) * size;
    const bool whole = outer >= 0 && walker.row_left() == row && end - at >= row;
    const int64_t n = whole ? row : std::min(end - at, walker.row_left());
    const int64_t rows = whole ? std::min(walker.rows_left(), (end - at) / row) : 1;
    for (int64_t r = 0; r < rows; ++r)
      move(from + r * from_step, from_stride, to + r * to_step, to_stride, n);
    if (whole)
      walker.advance_rows(rows);
    else
      walker.advance(n);
    at += n * rows;
  }
}

/// Two innermost dimensions that the operands hold in opposite order: copied in tiles, so that both
/// sides use whole cache lines.
bool is_transposition(const StridedCopy& p) {
  const int d = p.plan.ndim;
  const size_t size = item_size(p.to);
  return d >= 2 && p.to == p.from && size > 1 && p.plan.strides[0][d - 1] == 1 &&
         p.plan.strides[1][d - 2] == 1 && p.plan.sizes[d - 1] >= 8 && p.plan.sizes[d - 2] >= 8;
}

void transpose_planes(void* const* data, const StridedCopy& p) {
  const int d = p.plan.ndim;
  const auto size = static_cast<int64_t>(item_size(p.to));
  const auto transpose =
      convert_loops().transpose[std::countr_zero(static_cast<unsigned>(size)) - 1];
  constexpr int64_t kRows = 64;
  const int64_t rows = p.plan.sizes[d - 2];
  const int64_t strips = (rows + kRows - 1) / kRows;
  int64_t planes = 1;
  for (int i = 0; i < d - 2; ++i) planes *= p.plan.sizes[i];
  const int64_t strip_elements = std::min(rows, kRows) * p.plan.sizes[d - 1];
  core::parallel_for(
      0, planes * strips, std::max<int64_t>(1, kGrain / strip_elements),
      [&](int64_t begin, int64_t end) {
        for (int64_t at = begin; at < end; ++at) {
          int64_t plane = at / strips;
          const int64_t row = (at % strips) * kRows;
          int64_t to = row * p.plan.strides[0][d - 2];
          int64_t from = row;
          for (int i = d - 3; i >= 0; --i) {
            to += (plane % p.plan.sizes[i]) * p.plan.strides[0][i];
            from += (plane % p.plan.sizes[i]) * p.plan.strides[1][i];
            plane /= p.plan.sizes[i];
          }
          transpose(static_cast<const char*>(data[1]) + from * size, p.plan.strides[1][d - 1],
                    static_cast<char*>(data[0]) + to * size, p.plan.strides[0][d - 2],
                    std::min(kRows, rows - row), p.plan.sizes[d - 1]);
        }
      });
}

void run_strided_copy(void* const* data, const StridedCopy& p) {
  if (is_transposition(p)) {
    transpose_planes(data, p);
    return;
  }
  if (is_item_repeat(p)) {
    run_item_repeat(data, p);
    return;
  }
  core::parallel_for(0, p.plan.numel, kGrain, [&](int64_t begin, int64_t end) {
    if (p.to == p.from)
      move_rows(data, p, begin, end);
    else
      convert_rows(data, p, begin, end);
  });
}

}  // namespace

void copy_values(const Tensor& destination, const Tensor& source) {
  if (destination->numel() == 0) return;
  const bool same_type = destination->dtype() == source->dtype();
  const bool same_size = destination->numel() == source->numel();
  if (same_type && same_size && destination->is_contiguous() && source->is_contiguous()) {
    const int64_t bytes =
        destination->numel() * static_cast<int64_t>(item_size(destination->dtype()));
    const FlatCopy p{bytes, passes_caches(bytes)};
    core::launch(&run_flat_copy, {core::out(destination), core::in(source)}, p);
    return;
  }
  StridedCopy p;
  p.to = destination->dtype();
  p.from = source->dtype();
  plan_begin(p.plan, destination->sizes());
  plan_add(p.plan, destination->sizes(), destination->strides());
  plan_add(p.plan, source->sizes(), source->strides());
  plan_finish(p.plan);
  core::launch(&run_strided_copy, {core::out(destination), core::in(source)}, p);
}

void fill_values(const Tensor& destination, Scalar value) {
  if (destination->numel() == 0) return;
  const bool zero = value.kind() != Scalar::Kind::Float && value.to_int() == 0;
  if (zero && core::is_dense(destination)) {
    std::memset(destination->data(), 0,
                static_cast<size_t>(destination->numel()) * item_size(destination->dtype()));
    return;
  }
  copy_values(destination, core::make_scalar(value, destination->dtype()));
}

}  // namespace tapegrad::kernels
