// Running sums and products along rows, and the division-free gradients of products. Threads share
// the columns, never a row, so that one thread and many do the same.
#include "core/parallel.h"
#include "kernels/isa/lanes.h"
#include "kernels/reduce.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 8192;
constexpr int64_t kWidth = 64;

constexpr int64_t at_least_one(int64_t x) { return x < 1 ? 1 : x; }
constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/// float sums run in double, as PyTorch's do.
template <class T>
struct Wide {
  using Type = T;
};
template <>
struct Wide<float> {
  using Type = double;
};

/// The strip of at most kWidth columns that a task works on.
template <class T>
struct Strip {
  const T* x;
  const T* g;  // null unless the operation reads it
  T* y;
  int64_t rows, width, x_stride, y_stride;
};

template <class T>
void sums(const Strip<T>& s, bool reverse) {
  using W = typename Wide<T>::Type;
  W acc[kWidth];
  for (int64_t j = 0; j < s.width; ++j) acc[j] = W(0);
  for (int64_t k = 0; k < s.rows; ++k) {
    const int64_t r = reverse ? s.rows - 1 - k : k;
    const T* x = s.x + r * s.x_stride;
    T* y = s.y + r * s.y_stride;
#pragma omp simd
    for (int64_t j = 0; j < s.width; ++j) {
      acc[j] = add_wrapping(acc[j], static_cast<W>(x[j]));
      y[j] = static_cast<T>(acc[j]);
    }
  }
}

/// What products() and multiply_by_tail() below do, for a single column: the factors stay in
/// registers, and both chains of products run at once, as each step waits for the one before. In
/// the first half they leave one factor of each result, after they have met they multiply it by
/// the other.
template <class T>
void line_of_others(const Strip<T>& s) {
  using W = typename Wide<T>::Type;
  W before = W(1), tail = s.g ? W(0) : W(1);
  const auto x = [&s](int64_t r) { return static_cast<W>(s.x[r * s.x_stride]); };
  const auto with_gradient = [&s](W value, int64_t r) {
    return s.g ? add_wrapping(value, static_cast<W>(s.g[r * s.x_stride])) : value;
  };
  int64_t low = 0, high = s.rows - 1;
  for (; low < high; ++low, --high) {
    s.y[low * s.y_stride] = static_cast<T>(before);
    before = mul_wrapping(before, x(low));
    tail = with_gradient(tail, high);
    s.y[high * s.y_stride] = static_cast<T>(tail);
    tail = mul_wrapping(tail, x(high));
  }
  if (low == high) {
    tail = with_gradient(tail, low);
    s.y[low * s.y_stride] = static_cast<T>(mul_wrapping(before, tail));
    before = mul_wrapping(before, x(low));
    tail = mul_wrapping(tail, x(low));
    ++low;
    --high;
  }
  for (; high >= 0; ++low, --high) {
    T& right = s.y[low * s.y_stride];
    right = static_cast<T>(mul_wrapping(before, static_cast<W>(right)));
    before = mul_wrapping(before, x(low));
    tail = with_gradient(tail, high);
    T& left = s.y[high * s.y_stride];
    left = static_cast<T>(mul_wrapping(static_cast<W>(left), tail));
    tail = mul_wrapping(tail, x(high));
  }
}

/// y[r] = the product of the rows before r (and of row r itself when `inclusive`).
template <class T>
void products(const Strip<T>& s, bool inclusive) {
  using W = typename Wide<T>::Type;
  W acc[kWidth];
  for (int64_t j = 0; j < s.width; ++j) acc[j] = W(1);
  for (int64_t r = 0; r < s.rows; ++r) {
    const T* x = s.x + r * s.x_stride;
    T* y = s.y + r * s.y_stride;
#pragma omp simd
    for (int64_t j = 0; j < s.width; ++j) {
      const W next = mul_wrapping(acc[j], static_cast<W>(x[j]));
      y[j] = static_cast<T>(inclusive ? next : acc[j]);
      acc[j] = next;
    }
  }
}

