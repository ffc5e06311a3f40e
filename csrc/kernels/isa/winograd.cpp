// See Note [Products of tiles]. Channels lie side by side in the vectors, so that transforms are
// sums of vectors. Compiled, like gemm.cpp, with Note [Fused by the compiler]; transforms multiply
// by halves alone, which is exact either way.
#include "kernels/winograd.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kRows = 8;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kRows = 4;
#else
constexpr int kVectorBytes = 16, kRows = 4;
#endif
constexpr int64_t kW = kVectorBytes / static_cast<int>(sizeof(float));
constexpr int64_t kPanel = 2 * kW;
constexpr int64_t kPlaces = kWinogradPlaces;
constexpr int64_t kLanes = kWinogradChannels;
typedef float V __attribute__((vector_size(kVectorBytes), aligned(alignof(float)), may_alias));

static_assert(kWinogradRows % kRows == 0 && kLanes % kW == 0);

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline V load(const float* from) { return *reinterpret_cast<const V*>(from); }
inline void store(float* to, V value) { *reinterpret_cast<V*>(to) = value; }
inline bool is_zero(V value) {
  float lanes[kW], sum = 0;
  store(lanes, value);
  for (int64_t i = 0; i < kW; ++i) sum += lanes[i];
  return sum == 0;
}

// --- the transforms in one direction -------------------------------------------------------------

[[gnu::always_inline]] inline void spread_input(const V (&d)[4], V (&v)[4]) {
  v[0] = d[0] - d[2];
  v[1] = d[1] + d[2];
  v[2] = d[2] - d[1];
  v[3] = d[1] - d[3];
}
[[gnu::always_inline]] inline void join_output(const V (&m)[4], V (&y)[2]) {
  y[0] = m[0] + m[1] + m[2];
  y[1] = m[1] - m[2] - m[3];
}
/// The transpose of join_output.
[[gnu::always_inline]] inline void spread_gradient(const V (&g)[2], V (&w)[4]) {
  w[0] = g[0];
  w[1] = g[0] + g[1];
  w[2] = g[0] - g[1];
  w[3] = -g[1];
}
[[gnu::always_inline]] inline void spread_weight(const V (&g)[3], V (&u)[4]) {
  u[0] = g[0];
  u[1] = (g[0] + g[1] + g[2]) * 0.5F;
  u[2] = (g[0] - g[1] + g[2]) * 0.5F;
  u[3] = g[2];
}
/// The transpose of spread_weight.
[[gnu::always_inline]] inline void join_weight(const V (&u)[4], V (&g)[3]) {
  const V sum = (u[1] + u[2]) * 0.5F;
  g[0] = u[0] + sum;
  g[1] = (u[1] - u[2]) * 0.5F;
  g[2] = sum + u[3];
}

// --- tiles ---------------------------------------------------------------------------------------

/// Walks over tiles: which sample, and where its output begins.
struct Place {
  const WinogradArgs& args;
  int64_t sample, y, x;

  Place(const WinogradArgs& a, int64_t tile) : args(a) {
    const int64_t across = (a.out[1] + 1) / 2, rest = tile % a.tiles_of_sample();
    sample = tile / a.tiles_of_sample();
    y = rest / across * 2;
    x = rest % across * 2;
  }
  void next() {
    x += 2;
    if (x < args.out[1]) return;
    x = 0;
    y += 2;
    if (y < args.out[0]) return;
    y = 0;
    sample += 1;
  }
  /// Pixel (i, j) of the tile of an image of `size`, `channels` each, or `outside`.
  template <int kSide, class T>
  void pixels(T* image, const int64_t (&size)[2], int64_t channels, int64_t top, int64_t left,
              T* outside, T* (&at)[kSide * kSide]) const {
    const int64_t corner = (sample * size[0] + top) * size[1] + left;
    const bool inside = top >= 0 && left >= 0 && top + kSide <= size[0] && left + kSide <= size[1];
    for (int i = 0; i < kSide; ++i) {
      for (int j = 0; j < kSide; ++j) {
        const bool seen =
            inside || (top + i >= 0 && top + i < size[0] && left + j >= 0 && left + j < size[1]);
        at[i * kSide + j] = seen ? image + (corner + i * size[1] + j) * channels : outside;
      }
    }
  }
};

