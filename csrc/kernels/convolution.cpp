#include "kernels/convolution.h"

#include <algorithm>
#include <cstring>

#include "core/allocator.h"
#include "core/parallel.h"
#include "kernels/contraction.h"
#include "kernels/convolution_onednn.h"
#include "kernels/convolution_winograd.h"
#include "tapegrad/error.h"

namespace tapegrad::kernels {
namespace {

// Elements of a block of gathered rows: they should stay in the cache between being written and
// being multiplied.
constexpr int64_t kBlockElements = int64_t{1} << 16;
constexpr int64_t kPieces = 8;
// Multiplications that are worth a thread.
constexpr int64_t kThreadWork = int64_t{1} << 18;

/// The convolution as a product of matrices: a row for each place where the kernel is laid on the
/// input, holding what lies under it.
template <class T>
class Rows {
 public:
  explicit Rows(const ConvolutionArgs& args)
      : a_(args),
        channels_(args.in_channels / args.groups),
        length_(args.kernel_positions() * channels_) {}

  int64_t length() const { return length_; }
  int64_t count() const { return a_.batch * a_.out_positions(); }
  /// Rows of a block: they depend on the shape alone.
  int64_t block() const {
    const int64_t most = std::max<int64_t>(1, kBlockElements / length_);
    return std::clamp<int64_t>((count() + kPieces - 1) / kPieces, 1, most);
  }
  /// The rows are the input itself.
  bool is_input() const {
    for (int d = 0; d < 3; ++d) {
      if (a_.kernel[d] != 1 || a_.stride[d] != 1 || a_.padding[d] != 0 || a_.in[d] != a_.out[d])
        return false;
    }
    return true;
  }

  void gather(const T* input, int64_t group, int64_t begin, int64_t end, T* rows) const {
    const auto bytes = static_cast<size_t>(channels_) * sizeof(T);
    walk(begin, end, [&](int64_t pixel, int64_t at) {
      T* to = rows + at * channels_;
      if (pixel < 0)
        std::memset(to, 0, bytes);
      else
        std::memcpy(to, input + pixel * a_.in_channels + group * channels_, bytes);
    });
  }
  /// Adds rows to where they were gathered from.
  void spread(const T* rows, int64_t group, int64_t begin, int64_t end, T* input) const {
    walk(begin, end, [&](int64_t pixel, int64_t at) {
      if (pixel < 0) return;
      const T* from = rows + at * channels_;
      T* to = input + pixel * a_.in_channels + group * channels_;
      for (int64_t c = 0; c < channels_; ++c) to[c] += from[c];
    });
  }

  /// f(pixel of the input or -1 outside of it, number of the piece of a row), for all rows.
  template <class F>
  void walk(int64_t begin, int64_t end, F&& f) const {
    int64_t at = 0;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t n = row / a_.out_positions();
      int64_t place = row % a_.out_positions();
      int64_t first[3];
      for (int d = 2; d >= 0; --d) {
        first[d] = place % a_.out[d] * a_.stride[d] - a_.padding[d];
        place /= a_.out[d];
      }
      for (int64_t i = 0; i < a_.kernel[0]; ++i) {
        const int64_t z = first[0] + i * a_.dilation[0];
        const bool plane = z >= 0 && z < a_.in[0];
        for (int64_t j = 0; j < a_.kernel[1]; ++j) {
          const int64_t y = first[1] + j * a_.dilation[1];
          const bool line = plane && y >= 0 && y < a_.in[1];
          const int64_t base = ((n * a_.in[0] + z) * a_.in[1] + y) * a_.in[2];
          for (int64_t k = 0; k < a_.kernel[2]; ++k) {
            const int64_t x = first[2] + k * a_.dilation[2];
            f(line && x >= 0 && x < a_.in[2] ? base + x : -1, at++);
          }
        }
      }
    }
  }