/// From the last row up: y[r] *= tail, where tail is the product of the rows after r, or with a
/// gradient S[r] = g[r] + x[r + 1] S[r + 1]: no division, so zeros are nothing special.
template <class T>
void multiply_by_tail(const Strip<T>& s) {
  using W = typename Wide<T>::Type;
  W tail[kWidth];
  for (int64_t j = 0; j < s.width; ++j) tail[j] = s.g ? W(0) : W(1);
  for (int64_t r = s.rows - 1; r >= 0; --r) {
    const T* x = s.x + r * s.x_stride;
    const T* next = x + s.x_stride;
    T* y = s.y + r * s.y_stride;
    const bool last = r == s.rows - 1;
    for (int64_t j = 0; j < s.width; ++j) {
      if (!last) tail[j] = mul_wrapping(tail[j], static_cast<W>(next[j]));
      if (s.g) tail[j] = add_wrapping(tail[j], static_cast<W>(s.g[r * s.x_stride + j]));
      y[j] = static_cast<T>(mul_wrapping(static_cast<W>(y[j]), tail[j]));
    }
  }
}

/// Whether products may be taken in parts: where one leaves this range, an infinity or a zero may
/// come of it that the product from the left does not have.
TAPEGRAD_INLINE bool is_moderate(double x) { return abs(x) > 0x1p-500 && abs(x) < 0x1p500; }
TAPEGRAD_INLINE bool is_moderate(int64_t) { return true; }

/// Sums or products along lines of contiguous elements. Each step waits for the one before, so
/// eight lines go side by side; through a small buffer, as lines a power of two apart would evict
/// one another from the cache.
template <class T, bool kProduct>
struct LineScan {
  using W = typename Wide<T>::Type;
  TAPEGRAD_INLINE static W join(W a, W b) {
    if constexpr (kProduct)
      return mul_wrapping(a, b);
    else
      return add_wrapping(a, b);
  }
  static constexpr W kStart = kProduct ? W(1) : W(0);
  static constexpr int64_t kTogether = 8;
  static constexpr int64_t kPiece = 64;
  const T* x;
  T* y;
  const BlockShape& b;
  bool reverse;