/// Arrays of a call: of each tile a row at each place.
struct Rooms {
  float *zeros, *input, *output;  // zeros: as many as an image has channels
  int64_t input_row, output_row, input_place, output_place;

  Rooms(float* scratch, const WinogradArgs& a)
      : zeros(scratch),
        input_row(a.channels + kWinogradPad),
        output_row(a.outputs + kWinogradPad),
        input_place(winograd_chunk(a) * input_row + kWinogradPad),
        output_place(winograd_chunk(a) * output_row + kWinogradPad) {
    const int64_t most = a.channels < a.outputs ? a.outputs : a.channels;
    input = zeros + most;
    output = input + kPlaces * input_place;
    for (int64_t i = 0; i < most; ++i) zeros[i] = 0;
  }
};

constexpr int64_t kAhead = 10;  // pixels

/// Rows of `input` from tiles of the image; 0 times what was not finite is left in `check`.
void spread_inputs(const WinogradArgs& a, const Rooms& rooms, const float* image, int64_t first,
                   int64_t tiles, V& check) {
  Place place(a, first);
  for (int64_t t = 0; t < tiles; ++t, place.next()) {
    const float* at[16];
    place.pixels<4, const float>(image, a.in, a.channels, place.y - a.padding[0],
                                 place.x - a.padding[1], rooms.zeros, at);
    float* row = rooms.input + t * rooms.input_row;
    for (int64_t c = 0; c < a.channels; c += kW) {
      // The pixels that are new some tiles further: lines are too short to be foreseen.
      for (int k = 8; k < 16; ++k) {
        if (k % 4 < 2) __builtin_prefetch(at[k] + kAhead * a.channels + c);
      }
      V half[4][4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const V d[4] = {load(at[j] + c), load(at[4 + j] + c), load(at[8 + j] + c),
                        load(at[12 + j] + c)};
        V v[4];
        spread_input(d, v);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) half[i][j] = v[i];
      }
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        V v[4];
        spread_input(half[i], v);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) store(row + (4 * i + j) * rooms.input_place + c, v[j]);
        // These four see all pixels.
        if (i == 0 || i == 3) check += (v[0] * 0.0F) + (v[3] * 0.0F);
      }
    }
  }
}

void clear_rows(float* to, int64_t place, int64_t row, int64_t begin, int64_t end) {
  for (int64_t p = 0; p < kPlaces; ++p) {
    for (int64_t i = begin * row; i < end * row; ++i) to[p * place + i] = 0;
  }
}

// --- products ------------------------------------------------------------------------------------

struct Product {
  const float *a, *b;
  float* c;
  int64_t k, a_row, a_step, b_step, c_row;
  bool add;
};

/// c (+)= sum over k of kRows elements of a and kV vectors of b.
template <int kV>
[[gnu::noinline]] void product(const Product& p) {
  V sum[kRows][kV] = {};
  const int64_t row = p.a_row, row3 = 3 * row;
  const float *a = p.a, *far = p.a + 4 * row, *b = p.b;
  const int64_t a_step = p.a_step, b_step = p.b_step;
  for (int64_t i = 0; i < p.k; ++i, a += a_step, far += a_step, b += b_step) {
    V right[kV];
#pragma GCC unroll 2
    for (int j = 0; j < kV; ++j) right[j] = load(b + j * kW);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const float* const from = r < 4 ? a : far;
      const float left = r % 4 == 0   ? from[0]
                         : r % 4 == 1 ? from[row]
                         : r % 4 == 2 ? from[2 * row]
                                      : from[row3];
#pragma GCC unroll 2
      for (int j = 0; j < kV; ++j) sum[r][j] += left * right[j];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int j = 0; j < kV; ++j) {
      float* const to = p.c + r * p.c_row + j * kW;
      store(to, p.add ? load(to) + sum[r][j] : sum[r][j]);
    }
  }
}

