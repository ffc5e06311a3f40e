// Loops of kernels/index.h.
#include "kernels/index.h"

#include "core/parallel.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kGrain = 32768;  // elements for which another thread is worth its start
constexpr int64_t kGrainBytes = 128 * 1024;

[[gnu::always_inline]] inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
[[gnu::always_inline]] inline int64_t grain(int64_t elements_each) {
  return elements_each >= kGrain ? 1 : kGrain / (elements_each > 0 ? elements_each : 1);
}

/// Calls f(T()) with a type of the dtype's size.
template <class F>
[[gnu::always_inline]] inline void by_size(DType dtype, F f) {
  switch (item_size(dtype)) {
    case 1:
      return f(uint8_t());
    case 2:
      return f(uint16_t());
    case 4:
      return f(uint32_t());
    default:
      return f(uint64_t());
  }
}

/// Calls f(T()) with the arithmetic type; the callers convert all other dtypes.
template <class F>
[[gnu::always_inline]] inline void by_number(DType dtype, F f) {
  switch (dtype) {
    case DType::Float32:
      return f(float());
    case DType::Float64:
      return f(double());
    case DType::Int32:
      return f(uint32_t());  // unsigned: overflow wraps
    default:
      return f(uint64_t());
  }
}

struct Assign {
  template <class T>
  [[gnu::always_inline]] void operator()(T& to, T from) const {
    to = from;
  }
};
struct Add {
  template <class T>
  [[gnu::always_inline]] void operator()(T& to, T from) const {
    to += from;
  }
};

struct Multiply {
  template <class T>
  [[gnu::always_inline]] void operator()(T& to, T from) const {
    to *= from;
  }
};
template <bool kLargest>
struct Choose {
  template <class T>
  [[gnu::always_inline]] void operator()(T& to, T from) const {
    const bool nan = from != from;  // NOLINT(misc-redundant-expression)
    to = nan || (kLargest ? from > to : from < to) ? from : to;
  }
};

/// f(j) for j < n in order. Where the places that it touches are likely to lie outside of the
/// cache, they are fetched some calls ahead.
template <class Place, class F>
[[gnu::always_inline]] inline void with_fetches(int64_t n, int64_t bytes_each, Place place, F f) {
  constexpr int64_t kAhead = 32;
  constexpr int64_t kCacheBytes = 256 * 1024;
  if (n * bytes_each < kCacheBytes) {
    for (int64_t j = 0; j < n; ++j) f(j);
    return;
  }
  for (int64_t begin = 0; begin < n; begin += kAhead) {
    const int64_t end = smaller(begin + kAhead, n), next = smaller(end + kAhead, n);
    for (int64_t k = end; k < next; ++k) __builtin_prefetch(place(k));
    for (int64_t j = begin; j < end; ++j) f(j);
  }
}

// --- rows ----------------------------------------------------------------------------------------

/// Offset of element `linear` of a group of dimensions.
inline int64_t locate(const Dimensions& d, int64_t linear) {
  int64_t offset = 0;
  for (int i = d.ndim - 1; i >= 0; --i) {
    offset += (linear % d.sizes[i]) * d.strides[i];
    linear /= d.sizes[i];
  }
  return offset;
}

/// Calls f(dense position, offset, count, stride) for each innermost row.
template <class F>
[[gnu::always_inline]] inline void for_rows(const Dimensions& d, F f) {
  const int inner = d.ndim - 1;
  const int64_t n = inner < 0 ? 1 : d.sizes[inner];
  const int64_t stride = inner < 0 ? 1 : d.strides[inner];
  if (d.ndim <= 1) {
    f(int64_t{0}, int64_t{0}, n, stride);
    return;
  }
  for (int64_t dense = 0; dense < d.numel; dense += n) {
    int64_t row = dense / n, offset = 0;
    for (int i = inner - 1; i >= 0; --i) {
      offset += (row % d.sizes[i]) * d.strides[i];
      row /= d.sizes[i];
    }
    f(dense, offset, n, stride);
  }
}

