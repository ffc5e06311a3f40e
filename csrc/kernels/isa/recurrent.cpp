// The steps of a recurrent layer: one product with the recurrent weight and one pass over the gates
// a step, forward and backward.
//
// Note [Rows of a recurrence]: the samples of a batch never meet, so each thread takes some of them
// through all steps, and no step waits for another thread. What a sample's numbers are depends
// neither on its neighbours nor on the cut. The states live in one array of a row a sample, which
// a sample leaves alone once its sequence has ended (or has not begun, backwards): what stands
// there at the end is the final state.
// Each thread reads the whole weight in every step. Threads that take columns for all samples read
// their share alone, but meet once a step: measured on two threads with a weight as large as the
// second-level cache, the products ran 5 to 10 % slower forward and as fast backward.
#include "kernels/recurrent.h"

#include "core/parallel.h"
#include "kernels/isa/gemm.h"
#include "kernels/isa/vector_math.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kSerialWork = 300'000;  // multiply-adds

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

template <class T>
[[gnu::noinline]] void sigmoid_line(T* x, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) x[j] = sigmoid(x[j]);
}
template <class T>
[[gnu::noinline]] void tanh_line(T* x, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) x[j] = tanh(x[j]);
}
template <class T>
[[gnu::noinline]] void add_line(T* to, const T* x, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) to[j] += x[j];
}

/// Asks for a row that is needed soon: rows are too short for the processor to foresee the next.
template <class T>
void fetch(const T* x, int64_t n) {
  for (int64_t j = 0; j < n; j += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(x + j);
}

/// The places of one sample at one step. Backward, `gates` are those of the forward pass and dg
/// their gradients.
template <class T>
struct Row {
  T *gates, *h, *c, *output, *cells, *product;
  T *dg, *dg_product, *dh, *dc;
  const T *h_before, *c_before;
};

// --- one step of a sample ------------------------------------------------------------------------

template <class T>
void step(RecurrentCell cell, const Row<T>& r, int64_t n) {
  if (cell == RecurrentCell::Tanh) {
    tanh_line(r.gates, n);
  } else {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) r.gates[j] = r.gates[j] < T(0) ? T(0) : r.gates[j];
  }
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) r.h[j] = r.gates[j];
}

template <class T>
void step_lstm(const Row<T>& r, int64_t n) {
  T *i = r.gates, *f = i + n, *g = f + n, *o = g + n, *h = r.h, *c = r.c, *output = r.output;
  sigmoid_line(i, 2 * n);
  tanh_line(g, n);
  sigmoid_line(o, n);
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    c[j] = fma(f[j], c[j], i[j] * g[j]);
    h[j] = o[j] * tanh(c[j]);
    output[j] = h[j];
  }
  if (r.cells == nullptr) return;
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) r.cells[j] = c[j];
}

template <class T>
void step_gru(const Row<T>& row, int64_t n) {
  T *r = row.gates, *z = r + n, *m = z + n, *h = row.h, *output = row.output;
  const T* product = row.product + 2 * n;
  add_line(r, row.product, 2 * n);
  sigmoid_line(r, 2 * n);
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    m[j] = tanh(fma(r[j], product[j], m[j]));
    h[j] = fma(z[j], h[j] - m[j], m[j]);
    output[j] = h[j];
  }
  if (row.cells == nullptr) return;
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) row.cells[j] = product[j];
}

// --- its derivative: from dh and dc to the gradients of the gates
// ---------------------------------

template <class T>
void pull(RecurrentCell cell, const Row<T>& r, int64_t n) {
  const T *dh = r.dh, *y = r.output;
  T* dg = r.dg;
  if (cell == RecurrentCell::Tanh) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) dg[j] = dh[j] * fma(-y[j], y[j], T(1));
  } else {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) dg[j] = y[j] <= T(0) ? T(0) : dh[j];
  }
}

template <class T>
void pull_lstm(const Row<T>& r, int64_t n) {
  const T *i = r.gates, *f = i + n, *g = f + n, *o = g + n;
  const T *c = r.cells, *c_before = r.c_before, *dh = r.dh;
  T *di = r.dg, *df = di + n, *dg = df + n, *d_o = dg + n, *dc = r.dc;
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    const T y = tanh(c[j]);
    const T d = fma(dh[j] * o[j], fma(-y, y, T(1)), dc[j]);
    di[j] = d * g[j] * (i[j] * (T(1) - i[j]));
    df[j] = d * c_before[j] * (f[j] * (T(1) - f[j]));
    dg[j] = d * i[j] * fma(-g[j], g[j], T(1));
    d_o[j] = dh[j] * y * (o[j] * (T(1) - o[j]));
    dc[j] = d * f[j];
  }
}