 private:
  const ConvolutionArgs& a_;
  int64_t channels_;
  int64_t length_;
};

/// (out, channels, kernel) to (out, kernel, channels), the order of a row.
template <class T>
void pack(const ConvolutionArgs& args, const T* weight, T* packed) {
  const int64_t channels = args.in_channels / args.groups, places = args.kernel_positions();
  for (int64_t o = 0; o < args.out_channels; ++o, weight += channels * places) {
    for (int64_t k = 0; k < places; ++k) {
      for (int64_t c = 0; c < channels; ++c) *packed++ = weight[c * places + k];
    }
  }
}

template <class T>
void unpack(const ConvolutionArgs& args, const T* packed, T* weight) {
  const int64_t channels = args.in_channels / args.groups, places = args.kernel_positions();
  for (int64_t o = 0; o < args.out_channels; ++o, weight += channels * places) {
    for (int64_t k = 0; k < places; ++k) {
      for (int64_t c = 0; c < channels; ++c) weight[c * places + k] = *packed++;
    }
  }
}

/// The grain of a loop over `units` that share the work of a pass.
int64_t grain(const ConvolutionArgs& args, int64_t units) {
  const int64_t work = args.batch * args.out_positions() * args.weight_count();
  return std::max<int64_t>(1, kThreadWork / std::max<int64_t>(1, work / units));
}

int64_t blocks(int64_t count, int64_t block) { return (count + block - 1) / block; }

size_t bytes_of(DType dtype, int64_t count) {
  return static_cast<size_t>(count) * item_size(dtype);
}

template <class T>
void forward(void* const* data, const ConvolutionArgs& args) {
  const Rows<T> rows(args);
  const int64_t channels = args.in_channels / args.groups, outs = args.out_channels / args.groups;
  const core::Scratch packed(bytes_of(args.dtype, args.weight_count()));
  pack(args, static_cast<const T*>(data[2]), packed.as<T>());
  MatmulArgs product;
  product.dtype = args.dtype;
  product.n = outs;
  product.k = rows.length();
  product.a_row = rows.is_input() ? args.in_channels : rows.length();
  product.a_col = product.b_row = 1;
  product.b_col = rows.length();
  product.c_row = args.out_channels;
  product.has_bias = data[3] != nullptr;
  const int64_t units = blocks(rows.count(), rows.block());
  core::parallel_for(0, units, grain(args, units), [&](int64_t first, int64_t last) {
    const core::Scratch room(rows.is_input() ? 0
                                             : bytes_of(args.dtype, rows.block() * rows.length()));
    MatmulArgs piece = product;
    for (int64_t i = first * rows.block(); i < std::min(last * rows.block(), rows.count());
         i += rows.block()) {
      const int64_t end = std::min(i + rows.block(), rows.count());
      piece.m = end - i;
      for (int64_t g = 0; g < args.groups; ++g) {
        T* left = static_cast<T*>(data[1]) + i * args.in_channels + g * channels;
        if (!rows.is_input()) {
          left = room.as<T>();
          rows.gather(static_cast<const T*>(data[1]), g, i, end, left);
        }
        T* bias = product.has_bias ? static_cast<T*>(data[3]) + g * outs : nullptr;
        void* const operands[] = {static_cast<T*>(data[0]) + i * args.out_channels + g * outs, left,
                                  packed.as<T>() + g * outs * rows.length(), bias};
        matmul(operands, piece);
      }
    }
  });
}

template <class T>
void fill_rows(T* to, int64_t count, int64_t width, const T* values) {
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t c = 0; c < width; ++c) to[i * width + c] = values ? values[c] : T(0);
  }
}

template <class T>
void input_gradient(void* const* data, const ConvolutionArgs& args) {
  const Rows<T> rows(args);
  const int64_t channels = args.in_channels / args.groups, outs = args.out_channels / args.groups;
  const core::Scratch packed(bytes_of(args.dtype, args.weight_count()));
  pack(args, static_cast<const T*>(data[2]), packed.as<T>());
  const bool direct = rows.is_input();
  MatmulArgs product;
  product.dtype = args.dtype;
  product.n = rows.length();
  product.k = outs;
  product.a_row = args.out_channels;
  product.a_col = product.b_col = 1;
  product.b_row = rows.length();
  product.c_row = direct ? args.in_channels : rows.length();
  product.beta = direct ? 1 : 0;
  core::parallel_for(0, args.batch, grain(args, args.batch), [&](int64_t first, int64_t last) {
    const core::Scratch room(direct ? 0 : bytes_of(args.dtype, rows.block() * rows.length()));
    MatmulArgs piece = product;
    for (int64_t n = first; n < last; ++n) {
      T* image = static_cast<T*>(data[0]);
      fill_rows(image + n * args.in_positions() * args.in_channels, args.in_positions(),
                args.in_channels, static_cast<const T*>(data[3]));
      const int64_t stop = (n + 1) * args.out_positions();
      for (int64_t i = n * args.out_positions(); i < stop; i += rows.block()) {
        const int64_t end = std::min(i + rows.block(), stop);
        piece.m = end - i;
        for (int64_t g = 0; g < args.groups; ++g) {
          T* to = direct ? image + i * args.in_channels + g * channels : room.as<T>();
          void* const operands[] = {to, static_cast<T*>(data[1]) + i * args.out_channels + g * outs,
                                    packed.as<T>() + g * outs * rows.length()};
          matmul(operands, piece);
          if (!direct) rows.spread(to, g, i, end, image);
        }
      }
    }
  });
}

