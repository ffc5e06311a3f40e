// The serial work of attention on one batch at a time. See Note [Attention in blocks].
#include "kernels/attention.h"

#include "core/parallel.h"
#include "kernels/isa/gemm.h"
#include "kernels/isa/philox.h"
#include "kernels/isa/softmax_blocks.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/// A matrix in memory by its strides.
template <class T>
struct Matrix {
  T* data;
  int64_t row, column = 1;
  Matrix transposed() const { return {data, column, row}; }
};

/// Where one block of queries meets one block of keys.
struct Block {
  int64_t batch;
  int64_t query, rows;  // first, and how many
  int64_t key, columns;
};

template <class T>
struct Attention {
  const AttentionPart& p;
  void* const* data;
  const int64_t* first;
  T *scores, *other, *factors, *stats;
  void* gemm_scratch;

  Attention(void* const* operands, const AttentionPart& part)
      : p(part), data(operands), first(static_cast<const int64_t*>(operands[kAttentionFirst])) {
    const int64_t tile = p.query_block * p.pitch;
    scores = static_cast<T*>(operands[kAttentionScratch]);
    other = scores + tile;
    factors = other + tile;
    stats = factors + tile;
    const auto bytes = static_cast<size_t>(p.scratch) * sizeof(T);
    gemm_scratch = static_cast<char*>(operands[kAttentionScratch]) + (bytes + 63) / 64 * 64;
  }

  /// Rows of a place from `row` on.
  Matrix<T> matrix(AttentionPlace place, int64_t batch, int64_t row) const {
    T* base = static_cast<T*>(data[place]) + first[batch * kAttentionPlaces + place];
    return {base + row * p.row[place], p.row[place]};
  }

  /// c = alpha * a b + beta * c, for c of m x n and a of m x k.
  [[gnu::noinline]] void multiply(Matrix<T> c, Matrix<T> a, Matrix<T> b, int64_t m, int64_t n,
                                  int64_t k, double alpha, double beta) const {
    if (m == 0 || n == 0) return;
    GemmArgs args;
    args.dtype = p.is_double ? DType::Float64 : DType::Float32;
    args.m = m;
    args.n = n;
    args.k = k;
    args.a_row = a.row;
    args.a_col = a.column;
    args.b_row = b.row;
    args.b_col = b.column;
    args.c_row = c.row;
    args.alpha = alpha;
    args.beta = beta;
    if (m == 1 && k > 0) args.path = GemmPath::kRowVector;  // b has adjacent rows or columns
    void* const pointers[] = {c.data, a.data, b.data, nullptr, gemm_scratch};
    gemm(pointers, args);
  }

  /// Keys that row r of a block may see, from the block's first on.
  int64_t seen(const Block& block, int64_t r) const {
    if (!p.causal) return block.columns;
    const int64_t count = block.query + r + 1 - block.key;
    return count < 0 ? 0 : least(count, block.columns);
  }

