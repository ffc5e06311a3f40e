// Reductions over rows (fold) and variances (moments). See Note [Fixed partial results].
#include "kernels/reduce.h"

#include "core/parallel.h"
#include "kernels/isa/half_lines.h"
#include "kernels/isa/lanes.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 32768;  // elements a thread should have at least
constexpr int64_t kColumns = 1024;
constexpr int64_t kWidened = 2048;  // half numbers that are widened at once

constexpr int64_t at_least_one(int64_t x) { return x < 1 ? 1 : x; }
constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/// acc[j] = Op over rows of x[j], for j < width.
template <class Op, class In>
[[gnu::noinline]] void fold_columns(const In* x, int64_t stride, int64_t rows, int64_t width,
                                    typename Op::Acc* acc) {
#pragma omp simd
  for (int64_t j = 0; j < width; ++j) acc[j] = Op::identity();
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4, x += 4 * stride) {
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) {
      const auto first = Op::combine(Op::map(x[j]), Op::map(x[j + stride]));
      const auto second = Op::combine(Op::map(x[j + 2 * stride]), Op::map(x[j + 3 * stride]));
      acc[j] = Op::combine(acc[j], Op::combine(first, second));
    }
  }
  for (; r < rows; ++r, x += stride) {
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) acc[j] = Op::combine(acc[j], Op::map(x[j]));
  }
}

/// y[i] = Op over n elements side by side, for `count` such lines.
template <class Op, class In>
[[gnu::noinline]] void fold_lines(const In* x, int64_t stride, int64_t count, int64_t n,
                                  typename Op::Acc* y) {
  constexpr int64_t kAhead = 8192;  // bytes; less is too late for what comes from memory
  const auto line = [n](const In* from) __attribute__((always_inline)) {
    return fold_values<Op>(
        n, [from](int64_t i) __attribute__((always_inline)) { return Op::map(from[i]); },
        [from](int64_t i) __attribute__((always_inline)) {
          const char* place = reinterpret_cast<const char*>(from + i) + kAhead;
          for (size_t b = 0; b < kLanes * sizeof(In); b += 64) __builtin_prefetch(place + b);
        });
  };
  for (int64_t i = 0; i < count; ++i) y[i] = line(x + i * stride);
}

/// The loops of an operation, and those of its accumulators; what is around them is shared.
template <class In, class Acc>
struct Loops {
  void (*lines)(const In* x, int64_t stride, int64_t count, int64_t n, Acc* y);
  void (*columns)(const In* x, int64_t stride, int64_t rows, int64_t width, Acc* acc);
  void (*join_lines)(const Acc* x, int64_t stride, int64_t count, int64_t n, Acc* y);
  void (*join_columns)(const Acc* x, int64_t stride, int64_t rows, int64_t width, Acc* acc);
};
template <class Op, class Join, class In>
constexpr Loops<In, typename Op::Acc> kLoops = {fold_lines<Op, In>, fold_columns<Op, In>,
                                                fold_lines<Join, typename Op::Acc>,
                                                fold_columns<Join, typename Op::Acc>};

template <class T>
struct WideOf {
  using Type = T;
};
template <class T>
  requires kIsHalf<T>
struct WideOf<T> {
  using Type = float;
};

template <class In, class Acc>
class Folder {
 public:
  using Wide = typename WideOf<In>::Type;

  Folder(const Loops<Wide, Acc>& loops, void* const* data, const FoldParameters& p)
      : loops_(loops),
        p_(p),
        s_(p.shape),
        x_(static_cast<const In*>(data[1])),
        y_(static_cast<Acc*>(data[0])),
        scratch_(static_cast<Acc*>(data[2])),
        chunks_(fold_chunks(p.shape)) {}

  void run() const {
    if constexpr (kIsHalf<In>)
      lines();
    else
      s_.c == 1 ? lines() : blocks();
  }