template <class T>
void add_bias_gradient(const T* gradient, int64_t begin, int64_t end, int64_t width, T* sum) {
  for (int64_t i = begin; i < end; ++i) {
    for (int64_t c = 0; c < width; ++c) sum[c] += gradient[i * width + c];
  }
}

template <class T>
void weight_gradient(void* const* data, const ConvolutionArgs& args) {
  const Rows<T> rows(args);
  const int64_t channels = args.in_channels / args.groups, outs = args.out_channels / args.groups;
  const int64_t weights = args.weight_count(), width = weights + args.out_channels;
  const int64_t pieces = std::min(kPieces, blocks(rows.count(), rows.block()));
  const int64_t piece_rows = blocks(rows.count(), pieces);
  const core::Scratch sums(bytes_of(args.dtype, pieces * width));
  MatmulArgs product;
  product.dtype = args.dtype;
  product.m = outs;
  product.n = rows.length();
  product.a_row = product.b_col = 1;
  product.a_col = args.out_channels;
  product.b_row = rows.is_input() ? args.in_channels : rows.length();
  product.c_row = rows.length();
  product.beta = 1;
  const auto* gradient = static_cast<const T*>(data[3]);
  core::parallel_for(0, pieces, grain(args, pieces), [&](int64_t first, int64_t last) {
    const core::Scratch room(rows.is_input() ? 0
                                             : bytes_of(args.dtype, rows.block() * rows.length()));
    MatmulArgs step = product;
    for (int64_t p = first; p < last; ++p) {
      T* sum = sums.as<T>() + p * width;
      std::fill_n(sum, width, T(0));
      const int64_t stop = std::min((p + 1) * piece_rows, rows.count());
      for (int64_t i = p * piece_rows; i < stop; i += rows.block()) {
        const int64_t end = std::min(i + rows.block(), stop);
        step.k = end - i;
        for (int64_t g = 0; g < args.groups; ++g) {
          T* right = static_cast<T*>(data[2]) + i * args.in_channels + g * channels;
          if (!rows.is_input()) {
            right = room.as<T>();
            rows.gather(static_cast<const T*>(data[2]), g, i, end, right);
          }
          void* const operands[] = {sum + g * outs * rows.length(),
                                    static_cast<T*>(data[3]) + i * args.out_channels + g * outs,
                                    right};
          matmul(operands, step);
        }
        if (data[1]) add_bias_gradient(gradient, i, end, args.out_channels, sum + weights);
      }
    }
  });
  T* total = sums.as<T>();
  for (int64_t p = 1; p < pieces; ++p) {
    for (int64_t i = 0; i < width; ++i) total[i] += total[p * width + i];
  }
  unpack(args, total, static_cast<T*>(data[0]));
  if (data[1]) std::copy_n(total + weights, args.out_channels, static_cast<T*>(data[1]));
}

// --- one input channel a group -------------------------------------------------------------------

/// A product of matrices would have one row or column; here the channels of a place are multiplied
/// side by side.
template <class T>
class Depthwise {
 public:
  Depthwise(const ConvolutionArgs& args, void* const* data)
      : a_(args), rows_(args), data_(data), times_(args.out_channels / args.groups) {}

  void forward() const {
    const core::Scratch packed(bytes_of(a_.dtype, a_.weight_count()));
    pack_by_place(at(2), packed.as<T>());
    const int64_t outs = a_.out_channels, places = a_.kernel_positions();
    const T* input = at(1);
    run(rows_.count(), [&](int64_t begin, int64_t end) {
      T* output = at(0) + begin * outs;
      fill_rows(output, end - begin, outs, at(3));
      rows_.walk(begin, end, [&](int64_t pixel, int64_t place) {
        if (pixel < 0) return;
        const T* x = input + pixel * a_.in_channels;
        const T* w = packed.as<T>() + place % places * outs;
        T* y = output + place / places * outs;
        each([&](int64_t c, int64_t o) { y[o] += x[c] * w[o]; });
      });
    });
  }

  void input_gradient() const {
    const core::Scratch packed(bytes_of(a_.dtype, a_.weight_count()));
    pack_by_place(at(2), packed.as<T>());
    const int64_t outs = a_.out_channels, places = a_.kernel_positions();
    run(a_.batch, [&](int64_t begin, int64_t end) {
      fill_rows(at(0) + begin * a_.in_positions() * a_.in_channels,
                (end - begin) * a_.in_positions(), a_.in_channels, at(3));
      const T* gradient = at(1) + begin * a_.out_positions() * outs;
      rows_.walk(begin * a_.out_positions(), end * a_.out_positions(),
                 [&](int64_t pixel, int64_t place) {
                   if (pixel < 0) return;
                   T* x = at(0) + pixel * a_.in_channels;
                   const T* w = packed.as<T>() + place % places * outs;
                   const T* g = gradient + place / places * outs;
                   each([&](int64_t c, int64_t o) { x[c] += g[o] * w[o]; });
                 });
    });
  }

