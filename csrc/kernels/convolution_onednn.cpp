#include "kernels/convolution_onednn.h"

#if TAPEGRAD_HAS_ONEDNN

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <dnnl.hpp>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/allocator.h"
#include "core/parallel.h"

namespace tapegrad::kernels {
namespace {

using dnnl::memory;

// Never destroyed: other threads may still compute while the process ends.
const dnnl::engine& engine() {
  static const auto* const cpu = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *cpu;
}

/// A pass over a number of samples, ready to run on one thread: oneDNN's primitive, the layouts it
/// works in, and how weights get into or out of the layout it chose.
struct Prepared {
  dnnl::primitive primitive;
  memory::desc input, weight, bias, output, scratchpad;
  memory::desc plain_weight;
  dnnl::reorder repack;
  bool repacks = false;
};

memory::dims tail(const int64_t* values, int count) { return {values + 3 - count, values + 3}; }

memory::desc image_desc(const ConvolutionArgs& a, const int64_t* spatial, int64_t channels) {
  memory::dims sizes{a.batch, channels}, strides{0, 1};
  for (const int64_t size : tail(spatial, a.spatial)) sizes.push_back(size);
  strides.resize(sizes.size());
  int64_t stride = channels;
  for (size_t d = sizes.size() - 1; d >= 2; --d) {
    strides[d] = stride;
    stride *= sizes[d];
  }
  strides[0] = stride;
  return {sizes, memory::data_type::f32, strides};
}

memory::dims weight_sizes(const ConvolutionArgs& a) {
  memory::dims sizes;
  if (a.groups > 1) sizes.push_back(a.groups);
  sizes.push_back(a.out_channels / a.groups);
  sizes.push_back(a.in_channels / a.groups);
  for (const int64_t size : tail(a.kernel, a.spatial)) sizes.push_back(size);
  return sizes;
}

memory::desc row_major(const memory::dims& sizes) {
  memory::dims strides(sizes.size());
  int64_t stride = 1;
  for (size_t d = sizes.size(); d-- > 0;) {
    strides[d] = stride;
    stride *= sizes[d];
  }
  return {sizes, memory::data_type::f32, strides};
}

/// What describes a convolution to oneDNN, whatever the pass.
struct Description {
  memory::desc input, weight, bias, output;
  memory::dims strides, dilations, before, after;
  dnnl::primitive_attr attributes;