 private:
  /// The lines loop, on half numbers by blocks that are widened in the first cache.
  void fold_lines_of(const In* x, int64_t stride, int64_t count, int64_t n, Acc* y) const {
    if constexpr (!kIsHalf<In>) {
      loops_.lines(x, stride, count, n, y);
    } else if (n <= kWidened) {
      alignas(64) float block[kWidened];
      const int64_t most = kWidened / n;
      for (int64_t i = 0; i < count; i += most) {
        const int64_t rows = smaller(most, count - i);
        for (int64_t k = 0; k < rows; ++k) to_floats(x + (i + k) * stride, block + k * n, n);
        loops_.lines(block, n, rows, n, y + i);
      }
    } else {
      alignas(64) float block[kWidened];
      Acc parts[kLineChunk / kWidened];
      for (int64_t i = 0; i < count; ++i) {
        int64_t found = 0;
        for (int64_t first = 0; first < n; first += kWidened, ++found) {
          const int64_t length = smaller(kWidened, n - first);
          to_floats(x + i * stride + first, block, length);
          loops_.lines(block, 0, 1, length, parts + found);
        }
        loops_.join_lines(parts, 0, 1, found, y + i);
      }
    }
  }

  Acc finish(Acc x) const {
    if constexpr (Real<Acc>) {
      if (p_.divisor != 1) x = x / static_cast<Acc>(p_.divisor);
      if (p_.square_root) x = sqrt(x);
    }
    return x;
  }

  void lines() const {
    if (chunks_ <= 1) {
      core::parallel_for(0, s_.a, at_least_one(kGrain / s_.r), [this](int64_t begin, int64_t end) {
        fold_lines_of(x_ + begin * s_.a_stride, s_.a_stride, end - begin, s_.r, y_ + begin);
        finish_all(y_ + begin, end - begin);
      });
      return;
    }
    core::parallel_for(0, s_.a * chunks_, kGrain / kLineChunk, [this](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t first = (t % chunks_) * kLineChunk;
        fold_lines_of(x_ + (t / chunks_) * s_.a_stride + first, 0, 1,
                      smaller(kLineChunk, s_.r - first), scratch_ + t);
      }
    });
    loops_.join_lines(scratch_, chunks_, s_.a, chunks_, y_);
    finish_all(y_, s_.a);
  }

  /// A narrow block, `group` rows at a time: as `group` columns of each, and one for the odd rows.
  void narrow(const In* x, int64_t rows, int64_t group, Acc* out) const {
    alignas(64) Acc acc[64 + kNarrow];
    const int64_t width = group * s_.c;
    loops_.columns(x, width, rows / group, width, acc);
    loops_.columns(x + rows / group * width, s_.c, rows % group, s_.c, acc + width);
    loops_.join_columns(acc, s_.c, group + 1, s_.c, out);
  }

  void blocks() const {
    const int64_t group = rows_at_once(s_);
    const int64_t chunk_rows = chunks_ == 1 ? s_.r : kRowChunk * group;
    const int64_t strips = (s_.c + kColumns - 1) / kColumns;
    Acc* target = chunks_ == 1 ? y_ : scratch_;
    const int64_t task = at_least_one(chunk_rows * smaller(s_.c, kColumns));
    core::parallel_for(
        0, s_.a * chunks_ * strips, at_least_one(kGrain / task), [&](int64_t begin, int64_t end) {
          for (int64_t t = begin; t < end; ++t) {
            const int64_t first = t % strips * kColumns, width = smaller(kColumns, s_.c - first);
            const int64_t piece = t / strips, row = piece % chunks_ * chunk_rows;
            const int64_t rows = smaller(chunk_rows, s_.r - row);
            const In* from = x_ + piece / chunks_ * s_.a_stride + row * s_.r_stride + first;
            Acc* to = target + piece * s_.c + first;
            if (group > 1)
              narrow(from, rows, group, to);
            else
              loops_.columns(from, s_.r_stride, rows, width, to);
            if (chunks_ == 1) finish_all(to, width);
          }
        });
    if (chunks_ == 1) return;
    for (int64_t a = 0; a < s_.a; ++a) {
      loops_.join_columns(scratch_ + a * chunks_ * s_.c, s_.c, chunks_, s_.c, y_ + a * s_.c);
      finish_all(y_ + a * s_.c, s_.c);
    }
  }

  void finish_all(Acc* y, int64_t n) const {
    if (p_.divisor == 1 && !p_.square_root) return;
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) y[j] = finish(y[j]);
  }

  const Loops<Wide, Acc>& loops_;
  const FoldParameters& p_;
  const BlockShape& s_;
  const In* x_;
  Acc* y_;
  Acc* scratch_;
  int64_t chunks_;
};