  [[gnu::noinline]] void mask_row(const Block& block, int64_t r, T* line, int64_t n) const {
    const int64_t at = first[block.batch * kAttentionPlaces + kAttentionMask] +
                       (block.query + r) * p.row[kAttentionMask] + block.key * p.mask_column;
    if (p.mask == AttentionMask::Bool) {
      const auto* mask = static_cast<const uint8_t*>(data[kAttentionMask]) + at;
      if (p.mask_column == 0) {
        for (int64_t j = 0; *mask == 0 && j < n; ++j) line[j] = -kInfinity<T>;
        return;
      }
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) line[j] = mask[j] != 0 ? line[j] : -kInfinity<T>;
    } else {
      const auto* mask = static_cast<const T*>(data[kAttentionMask]) + at;
      if (p.mask_column == 0) {
        const T all = *mask;
        for (int64_t j = 0; j < n; ++j) line[j] += all;
        return;
      }
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) line[j] += mask[j];
    }
  }

  Matrix<T> tile(T* where) const { return {where, p.pitch}; }

  [[gnu::noinline]] void find_scores(const Block& block) const {
    multiply(tile(scores), matrix(kAttentionQuery, block.batch, block.query),
             matrix(kAttentionKey, block.batch, block.key).transposed(), block.rows, block.columns,
             p.width, p.scale, 0);
    if (p.mask == AttentionMask::None) return;
    for (int64_t r = 0; r < block.rows; ++r)
      mask_row(block, r, scores + r * p.pitch, seen(block, r));
  }

  /// 0 or 1 / (1 - p) for each weight of the block, those too that a causal mask hides.
  [[gnu::noinline]] void find_factors(const Block& block, T* to, int64_t to_row) const {
    const int64_t pair =
        (block.batch * p.query_blocks + block.query / p.query_block) * p.key_blocks +
        block.key / p.key_block;
    uint64_t counter = p.counter + static_cast<uint64_t>(pair * p.block_counters);
    const auto limit = static_cast<float>(p.dropout);
    const T kept = p.dropout < 1 ? static_cast<T>(1 / (1 - p.dropout)) : T(0);
    const int64_t columns = least(p.key_block, p.keys - block.key);
    uint32_t words[kPhiloxWords];
    int64_t used = kPhiloxWords;
    for (int64_t r = 0; r < block.rows; ++r) {
      for (int64_t j = 0; j < columns;) {
        if (used == kPhiloxWords) {
          philox_chunk(p.seed, counter, words);
          counter += kPhiloxCounters;
          used = 0;
        }
        const int64_t n = least(columns - j, kPhiloxWords - used);
        const uint32_t* from = words + used;
        T* line = to + r * to_row + j;
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) line[i] = unit(from[i]) < limit ? T(0) : kept;
        j += n;
        used += n;
      }
    }
  }
  [[gnu::noinline]] void drop(const Block& block, T* values) const {
    for (int64_t r = 0; r < block.rows; ++r) {
      T* line = values + r * p.pitch;
      const T* factor = factors + r * p.pitch;
#pragma omp simd
      for (int64_t j = 0; j < block.columns; ++j) line[j] *= factor[j];
    }
  }

  int64_t visible_keys(const Block& block) const {
    return p.causal ? least(p.keys, block.query + block.rows) : p.keys;
  }

  /// Fills up to a whole number of lanes with what has no weight; returns the length with it. Rows
  /// of tiles have room for that.
  static int64_t fill_lanes(T* line, int64_t n) {
    const int64_t end = (n + kLanes - 1) / kLanes * kLanes;
    for (int64_t j = n; j < end; ++j) line[j] = -kInfinity<T>;
    return end;
  }

  // --- forward -----------------------------------------------------------------------------------

  /// Makes weights of the scores, up to the sum of the row, and scales down what the output and the
  /// sum hold already where a greater maximum came.
  [[gnu::noinline]] void pass_row(const Block& block, int64_t r, T& largest, T& sum, T* out) const {
    T* line = scores + r * p.pitch;
    const int64_t n = seen(block, r);
    const T before = largest;
    T most = before;
#pragma omp simd reduction(max : most)
    for (int64_t j = 0; j < n; ++j) most = most < line[j] ? line[j] : most;
    largest = most;
    const T shift = largest == -kInfinity<T> ? T(0) : largest;
    const int64_t filled = fill_lanes(line, n);
    const T added = exp_line<true>(line, shift, line, filled);
    for (int64_t j = filled; j < block.columns; ++j) line[j] = T(0);
    if (block.key == 0) {
      sum = added;
      return;
    }
    const T factor = exp_negative(before - shift);
    sum = fma(sum, factor, added);
#pragma omp simd
    for (int64_t j = 0; j < p.value_width; ++j) out[j] *= factor;
  }

  void forward(int64_t batch, int64_t query) const {
    Block block{batch, query, least(p.query_block, p.queries - query), 0, 0};
    const Matrix<T> out = matrix(kAttentionOut, batch, query);
    T *largest = stats, *sum = stats + block.rows;
    for (int64_t r = 0; r < block.rows; ++r) {
      largest[r] = -kInfinity<T>;
      sum[r] = T(0);
    }
    const int64_t keys = visible_keys(block);
    for (; block.key < keys; block.key += p.key_block) {
      block.columns = least(p.key_block, keys - block.key);
      find_scores(block);
      for (int64_t r = 0; r < block.rows; ++r)
        pass_row(block, r, largest[r], sum[r], out.data + r * out.row);
      if (p.dropout > 0) {
        find_factors(block, factors, p.pitch);
        drop(block, scores);
      }
      multiply(out, tile(scores), matrix(kAttentionValue, batch, block.key), block.rows,
               p.value_width, block.columns, 1, block.key == 0 ? 0 : 1);
    }
    T* logs = static_cast<T*>(data[kAttentionLogSums]) + batch * p.queries + query;
    for (int64_t r = 0; r < block.rows; ++r) {
      T* line = out.data + r * out.row;
      // A row without keys gives 0, and no weight again in the backward pass.
      const bool none = sum[r] == T(0);
      logs[r] = none ? kInfinity<T> : largest[r] + log(sum[r]);
      const T factor = T(1) / sum[r];
#pragma omp simd
      for (int64_t j = 0; j < p.value_width; ++j) line[j] = none ? T(0) : line[j] * factor;
    }
  }

  // --- backward ----------------------------------------------------------------------------------

  /// scores: the weights; other: their gradients become those of the scores.
  [[gnu::noinline]] void pull_row(const Block& block, int64_t r, T log_sum, T along) const {
    T* weight = scores + r * p.pitch;
    T* gradient = other + r * p.pitch;
    const int64_t n = fill_lanes(weight, seen(block, r));
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
      const bool masked = weight[j] == -kInfinity<T>;
      const T w = exp_negative(weight[j] - log_sum);
      weight[j] = w;
      gradient[j] = masked ? T(0) : w * (gradient[j] - along);
    }
    for (int64_t j = n; j < block.columns; ++j) weight[j] = gradient[j] = T(0);
  }

  void backward_block(const Block& block, const T* logs, const T* along) const {
    const Matrix<T> grad = matrix(kAttentionGrad, block.batch, block.query);
    find_scores(block);
    multiply(tile(other), grad, matrix(kAttentionValue, block.batch, block.key).transposed(),
             block.rows, block.columns, p.value_width, 1, 0);
    if (p.dropout > 0) {
      find_factors(block, factors, p.pitch);
      drop(block, other);
    }
    for (int64_t r = 0; r < block.rows; ++r) pull_row(block, r, logs[r], along[r]);
    if (p.dropout > 0) drop(block, scores);
    if (data[kAttentionValueGrad] != nullptr) {
      multiply(matrix(kAttentionValueGrad, block.batch, block.key), tile(scores).transposed(), grad,
               block.columns, p.value_width, block.rows, 1, 1);
    }
    if (data[kAttentionKeyGrad] != nullptr) {
      multiply(matrix(kAttentionKeyGrad, block.batch, block.key), tile(other).transposed(),
               matrix(kAttentionQuery, block.batch, block.query), block.columns, p.width,
               block.rows, p.scale, 1);
    }
    if (data[kAttentionQueryGrad] != nullptr) {
      multiply(matrix(kAttentionQueryGrad, block.batch, block.query), tile(other),
               matrix(kAttentionKey, block.batch, block.key), block.rows, p.width, block.columns,
               p.scale, block.key == 0 ? 0 : 1);
    }
  }

  [[gnu::noinline]] void clear(AttentionPlace place, int64_t batch, int64_t width) const {
    if (data[place] == nullptr) return;
    const Matrix<T> target = matrix(place, batch, 0);
    for (int64_t r = 0; r < p.keys; ++r) {
      T* line = target.data + r * target.row;
      for (int64_t j = 0; j < width; ++j) line[j] = T(0);
    }
  }

  /// All batches of queries that look at these keys.
  void backward(int64_t key_batch) const {
    const int64_t from = key_batch * p.groups;
    clear(kAttentionKeyGrad, from, p.width);
    clear(kAttentionValueGrad, from, p.value_width);
    for (int64_t batch = from; batch < from + p.groups; ++batch) {
      const T* logs = static_cast<const T*>(data[kAttentionLogSums]) + batch * p.queries;
      for (int64_t query = 0; query < p.queries; query += p.query_block) {
        Block block{batch, query, least(p.query_block, p.queries - query), 0, 0};
        const Matrix<T> out = matrix(kAttentionOut, batch, query);
        const Matrix<T> grad = matrix(kAttentionGrad, batch, query);
        for (int64_t r = 0; r < block.rows; ++r) {
          const T *y = out.data + r * out.row, *g = grad.data + r * grad.row;
          stats[r] = fold_values<Sum<T>>(
              p.value_width, [=](int64_t j) __attribute__((always_inline)) { return y[j] * g[j]; });
        }
        const int64_t keys = visible_keys(block);
        for (; block.key < keys; block.key += p.key_block) {
          block.columns = least(p.key_block, keys - block.key);
          backward_block(block, logs + query, stats);
        }
      }
    }
  }
};