/// All columns of b, which lie `b_panel` apart.
void products(Product p, int64_t rows, int64_t columns, int64_t b_panel, bool b_is_panels) {
  const float* const a = p.a;
  float* const c = p.c;
  for (int64_t n = 0; n < columns; n += kPanel, p.b += b_panel) {
    const bool whole = columns - n >= kPanel;
    if (b_is_panels) p.b_step = whole ? kPanel : kW;
    for (int64_t m = 0; m < rows; m += kRows) {
      p.a = a + m * p.a_row;
      p.c = c + m * p.c_row + n;
      if (whole)
        product<2>(p);
      else
        product<1>(p);
    }
  }
}

/// Tiles of the output from the rows of `output`.
void join_outputs(const WinogradArgs& a, const Rooms& rooms, float* image, const float* bias,
                  int64_t first, int64_t tiles) {
  Place place(a, first);
  for (int64_t t = 0; t < tiles; ++t, place.next()) {
    float* at[4];
    place.pixels<2, float>(image, a.out, a.outputs, place.y, place.x, nullptr, at);
    const float* row = rooms.output + t * rooms.output_row;
    for (int64_t k = 0; k < a.outputs; k += kW) {
      V half[2][4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        V m[4], y[2];
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) m[i] = load(row + (4 * i + j) * rooms.output_place + k);
        join_output(m, y);
        half[0][j] = y[0];
        half[1][j] = y[1];
      }
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        V y[2];
        join_output(half[i], y);
#pragma GCC unroll 2
        for (int j = 0; j < 2; ++j) {
          if (bias) y[j] += load(bias + k);
          if (at[2 * i + j]) store(at[2 * i + j] + k, y[j]);
        }
      }
    }
  }
}

/// Rows of `output` from tiles of the gradient, and its sums.
void spread_gradients(const WinogradArgs& a, const Rooms& rooms, const float* image, float* sums,
                      int64_t first, int64_t tiles, V& check) {
  Place place(a, first);
  for (int64_t t = 0; t < tiles; ++t, place.next()) {
    const float* at[4];
    place.pixels<2, const float>(image, a.out, a.outputs, place.y, place.x, rooms.zeros, at);
    float* row = rooms.output + t * rooms.output_row;
    for (int64_t k = 0; k < a.outputs; k += kW) {
      V half[4][2];
#pragma GCC unroll 2
      for (int j = 0; j < 2; ++j) {
        const V g[2] = {load(at[j] + k), load(at[2 + j] + k)};
        V w[4];
        spread_gradient(g, w);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) half[i][j] = w[i];
      }
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        V w[4];
        spread_gradient(half[i], w);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) store(row + (4 * i + j) * rooms.output_place + k, w[j]);
        if (i != 1) continue;
        check += w[1] * 0.0F;  // the sum of the four
        if (sums) store(sums + k, load(sums + k) + w[1]);
      }
    }
  }
}

}  // namespace

void winograd_weights(void* const* data, const WinogradWeights& w) {
  auto* to = static_cast<float*>(data[0]);
  const auto* from = static_cast<const float*>(data[1]);
  const int64_t out_step = w.turned ? 9 : 9 * w.channels;
  const int64_t in_step = w.turned ? 9 * w.outputs : 9;
  V check = {};
  for (int64_t o = w.first; o < w.last; o += kW) {
    const int64_t panel = o / kPanel * kPanel, width = smaller(kPanel, w.outputs - panel);
    for (int64_t c = 0; c < w.channels; ++c) {
      float lanes[9][kW];
      for (int64_t l = 0; l < kW; ++l) {
        const float* g = from + (o + l) * out_step + c * in_step;
        for (int64_t k = 0; k < 9; ++k) lanes[w.turned ? 8 - k : k][l] = g[k];
      }
      V half[4][3];
      for (int j = 0; j < 3; ++j) {
        const V column[3] = {load(lanes[j]), load(lanes[3 + j]), load(lanes[6 + j])};
        V u[4];
        spread_weight(column, u);
        for (int i = 0; i < 4; ++i) half[i][j] = u[i];
      }
      float* u_place = to + panel * w.channels + c * width + o - panel;
      for (auto& line : half) {
        V u[4];
        spread_weight(line, u);
        check += u[1] * 0.0F;
        for (const V& value : u) {
          store(u_place, value);
          u_place += w.channels * w.outputs;
        }
      }
    }
  }
  if (!is_zero(check)) *static_cast<unsigned char*>(data[2]) = 1;
}