template <class T>
const Loops<T, T>& loops_of(FoldOp op) {
  if constexpr (Real<T>) {
    switch (op) {
      case FoldOp::SumNumbers:
        return kLoops<SumNumbers<T>, Sum<T>, T>;
      case FoldOp::SumAbs:
        return kLoops<SumAbs<T>, Sum<T>, T>;
      case FoldOp::SumSquares:
        return kLoops<SumSquares<T>, Sum<T>, T>;
      case FoldOp::CountNonzero:
        return kLoops<CountNonzero<T>, Sum<T>, T>;
      case FoldOp::MaxAbs:
        return kLoops<MaxAbs<T>, Max<T>, T>;
      case FoldOp::MinAbs:
        return kLoops<MinAbs<T>, Min<T>, T>;
      default:
        break;
    }
  }
  if constexpr (!__is_same(T, uint8_t)) {
    if (op == FoldOp::Sum) return kLoops<Sum<T>, Sum<T>, T>;
    if (op == FoldOp::Prod) return kLoops<Prod<T>, Prod<T>, T>;
  }
  return op == FoldOp::Max ? kLoops<Max<T>, Max<T>, T> : kLoops<Min<T>, Min<T>, T>;
}

// --- moments -------------------------------------------------------------------------------------

/// Mean and sum of squared deviations of a set; sets are joined as by Chan, Golub and LeVeque
/// (1979).
struct Moments {
  double mean = 0, squares = 0;
};

TAPEGRAD_INLINE Moments join(Moments a, int64_t na, Moments b, int64_t nb) {
  const double n = static_cast<double>(na + nb), delta = b.mean - a.mean;
  const double share = static_cast<double>(nb) / n;
  return {a.mean + delta * share,
          a.squares + b.squares + delta * delta * (static_cast<double>(na) * share)};
}

template <class T>
struct MomentsOut {
  T* spread;
  T* mean;
  const MomentsParameters& p;
  TAPEGRAD_INLINE void write(int64_t at, Moments m) const {
    if (mean) mean[at] = static_cast<T>(m.mean);
    if (!spread) return;
    const double variance = m.squares / p.divisor;
    spread[at] = static_cast<T>(p.square_root ? sqrt(variance) : variance);
  }
};

template <class T>
void line_moments(const T* x, Moments* scratch, const MomentsOut<T>& out, const BlockShape& s) {
  const int64_t chunks = at_least_one((s.r + kLineChunk - 1) / kLineChunk);
  core::parallel_for(
      0, s.a * chunks, at_least_one(kGrain / smaller(s.r, kLineChunk)),
      [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          const int64_t first = (t % chunks) * kLineChunk, n = smaller(kLineChunk, s.r - first);
          const T* line = x + (t / chunks) * s.a_stride + first;
          const T mean = fold_line<Sum<T>>(line, n) / static_cast<T>(n);
          const auto square = [line, mean](int64_t i) __attribute__((always_inline)) {
            return (line[i] - mean) * (line[i] - mean);
          };
          scratch[t] = {mean, fold_values<Sum<T>>(n, square)};
        }
      });
  for (int64_t a = 0; a < s.a; ++a) {
    Moments total = scratch[a * chunks];
    for (int64_t k = 1; k < chunks; ++k)
      total = join(total, k * kLineChunk, scratch[a * chunks + k],
                   smaller(kLineChunk, s.r - k * kLineChunk));
    out.write(a, total);
  }
}