struct RowIndex {
  const int64_t* index;
  int64_t size;
  int64_t scale;
  [[gnu::always_inline]] int64_t wrapped(int64_t b) const {
    const int64_t i = index[b];
    return i < 0 ? i + size : i;
  }
  [[gnu::always_inline]] int64_t offset(int64_t b) const { return wrapped(b) * scale; }
};

inline bool is_block(const Dimensions& d) {
  return d.ndim == 0 || (d.ndim == 1 && d.strides[0] == 1);
}

template <class T>
inline void read_row(const Dimensions& after, T* dense, const T* from) {
  if (is_block(after)) {
    __builtin_memcpy(dense, from, static_cast<size_t>(after.numel) * sizeof(T));
    return;
  }
  for_rows(after, [&](int64_t at, int64_t offset, int64_t n, int64_t stride) {
    for (int64_t j = 0; j < n; ++j) dense[at + j] = from[offset + j * stride];
  });
}

/// dense_step is 0 for one value for all places.
template <class T, class Op>
[[gnu::always_inline]] inline void write_row(const Dimensions& after, T* to, const T* dense,
                                             int64_t dense_step, Op op) {
  if (dense_step != 0 && is_block(after)) {
#pragma omp simd
    for (int64_t j = 0; j < after.numel; ++j) op(to[j], dense[j]);
    return;
  }
  for_rows(after, [&](int64_t at, int64_t offset, int64_t n, int64_t stride) {
    for (int64_t j = 0; j < n; ++j) op(to[offset + j * stride], dense[(at + j) * dense_step]);
  });
}

template <class T>
void read_rows(T* dense, const T* tensor, const RowIndex& at, const IndexRows& p, int64_t begin,
               int64_t end) {
  for (int64_t row = begin; row < end;) {
    const int64_t b = row % p.count;
    const int64_t n = smaller(p.count - b, end - row);
    const T* base = tensor + locate(p.before, row / p.count);
    T* to = dense + row * p.after.numel;
    const auto place = [=](int64_t j) { return base + at.offset(b + j); };
    const auto bytes = p.after.numel * static_cast<int64_t>(sizeof(T));
    if (p.after.numel == 1) {
      with_fetches(n, bytes, place, [=](int64_t j) { to[j] = *place(j); });
    } else {
      with_fetches(n, bytes, place,
                   [&](int64_t j) { read_row(p.after, to + j * p.after.numel, place(j)); });
    }
    row += n;
  }
}

/// Rows [begin, end) of (before, count), those whose wrapped index lies in [low, high).
template <class T, class Op>
void write_rows(T* tensor, const T* dense, const RowIndex& at, const IndexRows& p, int64_t begin,
                int64_t end, int64_t low, int64_t high, Op op) {
  const int64_t step = p.single ? 0 : 1;
  const bool all = low == 0 && high == p.size;
  for (int64_t row = begin; row < end;) {
    const int64_t b = row % p.count;
    const int64_t n = smaller(p.count - b, end - row);
    T* base = tensor + locate(p.before, row / p.count);
    const T* from = dense + row * p.after.numel * step;
    if (p.after.numel == 1 && all) {
      const auto place = [=](int64_t j) { return base + at.offset(b + j); };
      with_fetches(n, sizeof(T), place, [=](int64_t j) { op(*place(j), from[j * step]); });
    } else {
      for (int64_t j = 0; j < n; ++j) {
        const int64_t i = at.wrapped(b + j);
        if (i < low || i >= high) continue;
        write_row(p.after, base + i * at.scale, from + j * p.after.numel * step, step, op);
      }
    }
    row += n;
  }
}