  Description(const ConvolutionArgs& a, bool has_bias)
      : input(image_desc(a, a.in, a.in_channels)),
        weight(weight_sizes(a), memory::data_type::f32, memory::format_tag::any),
        output(image_desc(a, a.out, a.out_channels)),
        strides(tail(a.stride, a.spatial)),
        dilations(tail(a.dilation, a.spatial)),
        before(tail(a.padding, a.spatial)),
        after(before) {
    if (has_bias) bias = row_major({a.out_channels});
    for (size_t d = 0; d < dilations.size(); ++d) {
      const size_t k = d + 3 - dilations.size();
      dilations[d] -= 1;  // oneDNN counts the gaps
      after[d] = (a.out[k] - 1) * a.stride[k] + (a.kernel[k] - 1) * a.dilation[k] + 1 - a.in[k] -
                 a.padding[k];
    }
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  }
};

using Forward = dnnl::convolution_forward::primitive_desc;
using BackwardData = dnnl::convolution_backward_data::primitive_desc;
using BackwardWeights = dnnl::convolution_backward_weights::primitive_desc;

Forward describe_forward(const Description& d) {
  constexpr auto kKind = dnnl::prop_kind::forward_training;
  constexpr auto kDirect = dnnl::algorithm::convolution_direct;
  if (d.bias.get_size() == 0) {
    return {engine(),  kKind,       kDirect,  d.input, d.weight,     d.output,
            d.strides, d.dilations, d.before, d.after, d.attributes, true};
  }
  return {engine(),  kKind,       kDirect,  d.input, d.weight,     d.bias, d.output,
          d.strides, d.dilations, d.before, d.after, d.attributes, true};
}

BackwardWeights describe_weights(const Description& d, const Forward& hint) {
  constexpr auto kDirect = dnnl::algorithm::convolution_direct;
  if (d.bias.get_size() == 0) {
    return {engine(),    kDirect,  d.input, d.weight, d.output,     d.strides,
            d.dilations, d.before, d.after, hint,     d.attributes, true};
  }
  return {engine(),    kDirect,  d.input, d.weight, d.bias,       d.output, d.strides,
          d.dilations, d.before, d.after, hint,     d.attributes, true};
}

/// Reference implementations are there for completeness, not for use.
template <class PrimitiveDesc>
bool is_fast(const PrimitiveDesc& pd) {
  return pd && std::string_view(pd.impl_info_str()).find("ref") == std::string_view::npos;
}

/// Null where oneDNN has no fast code.
std::shared_ptr<const Prepared> prepare(ConvolutionPass pass, const ConvolutionArgs& args,
                                        bool has_bias) {
  const core::LibraryThreads one(1);  // oneDNN plans for the threads that there are now
  const Description d(args, has_bias && pass != ConvolutionPass::InputGradient);
  auto result = std::make_shared<Prepared>();
  result->input = d.input;
  result->output = d.output;
  result->bias = d.bias;
  result->plain_weight = row_major(weight_sizes(args));
  const Forward forward = describe_forward(d);
  if (!forward) return nullptr;
  const auto take = [&](const auto& pd, const memory::desc& weight, dnnl::primitive primitive) {
    result->weight = weight;
    result->scratchpad = pd.scratchpad_desc();
    result->primitive = std::move(primitive);
  };
  if (pass == ConvolutionPass::Forward) {
    if (!is_fast(forward)) return nullptr;
    take(forward, forward.weights_desc(), dnnl::convolution_forward(forward));
  } else if (pass == ConvolutionPass::InputGradient) {
    const BackwardData pd(engine(), dnnl::algorithm::convolution_direct, d.input, d.weight,
                          d.output, d.strides, d.dilations, d.before, d.after, forward,
                          d.attributes, true);
    if (!is_fast(pd)) return nullptr;
    take(pd, pd.weights_desc(), dnnl::convolution_backward_data(pd));
  } else {
    const BackwardWeights pd = describe_weights(d, forward);
    if (!is_fast(pd)) return nullptr;
    take(pd, pd.diff_weights_desc(), dnnl::convolution_backward_weights(pd));
  }
  result->repacks = result->weight != result->plain_weight;
  if (result->repacks) {
    const bool back = pass == ConvolutionPass::WeightGradient;
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    result->repack = dnnl::reorder(dnnl::reorder::primitive_desc(
        engine(), back ? result->weight : result->plain_weight, engine(),
        back ? result->plain_weight : result->weight, attributes));
  }
  return result;
}

/// What is prepared, the most recently used first; the oldest goes when there are too many.
class Cache {
 public:
  static Cache& instance() {
    static auto* const cache = new Cache;
    return *cache;
  }

  std::shared_ptr<const Prepared> get(ConvolutionPass pass, const ConvolutionArgs& args,
                                      bool has_bias) {
    const Key key(pass, args, has_bias);
    const std::scoped_lock lock(mutex_);
    const auto found = places_.find(key);
    if (found != places_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->second;
    }
    entries_.emplace_front(key, prepare(pass, args, has_bias));
    places_.emplace(key, entries_.begin());
    if (entries_.size() > kCapacity) {
      places_.erase(entries_.back().first);
      entries_.pop_back();
    }
    return entries_.front().second;
  }

 private:
  static constexpr size_t kCapacity = 256;
  struct Key {
    int64_t values[26] = {};
    Key(ConvolutionPass pass, const ConvolutionArgs& a, bool has_bias) {
      int64_t* to = values;
      for (const int64_t value : {static_cast<int64_t>(pass), int64_t{has_bias}, int64_t{a.spatial},
                                  a.batch, a.groups, a.in_channels, a.out_channels})
        *to++ = value;
      for (const auto* list : {a.in, a.out, a.kernel, a.stride, a.padding, a.dilation})
        to = std::copy_n(list, 3, to);
    }
    bool operator==(const Key& other) const { return std::ranges::equal(values, other.values); }
  };
  struct Hash {
    size_t operator()(const Key& key) const {
      return std::hash<std::string_view>()(
          {reinterpret_cast<const char*>(key.values), sizeof key.values});
    }
  };
  using Entry = std::pair<Key, std::shared_ptr<const Prepared>>;

  std::mutex mutex_;
  std::list<Entry> entries_;
  std::unordered_map<Key, std::list<Entry>::iterator, Hash> places_;
};

/// Arguments of one execution; oneDNN's own call takes a map, which costs more than a small
/// convolution.
class Operands {
 public:
  void add(int name, const memory::desc& desc, void* data) {
    memory_[count_] = memory(desc, engine(), data);
    list_[count_] = {name, memory_[count_].get()};
    ++count_;
  }
  void run(const dnnl::primitive& primitive) {
    thread_local dnnl::stream stream(engine());
    dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive.get(), stream.get(), count_, list_),
                            "convolution: oneDNN failed");
  }