template <class T>
void run_forward(void* const* data, const AttentionPart& p) {
  const Attention<T> work(data, p);
  const int64_t blocks = p.query_blocks;
  for (int64_t i = p.begin; i < p.end; ++i) work.forward(i / blocks, i % blocks * p.query_block);
}

template <class T>
void run_backward(void* const* data, const AttentionPart& p) {
  const Attention<T> work(data, p);
  for (int64_t i = p.begin; i < p.end; ++i) work.backward(i);
}

template <class T>
void run_dropout(T* out, const AttentionPart& p, void* const* data) {
  const Attention<T> work(data, p);
  for (int64_t batch = 0; batch < p.batches; ++batch) {
    for (int64_t query = 0; query < p.queries; query += p.query_block) {
      Block block{batch, query, least(p.query_block, p.queries - query), 0, 0};
      for (; block.key < p.keys; block.key += p.key_block)
        work.find_factors(block, out + (batch * p.queries + query) * p.keys + block.key, p.keys);
    }
  }
}

}  // namespace

void attention_forward_part(void* const* data, const AttentionPart& p) {
  if (p.is_double)
    run_forward<double>(data, p);
  else
    run_forward<float>(data, p);
}

void attention_backward_part(void* const* data, const AttentionPart& p) {
  if (p.is_double)
    run_backward<double>(data, p);
  else
    run_backward<float>(data, p);
}

void attention_dropout(void* const* data, const AttentionParameters& p) {
  AttentionPart all{p};
  void* operands[kAttentionOperands] = {};
  if (p.is_double)
    run_dropout(static_cast<double*>(data[0]), all, operands);
  else
    run_dropout(static_cast<float*>(data[0]), all, operands);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