template <class T>
void block_moments(const T* x, Moments* scratch, const MomentsOut<T>& out, const BlockShape& s) {
  constexpr int64_t kWidth = 256;
  const int64_t chunks = at_least_one((s.r + kRowChunk - 1) / kRowChunk);
  const int64_t strips = (s.c + kWidth - 1) / kWidth;
  const int64_t task = at_least_one(smaller(s.r, kRowChunk) * smaller(s.c, kWidth));
  core::parallel_for(
      0, s.a * chunks * strips, at_least_one(kGrain / task), [&](int64_t begin, int64_t end) {
        alignas(64) T mean[kWidth];
        alignas(64) T squares[kWidth];
        for (int64_t t = begin; t < end; ++t) {
          const int64_t strip = t % strips, chunk = t / strips % chunks, a = t / strips / chunks;
          const int64_t first = strip * kWidth, width = smaller(kWidth, s.c - first);
          const int64_t row = chunk * kRowChunk, rows = smaller(kRowChunk, s.r - row);
          const T* from = x + a * s.a_stride + row * s.r_stride + first;
          fold_columns<Sum<T>>(from, s.r_stride, rows, width, mean);
#pragma omp simd
          for (int64_t j = 0; j < width; ++j) {
            mean[j] = mean[j] / static_cast<T>(rows);
            squares[j] = T(0);
          }
          for (int64_t r = 0; r < rows; ++r) {
            const T* line = from + r * s.r_stride;
#pragma omp simd
            for (int64_t j = 0; j < width; ++j)
              squares[j] += (line[j] - mean[j]) * (line[j] - mean[j]);
          }
          Moments* to = scratch + (a * chunks + chunk) * s.c + first;
          for (int64_t j = 0; j < width; ++j) to[j] = {mean[j], squares[j]};
        }
      });
  for (int64_t at = 0; at < s.a * s.c; ++at) {
    const Moments* from = scratch + at / s.c * chunks * s.c + at % s.c;
    Moments total = from[0];
    for (int64_t k = 1; k < chunks; ++k)
      total = join(total, k * kRowChunk, from[k * s.c], smaller(kRowChunk, s.r - k * kRowChunk));
    out.write(at, total);
  }
}

template <class T>
void run_moments(void* const* data, const MomentsParameters& p) {
  const MomentsOut<T> out{static_cast<T*>(data[0]), static_cast<T*>(data[1]), p};
  const T* x = static_cast<const T*>(data[2]);
  auto* scratch = static_cast<Moments*>(data[3]);
  if (p.shape.c == 1)
    line_moments(x, scratch, out, p.shape);
  else
    block_moments(x, scratch, out, p.shape);
}

}  // namespace

void fold(void* const* data, const FoldParameters& p) {
  switch (p.type) {
    case FoldType::Float:
      return Folder<float, float>(loops_of<float>(p.op), data, p).run();
    case FoldType::Double:
      return Folder<double, double>(loops_of<double>(p.op), data, p).run();
    case FoldType::Int64:
      return Folder<int64_t, int64_t>(loops_of<int64_t>(p.op), data, p).run();
    case FoldType::Byte:
      return Folder<uint8_t, uint8_t>(loops_of<uint8_t>(p.op), data, p).run();
    case FoldType::ByteToInt64: {
      using Op = Sum<int64_t>;
      return Folder<uint8_t, int64_t>(kLoops<Op, Op, uint8_t>, data, p).run();
    }
    case FoldType::Half:
      return Folder<Half, float>(loops_of<float>(p.op), data, p).run();
    case FoldType::BFloat16:
      return Folder<BFloat16, float>(loops_of<float>(p.op), data, p).run();
  }
}

void moments(void* const* data, const MomentsParameters& p) {
  if (p.is_double)
    run_moments<double>(data, p);
  else
    run_moments<float>(data, p);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