  void weight_gradient() const {
    const int64_t outs = a_.out_channels, places = a_.kernel_positions();
    const int64_t width = (places + 1) * outs;
    const int64_t pieces = std::min(kPieces, rows_.count());
    const int64_t piece = blocks(rows_.count(), pieces);
    const core::Scratch sums(bytes_of(a_.dtype, pieces * width));
    run(pieces, [&](int64_t first, int64_t last) {
      for (int64_t p = first; p < last; ++p) {
        T* sum = sums.as<T>() + p * width;
        std::fill_n(sum, width, T(0));
        const int64_t begin = std::min(p * piece, rows_.count());
        const int64_t end = std::min(begin + piece, rows_.count());
        rows_.walk(begin, end, [&](int64_t pixel, int64_t place) {
          if (pixel < 0) return;
          const T* x = at(2) + pixel * a_.in_channels;
          const T* g = at(3) + (begin + place / places) * outs;
          T* w = sum + place % places * outs;
          each([&](int64_t c, int64_t o) { w[o] += x[c] * g[o]; });
        });
        if (data_[1]) add_bias_gradient<T>(at(3), begin, end, outs, sum + places * outs);
      }
    });
    T* total = sums.as<T>();
    for (int64_t p = 1; p < pieces; ++p) {
      for (int64_t i = 0; i < width; ++i) total[i] += total[p * width + i];
    }
    for (int64_t o = 0; o < outs; ++o) {
      for (int64_t k = 0; k < places; ++k) at(0)[o * places + k] = total[k * outs + o];
    }
    if (data_[1]) std::copy_n(total + places * outs, outs, at(1));
  }

 private:
  T* at(int operand) const { return static_cast<T*>(data_[operand]); }

  template <class F>
  void run(int64_t units, F&& f) const {
    core::parallel_for(0, units, grain(a_, units), f);
  }

  /// f(input channel, output channel) for all.
  template <class F>
  void each(F&& f) const {
    if (times_ == 1) {
      for (int64_t c = 0; c < a_.groups; ++c) f(c, c);
      return;
    }
    for (int64_t c = 0; c < a_.groups; ++c) {
      for (int64_t j = 0; j < times_; ++j) f(c, c * times_ + j);
    }
  }

  void pack_by_place(const T* weight, T* packed) const {
    const int64_t places = a_.kernel_positions();
    for (int64_t o = 0; o < a_.out_channels; ++o) {
      for (int64_t k = 0; k < places; ++k) packed[k * a_.out_channels + o] = weight[o * places + k];
    }
  }

  const ConvolutionArgs& a_;
  Rows<T> rows_;
  void* const* data_;
  int64_t times_;
};

template <class T>
void run(ConvolutionPass pass, void* const* data, const ConvolutionArgs& args) {
  const bool depthwise = args.groups > 1 && args.in_channels == args.groups;
  switch (pass) {
    case ConvolutionPass::Forward:
      return depthwise ? Depthwise<T>(args, data).forward() : forward<T>(data, args);
    case ConvolutionPass::InputGradient:
      return depthwise ? Depthwise<T>(args, data).input_gradient() : input_gradient<T>(data, args);
    case ConvolutionPass::WeightGradient:
      return depthwise ? Depthwise<T>(args, data).weight_gradient()
                       : weight_gradient<T>(data, args);
  }
}

void run(ConvolutionPass pass, void* const* data, const ConvolutionArgs& args) {
  if (convolve_by_winograd(pass, data, args)) return;
  if (convolve_by_onednn(pass, data, args)) return;
  if (args.dtype == DType::BFloat16) throw DTypeError("convolution: bfloat16 without oneDNN");
  args.dtype == DType::Float64 ? run<double>(pass, data, args) : run<float>(pass, data, args);
}

}  // namespace

void convolve(void* const* data, const ConvolutionArgs& args) {
  run(ConvolutionPass::Forward, data, args);
}
void convolve_input_gradient(void* const* data, const ConvolutionArgs& args) {
  run(ConvolutionPass::InputGradient, data, args);
}
void convolve_weight_gradient(void* const* data, const ConvolutionArgs& args) {
  run(ConvolutionPass::WeightGradient, data, args);
}

}  // namespace tapegrad::kernels
