#include "kernels/contraction.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>

#include "core/half.h"
#include "core/parallel.h"
#include "kernels/contraction_bfloat16.h"
#include "kernels/dispatch.h"
#include "kernels/isa/gemm.h"
#include "tapegrad/error.h"
#include "tapegrad/parallel.h"

namespace tapegrad::kernels {
namespace {

// Multiply-adds below which a second thread costs more than it saves.
constexpr int64_t kSerialWork = 300'000;
// Columns are cut at multiples of this: a whole number of register tiles at every level.
constexpr int64_t kColumnUnit = 32;
constexpr int64_t kFewestRows = 8;

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
template <class T>
using Buffer = std::unique_ptr<T[], Free>;

template <class T>
Buffer<T> make_buffer(int64_t count) {
  const size_t bytes = (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
  void* memory = std::aligned_alloc(64, std::max<size_t>(bytes, 64));
  if (memory == nullptr) throw std::bad_alloc();
  return Buffer<T>(static_cast<T*>(memory));
}

char* moved(void* pointer, int64_t elements, int64_t size) {
  return pointer == nullptr ? nullptr : static_cast<char*>(pointer) + elements * size;
}

// Rows [row, row + rows) x columns [column, column + columns) of the product of batch b.
void multiply_part(void* const* data, const GemmArgs& args, int64_t b, int64_t row, int64_t rows,
                   int64_t column, int64_t columns) {
  const auto size = static_cast<int64_t>(item_size(args.dtype));
  GemmArgs part = args;
  part.batch = 1;
  part.m = rows;
  part.n = columns;
  void* const pointers[] = {
      moved(data[0], b * args.c_batch + row * args.c_row + column, size),
      moved(data[1], b * args.a_batch + row * args.a_row, size),
      moved(data[2], b * args.b_batch + column * args.b_col, size),
      args.has_bias ? moved(data[3], column, size) : nullptr,
      gemm_scratch(),
  };
  gemm(pointers, part);
}

struct Grid {
  int64_t rows = 1, columns = 1;  // parts of a matrix
  int64_t part_columns = 0;       // columns in all parts but the last
};

// The cheapest cut of C into at most `threads` parts. A part packs its own operands: per k, about
// 4 multiply-adds a row and 8 a column.
Grid choose_grid(const GemmArgs& args, int64_t threads) {
  Grid best;
  int64_t least = -1;
  for (int64_t rows = 1; rows <= threads; ++rows) {
    if (rows > 1 && args.m / rows < kFewestRows) break;
    const int64_t units = (args.n + kColumnUnit - 1) / kColumnUnit;
    const int64_t part_units = (units + threads / rows - 1) / (threads / rows);
    const int64_t part_rows = (args.m + rows - 1) / rows;
    const int64_t part_columns = part_units * kColumnUnit;
    const int64_t cost = part_rows * part_columns + 4 * part_rows + 8 * part_columns;
    if (least < 0 || cost < least) {
      least = cost;
      best = {rows, (units + part_units - 1) / part_units, part_columns};
    }
  }
  return best;
}

void multiply_on_team(void* const* data, const GemmArgs& args, int64_t threads) {
  // Whole matrices, unless so few that some threads would get one more than others.
  const bool whole = args.batch % threads == 0 || args.batch >= 8 * threads;
  const Grid grid = whole
                        ? Grid{1, 1, args.n}
                        : choose_grid(args, args.batch < threads ? threads / args.batch : threads);
  const int64_t parts = grid.rows * grid.columns;
  core::parallel_for(0, args.batch * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t r = i % parts % grid.rows, c = i % parts / grid.rows;
      const int64_t row = args.m * r / grid.rows, column = c * grid.part_columns;
      multiply_part(data, args, i / parts, row, args.m * (r + 1) / grid.rows - row, column,
                    std::min(grid.part_columns, args.n - column));
    }
  });
}

GemmPath choose_path(const MatmulArgs& args) {
  if (args.k == 0) return GemmPath::kTiles;
  if (args.n == 1 && (args.a_row == 1 || args.a_col == 1)) return GemmPath::kColumnVector;
  if (args.m == 1 && (args.b_row == 1 || args.b_col == 1)) return GemmPath::kRowVector;
  return GemmPath::kTiles;
}

// float32 and float64.
void multiply_real(void* const* data, const MatmulArgs& given) {
  GemmArgs args{given};
  // A batch against one B is one taller product, when its matrices follow each other.
  if (args.batch > 1 && args.b_batch == 0 && args.a_batch == args.m * args.a_row &&
      args.c_batch == args.m * args.c_row) {
    args.m *= args.batch;
    args.batch = 1;
  }
  if (args.n == 1) args.b_col = 1;  // a stride that is never walked must not ask for packing
  args.path = choose_path(args);
  const double work = static_cast<double>(args.batch) * static_cast<double>(args.m) *
                      static_cast<double>(args.n) * static_cast<double>(args.k);
  if (work > kSerialWork && !core::in_parallel_region()) {
    const int64_t threads = std::min<int64_t>(
        get_num_threads(), static_cast<int64_t>(std::min(work * 2 / kSerialWork, 4096.0)));
    if (threads > 1) {
      multiply_on_team(data, args, threads);
      return;
    }
  }
  void* const pointers[] = {data[0], data[1], data[2], args.has_bias ? data[3] : nullptr,
                            gemm_scratch()};
  gemm(pointers, args);
}

float load_half(Half value) { return core::to_float(value); }
float load_half(BFloat16 value) { return core::to_float(value); }
void store_half(Half* to, float value) { *to = core::to_half(value); }
void store_half(BFloat16* to, float value) { *to = core::to_bfloat16(value); }

// Copies a strided matrix of a half type to adjacent floats.
template <class T>
void widen(const T* from, int64_t rows, int64_t columns, int64_t row, int64_t column, float* to) {
  constexpr int64_t kGrain = 16384;
  core::parallel_for(0, rows, std::max<int64_t>(1, kGrain / std::max<int64_t>(columns, 1)),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t i = begin; i < end; ++i) {
                         for (int64_t j = 0; j < columns; ++j) {
                           to[i * columns + j] = load_half(from[i * row + j * column]);
                         }
                       }
                     });
}