/// Leaves in dh the part of the state before that does not go through the product.
template <class T>
void pull_gru(const Row<T>& row, int64_t n) {
  const T *r = row.gates, *z = r + n, *m = z + n, *product = row.cells, *before = row.h_before;
  T *dr = row.dg, *dz = dr + n, *dm = dz + n, *dh = row.dh;
  T *pr = row.dg_product, *pz = pr + n, *pm = pz + n;
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    const T d = dh[j] * (T(1) - z[j]) * fma(-m[j], m[j], T(1));
    dr[j] = d * product[j] * (r[j] * (T(1) - r[j]));
    dz[j] = dh[j] * (before[j] - m[j]) * (z[j] * (T(1) - z[j]));
    dm[j] = d;
    pr[j] = dr[j];
    pz[j] = dz[j];
    pm[j] = d * r[j];
    dh[j] = dh[j] * z[j];
  }
}

// --- all steps -----------------------------------------------------------------------------------

/// The rows of each step.
struct Schedule {
  const RecurrentParameters& p;
  const int64_t* sizes;  // then the first rows; or null

  int64_t size(int64_t t) const { return sizes ? sizes[t] : p.batch; }
  int64_t first(int64_t t) const { return sizes ? sizes[p.steps + t] : t * p.batch; }
  /// Row of the same sample one step before in the order of computation; -1: the initial state.
  int64_t before(int64_t t, int64_t sample) const {
    const int64_t s = p.reverse ? t + 1 : t - 1;
    return s < 0 || s >= p.steps || sample >= size(s) ? -1 : first(s) + sample;
  }
};

template <class T>
GemmArgs product(const RecurrentParameters& p) {
  GemmArgs args;
  args.dtype = kIsFloat<T> ? DType::Float32 : DType::Float64;
  args.a_col = 1;
  // One sample is a product of a vector, for which nothing is packed.
  args.path = p.batch == 1 ? GemmPath::kRowVector : GemmPath::kTiles;
  args.b_packed = p.packed;
  return args;
}

template <class T>
struct Forward {
  const RecurrentParameters& p;
  Schedule schedule;
  T *gates, *h, *c, *output, *cells, *scratch;
  const T *weight, *bias;
  const T *x, *input_weight, *input_bias;

  void run(int64_t begin, int64_t end) const {
    const int64_t n = p.hidden, width = gate_count(p.cell) * n;
    const bool apart = p.cell == RecurrentCell::Gru;
    GemmArgs args = product<T>(p);
    args.n = args.c_row = width;
    args.k = args.a_row = args.b_col = n;
    args.b_row = 1;
    args.beta = apart ? 0 : 1;
    args.has_bias = bias != nullptr;
    for (int64_t s = 0; s < p.steps; ++s) {
      const int64_t t = p.reverse ? p.steps - 1 - s : s;
      const int64_t first = schedule.first(t), last = smaller(end, schedule.size(t));
      args.m = last - begin;
      if (args.m <= 0) continue;
      T* const here = gates_at(begin, first + begin);
      if (p.project) project(here, first + begin, args.m);
      T* to = apart ? scratch + begin * width : here;
      void* const data[] = {to, h + begin * n, const_cast<T*>(weight), const_cast<T*>(bias),
                            gemm_scratch()};
      gemm(data, args);
      for (int64_t i = begin; i < last; ++i) one(i, first + i);
    }
  }

  T* gates_at(int64_t sample, int64_t place) const {
    return gates + (p.keep ? place : sample) * gate_count(p.cell) * p.hidden;
  }

  /// The product of some rows of the input, while the caches hold what the step reads and writes.
  void project(T* to, int64_t first, int64_t rows) const {
    GemmArgs args = product<T>(p);
    args.b_packed = true;
    args.m = rows;
    args.n = args.c_row = gate_count(p.cell) * p.hidden;
    args.k = args.a_row = p.features;
    args.has_bias = input_bias != nullptr;
    void* const data[] = {to, const_cast<T*>(x + first * p.features), const_cast<T*>(input_weight),
                          const_cast<T*>(input_bias), gemm_scratch()};
    gemm(data, args);
  }

