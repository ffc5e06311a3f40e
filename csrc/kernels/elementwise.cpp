#include "kernels/elementwise.h"

#include <algorithm>

#include "core/caches.h"
#include "core/launch.h"
#include "core/parallel.h"
#include "kernels/convert.h"
#include "kernels/copy.h"
#include "kernels/dispatch.h"
#include "kernels/plan.h"

namespace tapegrad::kernels {

#define TAPEGRAD_DECLARE_TABLES(level)     \
  namespace level {                        \
  extern const UnaryLoops unary_table[];   \
  extern const BinaryLoops binary_table[]; \
  extern const Loop ternary_table[][3];    \
  extern const ConvertLoops convert_table; \
  }
TAPEGRAD_DECLARE_TABLES(base)
TAPEGRAD_DECLARE_TABLES(v2)
TAPEGRAD_DECLARE_TABLES(v3)
TAPEGRAD_DECLARE_TABLES(v4)
#undef TAPEGRAD_DECLARE_TABLES

#define TAPEGRAD_SELECT_TABLE(type, prefix, table)                                              \
  select_level<type>(                                                                           \
      TAPEGRAD_IF_BASE(prefix base::table, nullptr), TAPEGRAD_IF_V2(prefix v2::table, nullptr), \
      TAPEGRAD_IF_V3(prefix v3::table, nullptr), TAPEGRAD_IF_V4(prefix v4::table, nullptr))

const UnaryLoops& unary_loops(UnaryOp op) {
  static const UnaryLoops* const table = TAPEGRAD_SELECT_TABLE(const UnaryLoops*, , unary_table);
  return table[static_cast<int>(op)];
}
const BinaryLoops& binary_loops(BinaryOp op) {
  static const BinaryLoops* const table = TAPEGRAD_SELECT_TABLE(const BinaryLoops*, , binary_table);
  return table[static_cast<int>(op)];
}
Loop ternary_loop(TernaryOp op, Compute compute) {
  using Row = Loop[3];
  static const Row* const table = TAPEGRAD_SELECT_TABLE(const Row*, , ternary_table);
  return table[static_cast<int>(op)][static_cast<int>(compute)];
}
const ConvertLoops& convert_loops() {
  static const ConvertLoops* const table =
      TAPEGRAD_SELECT_TABLE(const ConvertLoops*, &, convert_table);
  return *table;
}

bool passes_caches(int64_t bytes) {
  if (bytes < (1 << 20)) return false;  // of any cache: nearly every call
  static const int64_t least = core::largest_cache() / 2;
  return bytes >= least;
}

namespace {

constexpr int64_t kGrain = 16384;
constexpr int64_t kBlock =
    512;  // on the stack, once for each operand: threads may have little of it
constexpr int kMaxInputs = kMaxPlanOperands - 1;
/// Bytes written to the nearest cache before they are taken to memory: larger ones take turns of
/// reading and writing that memory is slower at.
constexpr int64_t kStreamBlock = 2048;

constexpr size_t compute_size(Compute compute) { return compute == Compute::Float ? 4 : 8; }
constexpr DType native_dtype(Compute compute) {
  return compute == Compute::Float    ? DType::Float32
         : compute == Compute::Double ? DType::Float64
                                      : DType::Int64;
}

// --- the case of nearly every call: one dtype, everything contiguous or a single number
// ------------------------------

struct FlatParameters {
  Loop loop;
  LoopParameters loop_parameters;
  int64_t numel;
  int inputs;
  int64_t out_size;
  int64_t in_size;
  bool past_caches;
  Walk walk;
};

/// A piece of run_flat() by way of a block; see Note [Large results pass the caches].
void stream_flat(char* out, const void** in, const FlatParameters& p, int64_t count) {
  alignas(64) char block[kStreamBlock];
  // The first block ends with a line of memory, so that all others are made of whole lines.
  const auto beyond = static_cast<int64_t>(reinterpret_cast<uintptr_t>(out) % 64);
  int64_t most = (kStreamBlock - beyond) / p.out_size;
  for (int64_t at = 0, n = 0; at < count; at += n) {
    n = std::min(most, count - at);
    most = kStreamBlock / p.out_size;
    p.loop(block, in, p.walk, n, p.loop_parameters);
    convert_loops().stream(block, out + at * p.out_size, n * p.out_size);
    for (int k = 0; k < p.inputs; ++k) {
      in[k] = static_cast<const char*>(in[k]) + n * p.walk.steps[k] * p.in_size;
    }
  }
  convert_loops().stream_end();
}

void run_flat(void* const* data, const FlatParameters& p) {
  core::parallel_for(0, p.numel, kGrain, [&](int64_t begin, int64_t end) {
    const void* in[kMaxInputs];
    for (int k = 0; k < p.inputs; ++k) {
      in[k] = static_cast<const char*>(data[k + 1]) + begin * p.walk.steps[k] * p.in_size;
    }
    char* out = static_cast<char*>(data[0]) + begin * p.out_size;
    if (p.past_caches) return stream_flat(out, in, p, end - begin);
    p.loop(out, in, p.walk, end - begin, p.loop_parameters);
  });
}

// --- any strides, any dtypes
// -----------------------------------------------------------------------------------------

struct StridedParameters {
  Loop loop;
  LoopParameters loop_parameters;
  Compute compute;
  bool bool_output;
  bool counts_rows;
  DType dtypes[kMaxPlanOperands];
  Plan plan;
};

/// Copies `n` elements of operand `k` from where `walker` stands into contiguous compute values.
void gather_block(const StridedParameters& p, int k, const char* base, const PlanWalker& from,
                  int64_t n, char* to) {
  const auto dtype = static_cast<size_t>(p.dtypes[k]);
  const GatherLoop loop = convert_loops().gather[dtype][static_cast<int>(p.compute)];
  const auto item = static_cast<int64_t>(item_size(p.dtypes[k]));
  const auto wide = static_cast<int64_t>(compute_size(p.compute));
  const int64_t stride = p.plan.ndim == 0 ? 0 : p.plan.strides[k][p.plan.ndim - 1];
  if (n <= from.row_left()) return loop(base + from.offset(k) * item, stride, to, n);
  PlanWalker walker(from);
  for (int64_t done = 0; done < n;) {
    const int64_t count = std::min(n - done, walker.row_left());
    loop(base + walker.offset(k) * item, stride, to + done * wide, count);
    walker.advance(count);
    done += count;
  }
}

void scatter_block(const StridedParameters& p, const char* from, const PlanWalker& place, int64_t n,
                   char* base) {
  const auto item = static_cast<int64_t>(item_size(p.dtypes[0]));
  const int64_t stride = p.plan.ndim == 0 ? 1 : p.plan.strides[0][p.plan.ndim - 1];
  const auto wide = static_cast<int64_t>(p.bool_output ? 1 : compute_size(p.compute));
  const ScatterLoop loop =
      p.bool_output
          ? nullptr
          : convert_loops().scatter[static_cast<int>(p.compute)][static_cast<size_t>(p.dtypes[0])];
  const auto write = [=](const char* block, char* to, int64_t count) {
    if (loop)
      loop(block, to, stride, count);
    else
      convert_loops().move[0](block, 1, to, stride, count);
  };
  if (n <= place.row_left()) return write(from, base + place.offset(0) * item, n);
  PlanWalker walker(place);
  for (int64_t done = 0; done < n;) {
    const int64_t count = std::min(n - done, walker.row_left());
    write(from + done * wide, base + walker.offset(0) * item, count);
    walker.advance(count);
    done += count;
  }
}

/// How an operand reaches the loop: as it lies, as one number for all or for each row, or gathered.
enum class Access : uint8_t { Direct, Single, RowSingle, Block };

class StridedRunner {
 public:
  StridedRunner(const StridedParameters& p, void* const* data) : p_(p), data_(data) {
    const DType native = native_dtype(p.compute);
    const int inner = p.plan.ndim - 1;
    const bool steps_read = p.plan.operands == 3;
    const int64_t row = p.plan.ndim == 0 ? 1 : p.plan.sizes[inner];
    bool any_direct_row = false;
    for (int k = 1; k < p.plan.operands; ++k) {
      bool single = true;
      for (int d = 0; d < p.plan.ndim; ++d) single &= p.plan.strides[k][d] == 0;
      const bool unit = p.plan.ndim > 0 && p.plan.strides[k][inner] == 1;
      access_[k] = single && steps_read            ? Access::Single
                   : unit && p.dtypes[k] == native ? Access::Direct
                                                   : Access::Block;
      any_direct_row |= access_[k] == Access::Direct;
    }
    const bool out_unit = p.plan.ndim == 0 || p.plan.strides[0][inner] == 1;
    out_direct_ = out_unit && (p.bool_output ? p.dtypes[0] == DType::Bool : p.dtypes[0] == native);
    // Rows shorter than this cost more in calls than gathering whole blocks does.
    constexpr int64_t kShortRow = 32;
    by_rows_ = p.plan.ndim <= 1 || (row >= kShortRow && (out_direct_ || any_direct_row));
    if (!by_rows_) {
      out_direct_ = false;
      for (int k = 1; k < p.plan.operands; ++k) {
        if (access_[k] == Access::Direct) access_[k] = Access::Block;
      }
    }
    for (int k = 1; steps_read && by_rows_ && k < 3; ++k) {
      const bool constant = p.plan.ndim > 0 && p.plan.strides[k][inner] == 0;
      if (constant && p.dtypes[k] == native && access_[k] == Access::Block)
        access_[k] = Access::RowSingle;
    }
    // Two single numbers leave no operand to loop over.
    const auto is_single = [](Access a) { return a == Access::Single || a == Access::RowSingle; };
    if (steps_read && is_single(access_[1]) && is_single(access_[2])) access_[2] = Access::Block;
    for (int k = 1; k < p.plan.operands; ++k) {
      if (access_[k] != Access::Single) continue;
      convert_loops().gather[static_cast<size_t>(p.dtypes[k])][static_cast<int>(p.compute)](
          data[k], 0, single_[k], 1);
    }
  }