template <class T, class Op>
void write_all(void* const* data, const IndexRows& p, Op op) {
  T* tensor = static_cast<T*>(data[0]);
  const T* dense = static_cast<const T*>(data[1]);
  const RowIndex at{static_cast<const int64_t*>(data[2]), p.size, p.scale};
  const int64_t rows = p.before.numel * p.count;
  const int64_t work = rows * p.after.numel;
  if (p.distinct) {
    core::parallel_for(0, rows, grain(p.after.numel), [&](int64_t begin, int64_t end) {
      write_rows(tensor, dense, at, p, begin, end, 0, p.size, op);
    });
  } else if (p.before.numel >= 8) {
    core::parallel_for(
        0, p.before.numel, grain(p.count * p.after.numel), [&](int64_t begin, int64_t end) {
          write_rows(tensor, dense, at, p, begin * p.count, end * p.count, 0, p.size, op);
        });
  } else if (p.after.numel >= 16 && work > kGrain) {
    // Every thread reads all indices and serves the places of its own range.
    const int64_t share = p.size / (work / kGrain) + 1;
    core::parallel_for(0, p.size, share, [&](int64_t low, int64_t high) {
      write_rows(tensor, dense, at, p, 0, rows, low, high, op);
    });
  } else {
    write_rows(tensor, dense, at, p, 0, rows, 0, p.size, op);
  }
}

// --- along one dimension -------------------------------------------------------------------------

/// Position in a plan of up to three operands. (PlanWalker belongs to the objects of no level.)
struct Walker {
  const Plan& plan;
  int64_t index[kMaxDims];
  int64_t offset[3] = {0, 0, 0};

  [[gnu::always_inline]] Walker(const Plan& plan_, int64_t linear) : plan(plan_) {
    for (int d = plan.ndim - 1; d >= 0; --d) {
      index[d] = linear % plan.sizes[d];
      linear /= plan.sizes[d];
      for (int k = 0; k < plan.operands; ++k) offset[k] += index[d] * plan.strides[k][d];
    }
  }
  [[gnu::always_inline]] int64_t row_left() const {
    return plan.ndim == 0 ? 1 : plan.sizes[plan.ndim - 1] - index[plan.ndim - 1];
  }
  [[gnu::always_inline]] void advance(int64_t count) {
    int d = plan.ndim - 1;
    if (d < 0) return;
    index[d] += count;
    for (int k = 0; k < plan.operands; ++k) offset[k] += count * plan.strides[k][d];
    while (d > 0 && index[d] == plan.sizes[d]) {
      for (int k = 0; k < plan.operands; ++k)
        offset[k] += plan.strides[k][d - 1] - index[d] * plan.strides[k][d];
      index[d] = 0;
      ++index[--d];
    }
  }
};

/// Calls f(dense element, tensor element) for lanes [begin, end) and entries [first, last) of each;
/// the entries of a lane in order.
template <class T, class F>
[[gnu::always_inline]] inline void along(T* dense, const int64_t* index, T* tensor,
                                         const IndexAlong& p, int64_t begin, int64_t end,
                                         int64_t first, int64_t last, F f) {
  const int inner = p.lanes.ndim - 1;
  const int64_t step[3] = {inner < 0 ? 0 : p.lanes.strides[0][inner],
                           inner < 0 ? 0 : p.lanes.strides[1][inner],
                           inner < 0 ? 0 : p.lanes.strides[2][inner]};
  const bool lanes_inside = inner >= 0 && step[1] < p.index_stride;
  Walker walker(p.lanes, begin);
  for (int64_t lane = begin; lane < end;) {
    const int64_t m = smaller(walker.row_left(), end - lane);
    T* d = dense + walker.offset[0];
    const int64_t* x = index + walker.offset[1];
    T* t = tensor + walker.offset[2];
    if (lanes_inside) {
      for (int64_t n = first; n < last; ++n) {
        T* dn = d + n * p.dense_stride;
        const int64_t* xn = x + n * p.index_stride;
        for (int64_t j = 0; j < m; ++j)
          f(dn[j * step[0]], t[j * step[2] + xn[j * step[1]] * p.tensor_stride]);
      }
    } else {
      for (int64_t j = 0; j < m; ++j) {
        const int64_t* xj = x + j * step[1];
        const auto place = [=](int64_t n) {
          return t + j * step[2] + xj[(first + n) * p.index_stride] * p.tensor_stride;
        };
        with_fetches(last - first, sizeof(T), place, [=](int64_t n) {
          f(d[j * step[0] + (first + n) * p.dense_stride], *place(n));
        });
      }
    }
    walker.advance(m);
    lane += m;
  }
}