void winograd_images(void* const* data, const WinogradArgs& args) {
  const Rooms rooms(static_cast<float*>(data[4]), args);
  const auto* weight = static_cast<const float*>(data[2]);
  V check = {};
  for (int64_t first = args.first; first < args.last; first += winograd_chunk(args)) {
    const int64_t tiles = smaller(winograd_chunk(args), args.last - first);
    const int64_t rows = (tiles + kRows - 1) / kRows * kRows;
    spread_inputs(args, rooms, static_cast<const float*>(data[1]), first, tiles, check);
    clear_rows(rooms.input, rooms.input_place, rooms.input_row, tiles, rows);
    for (int64_t p = 0; p < kPlaces; ++p) {
      const Product product{rooms.input + p * rooms.input_place,
                            weight + p * args.channels * args.outputs,
                            rooms.output + p * rooms.output_place,
                            args.channels,
                            rooms.input_row,
                            1,
                            kPanel,
                            rooms.output_row,
                            false};
      products(product, rows, args.outputs, kPanel * args.channels, true);
    }
    join_outputs(args, rooms, static_cast<float*>(data[0]), static_cast<const float*>(data[3]),
                 first, tiles);
  }
  if (!is_zero(check)) *static_cast<unsigned char*>(data[5]) = 1;
}

void winograd_sums(void* const* data, const WinogradArgs& args) {
  const Rooms rooms(static_cast<float*>(data[4]), args);
  auto *sums = static_cast<float*>(data[0]), *bias = static_cast<float*>(data[1]);
  for (int64_t k = 0; bias && k < args.outputs; ++k) bias[k] = 0;
  V check = {};
  for (int64_t first = args.first; first < args.last; first += winograd_chunk(args)) {
    const int64_t tiles = smaller(winograd_chunk(args), args.last - first);
    spread_inputs(args, rooms, static_cast<const float*>(data[2]), first, tiles, check);
    spread_gradients(args, rooms, static_cast<const float*>(data[3]), bias, first, tiles, check);
    for (int64_t p = 0; p < kPlaces; ++p) {
      const Product product{rooms.input + p * rooms.input_place,
                            rooms.output + p * rooms.output_place,
                            sums + p * args.channels * args.outputs,
                            tiles,
                            1,
                            rooms.input_row,
                            rooms.output_row,
                            args.outputs,
                            first != args.first};
      products(product, args.channels, args.outputs, kPanel, false);
    }
  }
  if (!is_zero(check)) *static_cast<unsigned char*>(data[5]) = 1;
}

void winograd_gradient(void* const* data, const WinogradWeights& w) {
  auto* to = static_cast<float*>(data[0]);
  const auto* sums = static_cast<const float*>(data[1]);
  for (int64_t o = w.first; o < w.last; o += kW) {
    for (int64_t c = 0; c < w.channels; ++c) {
      const float* u_place = sums + c * w.outputs + o;
      V half[3][4];
      for (int j = 0; j < 4; ++j) {
        V column[4], g[3];
        for (int i = 0; i < 4; ++i)
          column[i] = load(u_place + (4 * i + j) * w.channels * w.outputs);
        join_weight(column, g);
        for (int i = 0; i < 3; ++i) half[i][j] = g[i];
      }
      float lanes[9][kW];
      for (int i = 0; i < 3; ++i) {
        V g[3];
        join_weight(half[i], g);
        for (int j = 0; j < 3; ++j) store(lanes[3 * i + j], g[j]);
      }
      for (int64_t l = 0; l < kW; ++l) {
        float* const g = to + ((o + l) * w.channels + c) * 9;
        for (int64_t k = 0; k < 9; ++k) g[k] = lanes[k][l];
      }
    }
  }
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