 private:
  memory memory_[5];
  dnnl_exec_arg_t list_[5];
  int count_ = 0;
};

void run_reorder(const dnnl::reorder& reorder, const memory::desc& from, void* source,
                 const memory::desc& to, void* target) {
  Operands operands;
  operands.add(DNNL_ARG_FROM, from, source);
  operands.add(DNNL_ARG_TO, to, target);
  operands.run(reorder);
}

struct Pointers {
  void* input;
  void* weight;
  void* output;
  void* bias;
};

void run_pass(const Prepared& p, ConvolutionPass pass, const Pointers& at) {
  const core::LibraryThreads one(1);
  const core::Scratch scratch(p.scratchpad.get_size());
  Operands operands;
  const bool weights = pass == ConvolutionPass::WeightGradient;
  operands.add(pass == ConvolutionPass::InputGradient ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, p.input,
               at.input);
  operands.add(weights ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, p.weight, at.weight);
  operands.add(pass == ConvolutionPass::Forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, p.output,
               at.output);
  if (p.bias.get_size() != 0)
    operands.add(weights ? DNNL_ARG_DIFF_BIAS : DNNL_ARG_BIAS, p.bias, at.bias);
  operands.add(DNNL_ARG_SCRATCHPAD, p.scratchpad, scratch.as<void>());
  operands.run(p.primitive);
}

// Work below which a piece is not worth a thread, in multiplications.
constexpr int64_t kPieceWork = int64_t{1} << 20;

int64_t work_of_sample(const ConvolutionArgs& args) {
  return std::max<int64_t>(1, args.out_positions() * args.weight_count());
}

/// The batch in pieces of `each` samples, the last one smaller; see Note [Pieces of a convolution].
struct Pieces {
  int64_t each, count;
  std::shared_ptr<const Prepared> whole, last;

  Pieces(ConvolutionPass pass, const ConvolutionArgs& args, bool has_bias, int64_t samples)
      : each(std::min(samples, args.batch)), count((args.batch + each - 1) / each) {
    ConvolutionArgs piece = args;
    piece.batch = args.batch - (count - 1) * each;
    last = Cache::instance().get(pass, piece, has_bias);
    piece.batch = each;
    whole = count == 1 ? last : Cache::instance().get(pass, piece, has_bias);
  }
  bool usable() const { return whole && last; }
  const Prepared& at(int64_t i) const { return i + 1 == count ? *last : *whole; }
};

float* image(void* data, int64_t sample, const int64_t* spatial, int64_t channels) {
  return static_cast<float*>(data) + sample * spatial[0] * spatial[1] * spatial[2] * channels;
}

/// The weights in the layout that a primitive wants.
class PackedWeight {
 public:
  PackedWeight(const Prepared& p, void* plain)
      : scratch_(p.repacks ? p.weight.get_size() : 0),
        data_(p.repacks ? scratch_.as<void>() : plain) {
    const core::LibraryThreads one(1);
    if (p.repacks) run_reorder(p.repack, p.plain_weight, plain, p.weight, data_);
  }
  void* data() const { return data_; }

 private:
  core::Scratch scratch_;
  void* data_;
};

void add_bias(float* to, int64_t count, int64_t width, const float* bias) {
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t c = 0; c < width; ++c) to[i * width + c] += bias[c];
  }
}

/// Forward and input gradient: every piece has its own place in the result.
bool run_samples(ConvolutionPass pass, void* const* data, const ConvolutionArgs& args) {
  const bool forward = pass == ConvolutionPass::Forward;
  const int64_t samples = (kPieceWork + work_of_sample(args) - 1) / work_of_sample(args);
  const Pieces pieces(pass, args, data[3] != nullptr, samples);
  if (!pieces.usable()) return false;
  const PackedWeight whole(*pieces.whole, data[2]);
  std::optional<PackedWeight> own;  // where the last piece wants another layout
  if (pieces.last->weight != pieces.whole->weight) own.emplace(*pieces.last, data[2]);
  core::parallel_for(0, pieces.count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Pointers at;
      at.input = image(data[forward ? 1 : 0], i * pieces.each, args.in, args.in_channels);
      at.output = image(data[forward ? 0 : 1], i * pieces.each, args.out, args.out_channels);
      at.weight = (i + 1 == pieces.count && own ? *own : whole).data();
      at.bias = data[3];
      run_pass(pieces.at(i), pass, at);
      if (!forward && data[3]) {
        const int64_t n = std::min(pieces.each, args.batch - i * pieces.each);
        add_bias(static_cast<float*>(at.input), n * args.in_positions(), args.in_channels,
                 static_cast<const float*>(data[3]));
      }
    }
  });
  return true;
}