template <class T, class F>
[[gnu::always_inline]] inline void along_lanes(T* dense, const void* index, T* tensor,
                                               const IndexAlong& p, F f) {
  core::parallel_for(0, p.lanes.numel, grain(p.count), [&](int64_t begin, int64_t end) {
    along(dense, static_cast<const int64_t*>(index), tensor, p, begin, end, 0, p.count, f);
  });
}

// --- masks ---------------------------------------------------------------------------------------

template <class T>
void fill_masked(void* const* data, const Plan& plan, int64_t begin, int64_t end) {
  const T value = *static_cast<const T*>(data[3]);
  const int inner = plan.ndim - 1;
  const int64_t so = inner < 0 ? 0 : plan.strides[0][inner];
  const int64_t si = inner < 0 ? 0 : plan.strides[1][inner];
  const int64_t sm = inner < 0 ? 0 : plan.strides[2][inner];
  Walker walker(plan, begin);
  for (int64_t at = begin; at < end;) {
    const int64_t n = smaller(walker.row_left(), end - at);
    T* to = static_cast<T*>(data[0]) + walker.offset[0];
    const T* from = static_cast<const T*>(data[1]) + walker.offset[1];
    const uint8_t* mask = static_cast<const uint8_t*>(data[2]) + walker.offset[2];
    if (so == 1 && si == 1 && sm == 1) {
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) to[i] = mask[i] ? value : from[i];
    } else {
      for (int64_t i = 0; i < n; ++i) to[i * so] = mask[i * sm] ? value : from[i * si];
    }
    walker.advance(n);
    at += n;
  }
}

/// Calls f(x) with a test that tells elements of the dtype from zero.
template <class F>
[[gnu::always_inline]] inline void by_test(DType dtype, F f) {
  switch (dtype) {
    case DType::Float16:
    case DType::BFloat16:
      return f(uint16_t(), [](uint16_t x) { return (x & 0x7fff) != 0; });
    case DType::Float32:
      return f(float(), [](float x) { return x != 0.0f; });
    case DType::Float64:
      return f(double(), [](double x) { return x != 0.0; });
    default:
      by_size(dtype, [&](auto zero) { f(zero, [](decltype(zero) x) { return x != 0; }); });
  }
}

template <class T, class Test>
int64_t count_nonzero(const T* x, int64_t n, Test test) {
  int64_t count = 0;
#pragma omp simd reduction(+ : count)
  for (int64_t i = 0; i < n; ++i) count += test(x[i]) ? 1 : 0;
  return count;
}

/// Writes the positions of nonzero elements of x[begin, end) to `to`.
template <class T, class Test>
void list_nonzero(const T* x, int64_t begin, int64_t end, int64_t* to, Test test) {
  constexpr int64_t kBlock = 256;
  int64_t block[kBlock];
  for (int64_t at = begin; at < end; at += kBlock) {
    const int64_t n = smaller(kBlock, end - at);
    int64_t found = 0;
    for (int64_t i = 0; i < n; ++i) {
      block[found] = at + i;
      found += test(x[at + i]) ? 1 : 0;
    }
    __builtin_memcpy(to, block, static_cast<size_t>(found) * sizeof(int64_t));
    to += found;
  }
}

}  // namespace

