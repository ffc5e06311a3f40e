#include "kernels/contraction_bfloat16.h"

#if TAPEGRAD_HAS_ONEDNN

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <dnnl.hpp>
#include <functional>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/parallel.h"
#include "kernels/kept_kernels.h"

namespace tapegrad::kernels {
namespace {

using dnnl::memory;

// Pieces of fixed height, each multiplied on one thread: the bits cannot depend on the team.
constexpr int64_t kRows = 128;
constexpr int64_t kLeastWork = 1 << 18;

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

// Held while the library prepares a primitive, under locks of its own: a fork waits until they are
// at rest, for nobody would open them in the child.
constinit std::mutex preparation;
[[maybe_unused]] const int registered = pthread_atfork(
    [] { preparation.lock(); }, [] { preparation.unlock(); }, [] { preparation.unlock(); });

bool has_adjacent(int64_t row, int64_t column, int64_t rows, int64_t columns) {
  return (column == 1 && row >= columns) || (row == 1 && column >= rows);
}

memory::desc matrix(int64_t rows, int64_t columns, int64_t row, int64_t column) {
  return {{rows, columns}, memory::data_type::bf16, {row, column}};
}

/// oneDNN keeps primitives of the same description in a cache of bounded size.
dnnl::matmul::primitive_desc describe(const MatmulArgs& args, int64_t rows) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const auto a = matrix(rows, args.k, args.a_row, args.a_col);
  const auto b = matrix(args.k, args.n, args.b_row, args.b_col);
  const auto c = matrix(rows, args.n, args.c_row, 1);
  if (!args.has_bias) return {engine(), a, b, c, attributes};
  return {engine(), a, b, matrix(1, args.n, args.n, 1), c, attributes};
}

/// See Note [Kernels that are never freed].
bool may_prepare(const MatmulArgs& args, int64_t rows) {
  constexpr size_t kMostKept = 4096;
  static auto* const kept = new KeptKernels(kMostKept);  // never destroyed
  const int64_t shape[] = {rows,       args.n,     args.k,     args.a_row,   args.a_col,
                           args.b_row, args.b_col, args.c_row, args.has_bias};
  const std::string_view bytes(reinterpret_cast<const char*>(shape), sizeof shape);
  const std::scoped_lock lock(preparation);
  return kept->allow(std::hash<std::string_view>()(bytes));
}

struct Piece {
  dnnl::matmul::primitive_desc description;
  dnnl::matmul primitive;
  explicit Piece(const dnnl::matmul::primitive_desc& d) : description(d), primitive(d) {}
};

void run(const Piece& piece, std::byte* a, std::byte* b, std::byte* c, std::byte* bias) {
  thread_local std::vector<std::byte> scratch;
  const auto& d = piece.description;
  scratch.resize(std::max(scratch.size(), d.scratchpad_desc().get_size()));
  std::unordered_map<int, memory> operands{
      {DNNL_ARG_SRC, memory(d.src_desc(), engine(), a)},
      {DNNL_ARG_WEIGHTS, memory(d.weights_desc(), engine(), b)},
      {DNNL_ARG_DST, memory(d.dst_desc(), engine(), c)},
      {DNNL_ARG_SCRATCHPAD, memory(d.scratchpad_desc(), engine(), scratch.data())}};
  if (bias != nullptr) operands.emplace(DNNL_ARG_BIAS, memory(d.bias_desc(), engine(), bias));
  dnnl::stream stream(engine());
  piece.primitive.execute(stream, operands);
  stream.wait();
}

}  // namespace

bool has_bfloat16_instructions() {
  enum : int { kUnknown, kNo, kYes };
  static constinit std::atomic<int> found{kUnknown};
  if (found.load(std::memory_order_relaxed) == kUnknown) {
    const std::scoped_lock lock(preparation);
    const auto wanted = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
    const auto here = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
    found.store((here & wanted) == wanted ? kYes : kNo, std::memory_order_relaxed);
  }
  return found.load(std::memory_order_relaxed) == kYes;
}

bool multiply_bfloat16(void* const* data, const MatmulArgs& args) {
  if (args.alpha != 1 || args.beta != 0 || args.m * args.n * args.k < kLeastWork) return false;
  if (!has_adjacent(args.a_row, args.a_col, args.m, args.k) ||
      !has_adjacent(args.b_row, args.b_col, args.k, args.n) || args.c_row < args.n ||
      !has_bfloat16_instructions()) {
    return false;
  }
  constexpr int64_t kItem = 2;
  const int64_t strips = (args.m + kRows - 1) / kRows;
  const int64_t last_rows = args.m - (strips - 1) * kRows;
  if (!may_prepare(args, last_rows) || (strips > 1 && !may_prepare(args, kRows))) return false;
  const auto make = [&](int64_t rows) {
    const std::scoped_lock lock(preparation);
    const core::LibraryThreads one(1);  // oneDNN plans for the threads that there are now
    return Piece(describe(args, rows));
  };
  const Piece last = make(last_rows);
  const Piece whole = strips > 1 ? make(kRows) : last;
  core::parallel_for(0, args.batch * strips, 1, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      const int64_t batch = at / strips;
      const int64_t strip = at % strips;
      const auto place = [&](int i, int64_t element) {
        return static_cast<std::byte*>(data[i]) + element * kItem;
      };
      run(strip + 1 == strips ? last : whole,
          place(1, batch * args.a_batch + strip * kRows * args.a_row),
          place(2, batch * args.b_batch),
          place(0, batch * args.c_batch + strip * kRows * args.c_row),
          args.has_bias ? place(3, 0) : nullptr);
    }
  });
  return true;
}

}  // namespace tapegrad::kernels

#else

namespace tapegrad::kernels {

bool has_bfloat16_instructions() { return false; }
bool multiply_bfloat16(void* const* /*data*/, const MatmulArgs& /*args*/) { return false; }

}  // namespace tapegrad::kernels

#endif