  void operator()(int64_t begin, int64_t end) const {
    if (!bounded() && by_rows_) return run_rows(begin, end);
    alignas(64) char scratch[kMaxPlanOperands][kBlock * 8];
    const auto wide = static_cast<int64_t>(compute_size(p_.compute));
    PlanWalker walker(p_.plan, begin);
    for (int64_t at = begin; at < end;) {
      int64_t n = std::min(end - at, kBlock);
      if (by_rows_) n = std::min(n, walker.row_left());
      const void* in[kMaxInputs];
      Walk walk;
      for (int k = 1; k < p_.plan.operands; ++k) {
        walk.steps[k - 1] = access_[k] == Access::Single || access_[k] == Access::RowSingle ? 0 : 1;
        const char* base = static_cast<const char*>(data_[k]);
        if (access_[k] == Access::Single) {
          in[k - 1] = single_[k];
        } else if (access_[k] != Access::Block) {
          in[k - 1] = base + walker.offset(k) * wide;
        } else {
          gather_block(p_, k, base, walker, n, scratch[k]);
          in[k - 1] = scratch[k];
        }
      }
      char* out_base = static_cast<char*>(data_[0]);
      if (out_direct_) {
        p_.loop(out_base + walker.offset(0) * (p_.bool_output ? 1 : wide), in, walk, n,
                p_.loop_parameters);
      } else {
        p_.loop(scratch[0], in, walk, n, p_.loop_parameters);
        scatter_block(p_, scratch[0], walker, n, out_base);
      }
      at += n;
      // A block may span rows: step row by row.
      for (int64_t left = n; left > 0;) {
        const int64_t step = std::min(left, walker.row_left());
        walker.advance(step);
        left -= step;
      }
    }
  }