void copy_rows(void* const* data, const CopyRows& p) {
  char* to = static_cast<char*>(data[0]);
  const char* from = static_cast<const char*>(data[1]);
  if (p.rows == 1) {
    core::parallel_for(0, p.bytes, kGrainBytes, [&](int64_t begin, int64_t end) {
      __builtin_memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
    });
    return;
  }
  core::parallel_for(0, p.rows, kGrainBytes / (p.bytes + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      __builtin_memcpy(to + i * p.to_stride, from + i * p.from_stride,
                       static_cast<size_t>(p.bytes));
  });
}

namespace {

/// Short blocks by the widest moves that fit, the last one overlapping: a call would cost more.
template <int64_t kStep>
[[gnu::always_inline]] inline void copy_steps(char* to, const char* from, int64_t bytes) {
  for (int64_t at = 0; at + kStep <= bytes; at += kStep)
    __builtin_memcpy(to + at, from + at, kStep);
  __builtin_memcpy(to + bytes - kStep, from + bytes - kStep, kStep);
}
[[gnu::always_inline]] inline void copy_block(char* to, const char* from, int64_t bytes) {
  if (bytes > 1024)
    __builtin_memcpy(to, from, static_cast<size_t>(bytes));
  else if (bytes >= 64)
    copy_steps<64>(to, from, bytes);
  else if (bytes >= 16)
    copy_steps<16>(to, from, bytes);
  else if (bytes >= 4)
    copy_steps<4>(to, from, bytes);
  else
    for (int64_t i = 0; i < bytes; ++i) to[i] = from[i];
}

}  // namespace

void join_rows(void* const* data, const JoinRows& p) {
  core::parallel_for(0, p.rows, kGrainBytes / (p.row_bytes + 1) + 1,
                     [&](int64_t begin, int64_t end) {
                       for (int64_t i = begin; i < end; ++i) {
                         char* row = static_cast<char*>(data[0]) + i * p.row_bytes;
                         for (int k = 0; k < p.count; ++k) {
                           const char* from = static_cast<const char*>(data[k + 1]);
                           copy_block(row + p.start[k], from + i * p.bytes[k], p.bytes[k]);
                         }
                       }
                     });
}

void check_indices(void* const* data, const CheckIndices& p) {
  const int64_t* x = static_cast<const int64_t*>(data[1]);
  int64_t bad = 0;
#pragma omp simd reduction(+ : bad)
  for (int64_t i = 0; i < p.count; ++i) bad += (x[i] < p.low) | (x[i] > p.high);
  *static_cast<int64_t*>(data[0]) = bad;
}

void index_offsets(void* const* data, const IndexOffsets& p) {
  int64_t* to = static_cast<int64_t*>(data[0]);
  const int64_t* index = static_cast<const int64_t*>(data[1]);
  core::parallel_for(0, p.count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t i = index[b * p.step];
      const int64_t wrapped = i < 0 ? i + p.dims.numel : i;
      const int64_t offset =
          p.dims.ndim == 1 ? wrapped * p.dims.strides[0] : locate(p.dims, wrapped);
      to[b] = p.first ? offset : to[b] + offset;
    }
  });
}

void unravel(void* const* data, const Unravel& p) {
  int64_t* to = static_cast<int64_t*>(data[0]);
  const int64_t* positions = static_cast<const int64_t*>(data[1]);
  const int inner = p.ndim - 1;
  if (inner < 0) return;
  const int64_t n = p.sizes[inner];
  core::parallel_for(0, p.count, kGrain / 4, [&](int64_t begin, int64_t end) {
    // Positions rise: the outer coordinates change only with the row.
    int64_t row_begin = 0, row_end = 0;
    int64_t outer[kMaxDims] = {};
    for (int64_t i = begin; i < end; ++i) {
      if (positions[i] >= row_end) {
        int64_t row = positions[i] / n;
        row_begin = row * n;
        row_end = row_begin + n;
        for (int d = inner - 1; d >= 0; --d) {
          outer[d] = row % p.sizes[d];
          row /= p.sizes[d];
        }
      }
      for (int d = 0; d < inner; ++d) to[i * p.ndim + d] = outer[d];
      to[i * p.ndim + inner] = positions[i] - row_begin;
    }
  });
}