  void one(int64_t sample, int64_t place) const {
    const int64_t n = p.hidden, width = gate_count(p.cell) * n;
    Row<T> r = {};
    r.gates = gates_at(sample, place);
    r.h = h + sample * n;
    r.output = output + place * n;
    if (cells) r.cells = cells + place * n;
    if (p.cell == RecurrentCell::Lstm) {
      r.c = c + sample * n;
      step_lstm(r, n);
    } else if (p.cell == RecurrentCell::Gru) {
      r.product = scratch + sample * width;
      step_gru(r, n);
    } else {
      step(p.cell, r, n);
    }
  }
};

template <class T>
struct Backward {
  const RecurrentParameters& p;
  Schedule schedule;
  T *dg, *dg_product, *dh, *dc;
  const T* d_output;  // may be null
  T *gates, *cells, *output;
  const T *h_initial, *c_initial, *weight;

  void run(int64_t begin, int64_t end) const {
    const int64_t n = p.hidden, width = gate_count(p.cell) * n;
    const bool apart = p.cell == RecurrentCell::Gru;
    const bool has_gates = apart || p.cell == RecurrentCell::Lstm;
    GemmArgs args = product<T>(p);
    args.n = args.c_row = args.b_row = n;
    args.k = args.a_row = width;
    args.b_col = 1;
    args.beta = apart ? 1 : 0;
    for (int64_t s = p.steps - 1; s >= 0; --s) {
      const int64_t t = p.reverse ? p.steps - 1 - s : s;
      const int64_t first = schedule.first(t), last = smaller(end, schedule.size(t));
      args.m = last - begin;
      if (args.m <= 0) continue;
      for (int64_t i = begin; i < last; ++i) {
        if (i + 1 < last && has_gates) fetch(gates + (first + i + 1) * width, width);
        if (i + 1 < last) fetch(dg + (first + i + 1) * width, width);
        one(t, i, first + i);
      }
      T* from = (apart ? dg_product : dg) + (first + begin) * width;
      void* const data[] = {dh + begin * n, from, const_cast<T*>(weight), nullptr, gemm_scratch()};
      gemm(data, args);
    }
  }

  void one(int64_t t, int64_t sample, int64_t place) const {
    const int64_t n = p.hidden, width = gate_count(p.cell) * n;
    const int64_t before = schedule.before(t, sample);
    Row<T> r = {};
    r.dg = dg + place * width;
    r.dh = dh + sample * n;
    r.output = output + place * n;
    if (d_output) add_line(r.dh, d_output + place * n, n);
    if (p.cell == RecurrentCell::Lstm) {
      r.gates = gates + place * width;
      r.cells = cells + place * n;
      r.dc = dc + sample * n;
      r.c_before = before < 0 ? c_initial + sample * n : cells + before * n;
      pull_lstm(r, n);
    } else if (p.cell == RecurrentCell::Gru) {
      r.gates = gates + place * width;
      r.cells = cells + place * n;
      r.dg_product = dg_product + place * width;
      r.h_before = before < 0 ? h_initial + sample * n : output + before * n;
      pull_gru(r, n);
    } else {
      pull(p.cell, r, n);
    }
  }
};

template <class Work>
void run(const RecurrentParameters& p, const Work& work) {
  const int64_t each = p.steps * gate_count(p.cell) * p.hidden * p.hidden;
  const int64_t grain = each <= 0 ? p.batch : kSerialWork / each + 1;
  core::parallel_for(0, p.batch, grain, [&](int64_t begin, int64_t end) { work.run(begin, end); });
}

template <class T>
void run_forward(void* const* data, const RecurrentParameters& p) {
  const auto at = [&](int i) { return static_cast<T*>(data[i]); };
  const Schedule schedule{p, static_cast<const int64_t*>(data[8])};
  run(p, Forward<T>{p, schedule, at(0), at(1), at(2), at(3), at(4), at(7), at(5), at(6), at(9),
                    at(10), at(11)});
}

template <class T>
void run_backward(void* const* data, const RecurrentParameters& p) {
  const auto at = [&](int i) { return static_cast<T*>(data[i]); };
  const Schedule schedule{p, static_cast<const int64_t*>(data[11])};
  run(p, Backward<T>{p, schedule, at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8),
                     at(9), at(10)});
}

}  // namespace

void recurrent_forward(void* const* data, const RecurrentParameters& p) {
  if (p.is_double)
    run_forward<double>(data, p);
  else
    run_forward<float>(data, p);
}

void recurrent_backward(void* const* data, const RecurrentParameters& p) {
  if (p.is_double)
    run_backward<double>(data, p);
  else
    run_backward<float>(data, p);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