 private:
  /// All operands as they lie: whole rows one after the other.
  void run_rows(int64_t begin, int64_t end) const {
    const int inputs = p_.plan.operands - 1, outer = p_.plan.ndim - 2;
    const int64_t row = p_.plan.ndim == 0 ? 1 : p_.plan.sizes[outer + 1];
    const auto wide = static_cast<int64_t>(compute_size(p_.compute));
    const int64_t out_wide = p_.bool_output ? 1 : wide;
    PlanWalker walker(p_.plan, begin);
    for (int64_t at = begin; at < end;) {
      char* out = static_cast<char*>(data_[0]) + walker.offset(0) * out_wide;
      const void* in[kMaxInputs] = {};
      int64_t in_rows[kMaxInputs] = {};
      Walk walk;
      for (int k = 0; k < inputs; ++k) {
        const bool single = access_[k + 1] == Access::Single;
        in[k] = single ? single_[k + 1]
                       : static_cast<const char*>(data_[k + 1]) + walker.offset(k + 1) * wide;
        in_rows[k] = single || outer < 0 ? 0 : p_.plan.strides[k + 1][outer] * wide;
        walk.steps[k] = access_[k + 1] == Access::Direct ? 1 : 0;
      }
      walk.out_row = outer < 0 ? 0 : p_.plan.strides[0][outer] * out_wide;
      const bool whole = outer >= 0 && walker.row_left() == row && end - at >= row;
      const int64_t n = whole ? row : std::min(end - at, walker.row_left());
      const int64_t rows = whole ? std::min(walker.rows_left(), (end - at) / row) : 1;
      if (p_.counts_rows) {
        walk.rows = rows;
        for (int k = 0; k < inputs; ++k) walk.in_rows[k] = in_rows[k];
        p_.loop(out, in, walk, n, p_.loop_parameters);
      } else {
        for (int64_t r = 0; r < rows; ++r) {
          p_.loop(out, in, walk, n, p_.loop_parameters);
          out += walk.out_row;
          for (int k = 0; k < inputs; ++k) in[k] = static_cast<const char*>(in[k]) + in_rows[k];
        }
      }
      if (whole)
        walker.advance_rows(rows);
      else
        walker.advance(n);
      at += n * rows;
    }
  }
  bool bounded() const {
    if (!out_direct_) return true;
    for (int k = 1; k < p_.plan.operands; ++k) {
      if (access_[k] == Access::Block) return true;
    }
    return false;
  }
  const StridedParameters& p_;
  void* const* data_;
  Access access_[kMaxPlanOperands] = {};
  alignas(8) char single_[kMaxPlanOperands][8] = {};
  bool out_direct_ = false;
  bool by_rows_ = false;
};

void run_strided(void* const* data, const StridedParameters& p) {
  const StridedRunner runner(p, data);
  core::parallel_for(0, p.plan.numel, kGrain, runner);
}

bool same_layout(const Tensor& a, const Tensor& b) {
  return a->numel() == b->numel() && a.sizes() == b.sizes() && a.strides() == b.strides();
}

template <class Kernel, class Parameters>
void launch_over(Kernel kernel, const Tensor& out, std::initializer_list<const Tensor*> in,
                 const Parameters& p) {
  const Tensor* const* t = in.begin();
  switch (in.size()) {
    case 1:
      core::launch(kernel, {core::out(out), core::in(*t[0])}, p);
      break;
    case 2:
      core::launch(kernel, {core::out(out), core::in(*t[0]), core::in(*t[1])}, p);
      break;
    case 3:
      core::launch(kernel, {core::out(out), core::in(*t[0]), core::in(*t[1]), core::in(*t[2])}, p);
      break;
    default:
      core::launch(
          kernel,
          {core::out(out), core::in(*t[0]), core::in(*t[1]), core::in(*t[2]), core::in(*t[3])}, p);
  }
}

/// What was just read lies in a cache, and is written there.
bool is_one_of(const Tensor& out, std::initializer_list<const Tensor*> in) {
  return std::any_of(in.begin(), in.end(),
                     [&](const Tensor* tensor) { return (*tensor)->storage() == out->storage(); });
}

}  // namespace

void run_elementwise(Loop loop, Compute compute, bool bool_output, const LoopParameters& parameters,
                     const Tensor& out, std::initializer_list<const Tensor*> in,
                     LoopTraits traits) {
  const int64_t numel = out->numel();
  if (numel == 0) return;
  const DType native = native_dtype(compute);
  bool flat = out->dtype() == (bool_output ? DType::Bool : native);
  const bool dense = out->is_contiguous() || core::is_dense(out);
  int full = 0;
  for (const Tensor* tensor : in) {
    const bool single = (*tensor)->numel() == 1 && in.size() <= 2;
    const bool same =
        (out->is_contiguous() && (*tensor)->is_contiguous() && (*tensor)->numel() == numel) ||
        (dense && same_layout(*tensor, out));
    flat = flat && (*tensor)->dtype() == native && (same || single);
    full += same;
  }
  if (flat && full > 0) {
    const auto out_size = static_cast<int64_t>(item_size(out->dtype()));
    FlatParameters p{loop,
                     parameters,
                     numel,
                     static_cast<int>(in.size()),
                     out_size,
                     static_cast<int64_t>(compute_size(compute)),
                     traits.is_light && passes_caches(numel * out_size) && !is_one_of(out, in),
                     {}};
    int k = 0;
    for (const Tensor* tensor : in)
      p.walk.steps[k++] = (*tensor)->numel() == 1 && numel != 1 ? 0 : 1;
    launch_over(&run_flat, out, in, p);
    return;
  }
  StridedParameters p;
  p.loop = loop;
  p.loop_parameters = parameters;
  p.compute = compute;
  p.bool_output = bool_output;
  p.counts_rows = traits.counts_rows;
  p.dtypes[0] = out->dtype();
  plan_begin(p.plan, out.sizes());
  plan_add(p.plan, out.sizes(), out.strides());
  for (const Tensor* tensor : in) {
    p.dtypes[p.plan.operands] = (*tensor)->dtype();
    plan_add(p.plan, (*tensor)->sizes(), (*tensor)->strides());
  }
  plan_finish(p.plan);
  launch_over(&run_strided, out, in, p);
}

}  // namespace tapegrad::kernels