void index_read(void* const* data, const IndexRows& p) {
  by_size(p.dtype, [&](auto zero) {
    using T = decltype(zero);
    const RowIndex at{static_cast<const int64_t*>(data[2]), p.size, p.scale};
    core::parallel_for(
        0, p.before.numel * p.count, grain(p.after.numel), [&](int64_t begin, int64_t end) {
          read_rows(static_cast<T*>(data[0]), static_cast<const T*>(data[1]), at, p, begin, end);
        });
  });
}

void index_write(void* const* data, const IndexRows& p) {
  by_size(p.dtype, [&](auto zero) { write_all<decltype(zero)>(data, p, Assign()); });
}

void index_accumulate(void* const* data, const IndexRows& p) {
  by_number(p.dtype, [&](auto zero) { write_all<decltype(zero)>(data, p, Add()); });
}

void along_read(void* const* data, const IndexAlong& p) {
  by_size(p.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* dense = static_cast<T*>(data[0]);
    T* tensor = static_cast<T*>(data[1]);
    const auto read = [](T& to, T& from) { to = from; };
    if (p.lanes.numel >= 8) {
      along_lanes(dense, data[2], tensor, p, read);
      return;
    }
    core::parallel_for(0, p.count, grain(p.lanes.numel), [&](int64_t first, int64_t last) {
      along(dense, static_cast<const int64_t*>(data[2]), tensor, p, 0, p.lanes.numel, first, last,
            read);
    });
  });
}

namespace {

template <class T, class Op>
void along_store(void* const* data, const IndexAlong& p, Op op) {
  T* tensor = static_cast<T*>(data[0]);
  T* dense = static_cast<T*>(data[1]);
  along_lanes(dense, data[2], tensor, p, [op](T& from, T& to) { op(to, from); });
}

}  // namespace

void along_write(void* const* data, const IndexAlong& p) {
  by_size(p.dtype, [&](auto zero) { along_store<decltype(zero)>(data, p, Assign()); });
}

void along_accumulate(void* const* data, const IndexAlong& p) {
  by_number(p.dtype, [&](auto zero) { along_store<decltype(zero)>(data, p, Add()); });
}

void along_reduce(void* const* data, const ReduceAlong& p) {
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    switch (p.op) {
      case JoinOp::Prod:
        return along_store<T>(data, p.along, Multiply());
      case JoinOp::Max:
        return along_store<T>(data, p.along, Choose<true>());
      default:
        return along_store<T>(data, p.along, Choose<false>());
    }
  };
  switch (p.along.dtype) {
    case DType::Float32:
      return run(float());
    case DType::Float64:
      return run(double());
    case DType::Int32:
      return run(int32_t());
    default:
      return run(int64_t());
  }
}

void masked_fill(void* const* data, const MaskedFill& p) {
  by_size(p.dtype, [&](auto zero) {
    core::parallel_for(0, p.plan.numel, kGrain, [&](int64_t begin, int64_t end) {
      fill_masked<decltype(zero)>(data, p.plan, begin, end);
    });
  });
}

void find_nonzero(void* const* data, const FindNonzero& p) {
  int64_t* to = static_cast<int64_t*>(data[0]);
  int64_t* starts = static_cast<int64_t*>(data[2]);
  const int64_t chunks = (p.count + kNonzeroChunk - 1) / kNonzeroChunk;
  by_test(p.dtype, [&](auto zero, auto test) {
    const auto* x = static_cast<const decltype(zero)*>(data[1]);
    core::parallel_for(0, chunks, 4, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        const int64_t first = c * kNonzeroChunk;
        const int64_t last = smaller(p.count, first + kNonzeroChunk);
        if (to)
          list_nonzero(x, first, last, to + starts[c], test);
        else
          starts[c] = count_nonzero(x + first, last - first, test);
      }
    });
  });
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