  void group(int64_t first) const {
    const int64_t lines = smaller(kTogether, b.a - first);
    W buffer[kTogether][kPiece + 8];
    for (int64_t j = lines; j < kTogether; ++j) {
      for (W& w : buffer[j]) w = kStart;
    }
    W acc[kTogether];
    for (W& a : acc) a = kStart;
    for (int64_t done = 0; done < b.r; done += kPiece) {
      const int64_t n = smaller(kPiece, b.r - done);
      const int64_t start = reverse ? b.r - done - n : done;
      for (int64_t j = 0; j < lines; ++j) {
        const T* from = x + (first + j) * b.a_stride + start;
#pragma omp simd
        for (int64_t k = 0; k < n; ++k) buffer[j][k] = static_cast<W>(from[k]);
      }
      for (int64_t k = 0; k < n; ++k) {
        const int64_t at = reverse ? n - 1 - k : k;
#pragma GCC unroll 8
        for (int64_t j = 0; j < kTogether; ++j) {
          acc[j] = join(acc[j], buffer[j][at]);
          buffer[j][at] = acc[j];
        }
      }
      for (int64_t j = 0; j < lines; ++j) {
        T* to = y + (first + j) * b.r + start;
#pragma omp simd
        for (int64_t k = 0; k < n; ++k) to[k] = static_cast<T>(buffer[j][k]);
      }
    }
  }
  void steps(const T* from, T* to, int64_t done, int64_t end, W& total) const {
    for (; done < end; ++done) {
      const int64_t at = reverse ? b.r - 1 - done : done;
      total = join(total, static_cast<W>(from[at]));
      to[at] = static_cast<T>(total);
    }
  }
  /// One line, in pieces of kTogether parts: the sums within the parts go side by side, then each
  /// part is joined with what stands before it.
  void line(int64_t index) const {
    const T* from = x + index * b.a_stride;
    T* to = y + index * b.r;
    W total = kStart;
    int64_t done = 0;
    for (; done + kTogether * kPiece <= b.r; done += kTogether * kPiece) {
      const int64_t start = reverse ? b.r - done - kTogether * kPiece : done;
      W parts[kTogether][kPiece];
      W acc[kTogether];
      for (W& a : acc) a = kStart;
      for (int64_t k = 0; k < kPiece; ++k) {
        const int64_t at = reverse ? kPiece - 1 - k : k;
#pragma GCC unroll 8
        for (int64_t j = 0; j < kTogether; ++j) {
          acc[j] = join(acc[j], static_cast<W>(from[start + j * kPiece + at]));
          parts[j][at] = acc[j];
        }
      }
      if constexpr (kProduct) {
        bool moderate = true;
        for (const W& a : acc) moderate = moderate && is_moderate(a);
        if (!moderate) {
          steps(from, to, done, done + kTogether * kPiece, total);
          continue;
        }
      }
      for (int64_t k = 0; k < kTogether; ++k) {
        const int64_t j = reverse ? kTogether - 1 - k : k;
        T* part = to + start + j * kPiece;
#pragma omp simd
        for (int64_t i = 0; i < kPiece; ++i) part[i] = static_cast<T>(join(parts[j][i], total));
        total = join(total, acc[j]);
      }
    }
    steps(from, to, done, b.r, total);
  }
  void run() const {
    if (b.a < kTogether) {
      core::parallel_for(0, b.a, at_least_one(kGrain / b.r), [this](int64_t begin, int64_t end) {
        for (int64_t a = begin; a < end; ++a) line(a);
      });
      return;
    }
    core::parallel_for(0, (b.a + kTogether - 1) / kTogether,
                       at_least_one(kGrain / (b.r * kTogether)),
                       [this](int64_t begin, int64_t end) {
                         for (int64_t t = begin; t < end; ++t) group(t * kTogether);
                       });
  }
};

template <class T>
void run(void* const* data, const ScanParameters& p) {
  const BlockShape& b = p.shape;
  if (b.c == 1 && (p.op == ScanOp::Sum || p.op == ScanOp::Prod)) {
    const T* x = static_cast<const T*>(data[1]);
    T* y = static_cast<T*>(data[0]);
    if (p.op == ScanOp::Sum) return LineScan<T, false>{x, y, b, p.reverse}.run();
    return LineScan<T, true>{x, y, b, p.reverse}.run();
  }
  const int64_t strips = (b.c + kWidth - 1) / kWidth;
  const int64_t grain = at_least_one(kGrain / at_least_one(b.r * smaller(b.c, kWidth)));
  core::parallel_for(0, b.a * strips, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t a = t / strips, first = t % strips * kWidth;
      Strip<T> s;
      s.x = static_cast<const T*>(data[1]) + a * b.a_stride + first;
      s.g = data[2] ? static_cast<const T*>(data[2]) + a * b.a_stride + first : nullptr;
      s.y = static_cast<T*>(data[0]) + a * b.r * b.c + first;
      s.rows = b.r;
      s.width = smaller(kWidth, b.c - first);
      s.x_stride = b.r_stride;
      s.y_stride = b.c;
      switch (p.op) {
        case ScanOp::Sum:
          sums(s, p.reverse);
          break;
        case ScanOp::Prod:
          products(s, true);
          break;
        default:
          if (s.width == 1) {
            line_of_others(s);
            break;
          }
          products(s, false);
          multiply_by_tail(s);
      }
    }
  });
}

}  // namespace

void scan(void* const* data, const ScanParameters& p) {
  switch (p.type) {
    case FoldType::Float:
      return run<float>(data, p);
    case FoldType::Double:
      return run<double>(data, p);
    default:
      return run<int64_t>(data, p);
  }
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