// Half types compute in float32 and are rounded once.
template <class T>
void multiply_half(void* const* data, const MatmulArgs& args) {
  const auto* a = static_cast<const T*>(data[1]);
  const auto* b = static_cast<const T*>(data[2]);
  auto* c = static_cast<T*>(data[0]);
  const auto bias = make_buffer<float>(args.has_bias ? args.n : 0);
  if (args.has_bias) widen(static_cast<const T*>(data[3]), 1, args.n, 0, 1, bias.get());

  MatmulArgs wide = args;
  wide.dtype = DType::Float32;
  wide.batch = 1;
  wide.a_row = args.k;
  wide.a_col = wide.b_col = 1;
  wide.b_row = wide.c_row = args.n;
  const auto some = [&](int64_t begin, int64_t end) {
    const auto left = make_buffer<float>(args.m * args.k);
    const auto right = make_buffer<float>(args.k * args.n);
    const auto out = make_buffer<float>(args.m * args.n);
    for (int64_t i = begin; i < end; ++i) {
      if (i == begin || args.a_batch != 0) {
        widen(a + i * args.a_batch, args.m, args.k, args.a_row, args.a_col, left.get());
      }
      if (i == begin || args.b_batch != 0) {
        widen(b + i * args.b_batch, args.k, args.n, args.b_row, args.b_col, right.get());
      }
      T* target = c + i * args.c_batch;
      if (args.beta != 0) widen(target, args.m, args.n, args.c_row, 1, out.get());
      void* const pointers[] = {out.get(), left.get(), right.get(), bias.get()};
      multiply_real(pointers, wide);
      for (int64_t r = 0; r < args.m; ++r) {
        for (int64_t j = 0; j < args.n; ++j) {
          store_half(target + r * args.c_row + j, out[r * args.n + j]);
        }
      }
    }
  };
  // Many matrices: each on one thread. Few: each on all.
  if (args.batch >= get_num_threads() && args.batch > 1) {
    const int64_t each = std::max<int64_t>(1, args.m * args.n * args.k);
    core::parallel_for(0, args.batch, std::max<int64_t>(1, kSerialWork / each), some);
  } else {
    some(0, args.batch);
  }
}