/// Samples of a piece of the weight gradient: few pieces, as each has a sum of its own.
int64_t gradient_samples(const ConvolutionArgs& args) {
  constexpr int64_t kMostPieces = 16;
  constexpr int64_t kPositions = 512;  // products for each element of a sum that is added later
  const int64_t by_work = (kPieceWork + work_of_sample(args) - 1) / work_of_sample(args);
  const int64_t by_sum = (kPositions + args.out_positions() - 1) / args.out_positions();
  return std::max({by_work, by_sum, (args.batch + kMostPieces - 1) / kMostPieces});
}

/// Adds the lists of `width` elements that lie one after the other to the first.
void add_up(float* lists, int64_t count, int64_t width) {
  core::parallel_for(0, width, 32768, [&](int64_t begin, int64_t end) {
    for (int64_t i = 1; i < count; ++i) {
      const float* list = lists + i * width;
      for (int64_t k = begin; k < end; ++k) lists[k] += list[k];
    }
  });
}

void unpack(const Prepared& p, void* packed, float* weight) {
  const core::LibraryThreads one(1);
  if (p.repacks)
    run_reorder(p.repack, p.weight, packed, p.plain_weight, weight);
  else
    std::memcpy(weight, packed, p.weight.get_size());
}

bool run_weight_gradient(void* const* data, const ConvolutionArgs& args) {
  constexpr auto kPass = ConvolutionPass::WeightGradient;
  constexpr int64_t kLine = 16;
  const Pieces pieces(kPass, args, data[1] != nullptr, gradient_samples(args));
  if (!pieces.usable()) return false;
  if (pieces.count == 1 && !pieces.whole->repacks) {
    run_pass(*pieces.whole, kPass, {data[2], data[0], data[3], data[1]});
    return true;
  }
  const auto lines = [&](size_t bytes) {
    return (static_cast<int64_t>(bytes / sizeof(float)) + kLine - 1) / kLine * kLine;
  };
  const int64_t bias_at =
      lines(std::max(pieces.whole->weight.get_size(), pieces.last->weight.get_size()));
  const int64_t width = bias_at + lines(pieces.whole->bias.get_size());
  const core::Scratch sums(static_cast<size_t>(pieces.count * width) * sizeof(float));
  auto* total = sums.as<float>();
  core::parallel_for(0, pieces.count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* sum = total + i * width;
      run_pass(pieces.at(i), kPass,
               {image(data[2], i * pieces.each, args.in, args.in_channels), sum,
                image(data[3], i * pieces.each, args.out, args.out_channels),
                data[1] ? sum + bias_at : nullptr});
    }
  });
  auto* weight = static_cast<float*>(data[0]);
  if (pieces.last->weight == pieces.whole->weight) {
    add_up(total, pieces.count, width);
    unpack(*pieces.whole, total, weight);
  } else {
    float* last = total + (pieces.count - 1) * width;
    add_up(total, pieces.count - 1, width);
    const core::Scratch plain(pieces.last->plain_weight.get_size());
    unpack(*pieces.last, last, plain.as<float>());
    unpack(*pieces.whole, total, weight);
    for (int64_t k = 0; k < args.weight_count(); ++k) weight[k] += plain.as<float>()[k];
    for (int64_t k = bias_at; k < width; ++k) total[k] += last[k];
  }
  if (data[1]) std::copy_n(total + bias_at, args.out_channels, static_cast<float*>(data[1]));
  return true;
}

}  // namespace

bool convolve_by_onednn(ConvolutionPass pass, void* const* data, const ConvolutionArgs& args) {
  if (args.dtype != DType::Float32) return false;
  return pass == ConvolutionPass::WeightGradient ? run_weight_gradient(data, args)
                                                 : run_samples(pass, data, args);
}

}  // namespace tapegrad::kernels

#else

namespace tapegrad::kernels {

bool convolve_by_onednn(ConvolutionPass /*pass*/, void* const* /*data*/,
                        const ConvolutionArgs& /*args*/) {
  return false;
}

}  // namespace tapegrad::kernels

#endif