// Integers wrap around: sums in an unsigned type of at least the same width, cut at the end.
template <class T, class Sum>
void multiply_integer(void* const* data, const MatmulArgs& args) {
  constexpr int64_t kColumns = 512;
  const auto alpha = static_cast<Sum>(static_cast<int64_t>(args.alpha));
  const auto beta = static_cast<Sum>(static_cast<int64_t>(args.beta));
  const auto* bias = args.has_bias ? static_cast<const T*>(data[3]) : nullptr;
  const auto row_of = [&](int64_t index) {
    const int64_t batch = index / args.m, row = index % args.m;
    const T* a = static_cast<const T*>(data[1]) + batch * args.a_batch + row * args.a_row;
    const T* b = static_cast<const T*>(data[2]) + batch * args.b_batch;
    T* c = static_cast<T*>(data[0]) + batch * args.c_batch + row * args.c_row;
    for (int64_t from = 0; from < args.n; from += kColumns) {
      const int64_t count = std::min(kColumns, args.n - from);
      Sum sum[kColumns] = {};
      for (int64_t i = 0; i < args.k; ++i) {
        // NOLINTNEXTLINE(bugprone-signed-char-misuse): modulo 2^32, of which the low bits stay
        const auto left = static_cast<Sum>(a[i * args.a_col]);
        const T* right = b + i * args.b_row + from * args.b_col;
        for (int64_t j = 0; j < count; ++j)
          sum[j] += left * static_cast<Sum>(right[j * args.b_col]);
      }
      for (int64_t j = 0; j < count; ++j) {
        Sum value = alpha * sum[j];
        if (args.beta != 0) value += beta * static_cast<Sum>(c[from + j]);
        if (bias != nullptr) value += static_cast<Sum>(bias[from + j]);
        c[from + j] = static_cast<T>(value);
      }
    }
  };
  const int64_t row_work = std::max<int64_t>(1, args.n * std::max<int64_t>(1, args.k));
  core::parallel_for(0, args.batch * args.m, std::max<int64_t>(1, kSerialWork / row_work),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t i = begin; i < end; ++i) row_of(i);
                     });
}

}  // namespace

void* gemm_scratch() {
  thread_local Buffer<char> scratch;
  if (scratch == nullptr) scratch = make_buffer<char>(kGemmScratchBytes);
  return scratch.get();
}

void matmul(void* const* data, const MatmulArgs& args) {
  if (args.batch <= 0 || args.m <= 0 || args.n <= 0) return;
  switch (args.dtype) {
    case DType::Float32:
    case DType::Float64:
      return multiply_real(data, args);
    case DType::Float16:
      return multiply_half<Half>(data, args);
    case DType::BFloat16:
      return multiply_bfloat16(data, args) ? void() : multiply_half<BFloat16>(data, args);
    case DType::UInt8:
      return multiply_integer<uint8_t, uint32_t>(data, args);
    case DType::Int8:
      return multiply_integer<int8_t, uint32_t>(data, args);
    case DType::Int16:
      return multiply_integer<int16_t, uint32_t>(data, args);
    case DType::Int32:
      return multiply_integer<int32_t, uint32_t>(data, args);
    case DType::Int64:
      return multiply_integer<int64_t, uint64_t>(data, args);
    default:
      throw DTypeError(std::string("matmul: not implemented for ") + dtype_name(args.dtype) +
                       "; convert the operands with .float()");
  }
}

const char* contraction_backend() {
  static const std::string name = std::string("own register tiles, ") + isa_name();
  return name.c_str();
}

}  // namespace tapegrad::kernels
