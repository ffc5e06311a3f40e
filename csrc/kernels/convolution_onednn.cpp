#include "kernels/convolution_onednn.h"

#if TAPEGRAD_HAS_ONEDNN

#include <pthread.h>

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
#include <vector>

#include "core/allocator.h"
#include "core/parallel.h"
#include "kernels/contraction_bfloat16.h"
#include "kernels/kept_kernels.h"

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

memory::data_type type_of(const ConvolutionArgs& args) {
  return args.dtype == DType::BFloat16 ? memory::data_type::bf16 : memory::data_type::f32;
}

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
  return {sizes, type_of(a), strides};
}

memory::dims weight_sizes(const ConvolutionArgs& a) {
  memory::dims sizes;
  if (a.groups > 1) sizes.push_back(a.groups);
  sizes.push_back(a.out_channels / a.groups);
  sizes.push_back(a.in_channels / a.groups);
  for (const int64_t size : tail(a.kernel, a.spatial)) sizes.push_back(size);
  return sizes;
}

memory::desc row_major(const memory::dims& sizes, memory::data_type type) {
  memory::dims strides(sizes.size());
  int64_t stride = 1;
  for (size_t d = sizes.size(); d-- > 0;) {
    strides[d] = stride;
    stride *= sizes[d];
  }
  return {sizes, type, strides};
}

/// What describes a convolution to oneDNN, whatever the pass.
struct Description {
  memory::desc input, weight, bias, output;
  memory::dims strides, dilations, before, after;
  dnnl::primitive_attr attributes;

  /// Biases and sums of products are float32 always.
  Description(const ConvolutionArgs& a, bool has_bias, memory::data_type weight_type)
      : input(image_desc(a, a.in, a.in_channels)),
        weight(weight_sizes(a), weight_type, memory::format_tag::any),
        output(image_desc(a, a.out, a.out_channels)),
        strides(tail(a.stride, a.spatial)),
        dilations(tail(a.dilation, a.spatial)),
        before(tail(a.padding, a.spatial)),
        after(before) {
    if (has_bias) bias = row_major({a.out_channels}, memory::data_type::f32);
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

template <class PrimitiveDesc>
bool is_called(const PrimitiveDesc& pd, std::string_view name) {
  return std::string_view(pd.impl_info_str()).find(name) != std::string_view::npos;
}

/// Reference implementations are there for completeness, not for use. Without `kept`, those of Note
/// [Kernels that are never freed] are left out.
template <class PrimitiveDesc>
bool find_fast(PrimitiveDesc& pd, bool kept) {
  if (!pd) return false;
  while (!kept && is_called(pd, "brg")) {
    if (!pd.next_impl()) return false;
  }
  return !is_called(pd, "ref");
}

/// Null where oneDNN has no fast code.
std::shared_ptr<const Prepared> prepare(ConvolutionPass pass, const ConvolutionArgs& args,
                                        bool has_bias, bool kept) {
  const core::LibraryThreads one(1);  // oneDNN plans for the threads that there are now
  const auto weight_type =
      pass == ConvolutionPass::WeightGradient ? memory::data_type::f32 : type_of(args);
  const Description d(args, has_bias, weight_type);
  auto result = std::make_shared<Prepared>();
  result->input = d.input;
  result->output = d.output;
  result->bias = d.bias;
  result->plain_weight = row_major(weight_sizes(args), weight_type);
  Forward forward = describe_forward(Description(args, has_bias, type_of(args)));
  if (!forward) return nullptr;
  const auto take = [&](const auto& pd, const memory::desc& weight, dnnl::primitive primitive) {
    result->weight = weight;
    result->scratchpad = pd.scratchpad_desc();
    result->primitive = std::move(primitive);
  };
  if (pass == ConvolutionPass::Forward) {
    if (!find_fast(forward, kept)) return nullptr;
    take(forward, forward.weights_desc(), dnnl::convolution_forward(forward));
  } else if (pass == ConvolutionPass::InputGradient) {
    BackwardData pd(engine(), dnnl::algorithm::convolution_direct, d.input, d.weight, d.output,
                    d.strides, d.dilations, d.before, d.after, forward, d.attributes, true);
    if (!find_fast(pd, kept)) return nullptr;
    take(pd, pd.weights_desc(), dnnl::convolution_backward_data(pd));
  } else {
    BackwardWeights pd = describe_weights(d, forward);
    if (!find_fast(pd, kept)) return nullptr;
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

// Held while something is prepared or looked up. A fork waits for it, so that the child finds it
// open, the lists whole and the library's own locks at rest.
constinit std::mutex preparation;
[[maybe_unused]] const int registered = pthread_atfork(
    [] { preparation.lock(); }, [] { preparation.unlock(); }, [] { preparation.unlock(); });

/// What is prepared, the most recently used first; the oldest goes when there are too many.
class Cache {
 public:
  static std::shared_ptr<const Prepared> get(ConvolutionPass pass, const ConvolutionArgs& args,
                                             bool has_bias) {
    const Key key(pass, args, has_bias);
    const std::scoped_lock lock(preparation);
    if (cache_ == nullptr) cache_ = new Cache;
    return cache_->find_or_prepare(key, pass, args, has_bias);
  }
  static PreparedPasses size() {
    const std::scoped_lock lock(preparation);
    return {cache_ == nullptr ? 0 : cache_->entries_.size(), kCapacity};
  }

 private:
  Cache() = default;
  struct Key;
  std::shared_ptr<const Prepared> find_or_prepare(const Key& key, ConvolutionPass pass,
                                                  const ConvolutionArgs& args, bool has_bias) {
    const auto found = places_.find(key);
    if (found != places_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->second;
    }
    entries_.emplace_front(key, prepare(pass, args, has_bias, kept_.allow(Hash()(key))));
    places_.emplace(key, entries_.begin());
    if (entries_.size() > kCapacity) {
      places_.erase(entries_.back().first);
      entries_.pop_back();
    }
    return entries_.front().second;
  }

  static constexpr size_t kCapacity = 256;
  static constexpr size_t kMostKept = 4096;
  static inline constinit Cache* cache_ = nullptr;  // never destroyed
  struct Key {
    int64_t values[27] = {};
    Key(ConvolutionPass pass, const ConvolutionArgs& a, bool has_bias) {
      int64_t* to = values;
      for (const int64_t value :
           {static_cast<int64_t>(pass), int64_t{has_bias}, static_cast<int64_t>(a.dtype),
            int64_t{a.spatial}, a.batch, a.groups, a.in_channels, a.out_channels})
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

  KeptKernels kept_{kMostKept};
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

// --- pieces: see Note [Pieces of a convolution] --------------------------------------------------

// Work below which a piece is not worth a thread, in multiplications.
constexpr int64_t kPieceWork = int64_t{1} << 20;
// Images of a small batch are cut into strips, so many for all together, of so many rows at least.
constexpr int64_t kStrips = 8;
constexpr int64_t kStripRows = 4;
// Each piece of the weight gradient has a sum of its own, so there are few, and for each element of
// the sum enough products that adding it up costs little.
constexpr int64_t kMostSums = 16;
constexpr int64_t kSumPositions = 512;

int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to; }

int64_t work_of_sample(const ConvolutionArgs& args) {
  return std::max<int64_t>(1, args.out_positions() * args.weight_count());
}

/// What one thread does at once: some samples, or some rows of one.
struct Piece {
  int64_t input, output;  // where its images begin, in elements
  std::shared_ptr<const Prepared> prepared;
};

/// Rows [in_begin, in_end) and [out_begin, out_end) of the first dimension that is meant.
struct Strip {
  int64_t in_begin, in_end, out_begin, out_end, padding;
};

class Pieces {
 public:
  Pieces(ConvolutionPass pass, const ConvolutionArgs& args, bool has_bias)
      : pass_(pass), args_(args), has_bias_(has_bias) {
    if (!cut_rows()) cut_samples();
  }

  bool usable() const {
    return std::ranges::all_of(list_, [](const Piece& p) { return p.prepared != nullptr; });
  }
  int64_t count() const { return static_cast<int64_t>(list_.size()); }
  const Piece& operator[](int64_t i) const { return list_[static_cast<size_t>(i)]; }
  /// Whether all have the weights in the same layout.
  bool agree() const {
    return std::ranges::all_of(list_, [&](const Piece& p) {
      return p.prepared == list_[0].prepared || p.prepared->weight == list_[0].prepared->weight;
    });
  }

 private:
  void add(const ConvolutionArgs& piece, int64_t input, int64_t output) {
    list_.push_back({input, output, Cache::get(pass_, piece, has_bias_)});
  }

  void cut_samples() {
    const int64_t work = work_of_sample(args_);
    int64_t each = round_up(kPieceWork, work);
    if (pass_ == ConvolutionPass::WeightGradient) {
      each = std::max(
          {each, round_up(kSumPositions, args_.out_positions()), round_up(args_.batch, kMostSums)});
    }
    const int64_t input = args_.in_positions() * args_.in_channels;
    const int64_t output = args_.out_positions() * args_.out_channels;
    list_.clear();
    for (int64_t n = 0; n < args_.batch; n += each) {
      ConvolutionArgs piece = args_;
      piece.batch = std::min(each, args_.batch - n);
      if (n == 0 || piece.batch != each)
        add(piece, n * input, n * output);
      else
        list_.push_back({n * input, n * output, list_[0].prepared});
    }
  }

  /// False where that is not worth while or not possible.
  bool cut_rows() {
    const int k = 3 - args_.spatial;
    const int64_t rows = pass_ == ConvolutionPass::InputGradient ? args_.in[k] : args_.out[k];
    int64_t strips =
        std::min({kStrips / args_.batch, rows / kStripRows, work_of_sample(args_) / kPieceWork});
    if (pass_ == ConvolutionPass::WeightGradient)
      strips = std::min(strips, args_.out_positions() / kSumPositions);
    if (strips < 2) return false;
    const int64_t in_row = args_.in_positions() / args_.in[k] * args_.in_channels;
    const int64_t out_row = args_.out_positions() / args_.out[k] * args_.out_channels;
    for (int64_t n = 0; n < args_.batch; ++n) {
      for (int64_t i = 0; i < strips; ++i) {
        const auto strip = strip_of(k, i * rows / strips, (i + 1) * rows / strips);
        if (!strip) return false;
        ConvolutionArgs piece = args_;
        piece.batch = 1;
        piece.in[k] = strip->in_end - strip->in_begin;
        piece.out[k] = strip->out_end - strip->out_begin;
        piece.padding[k] = strip->padding;
        add(piece, (n * args_.in[k] + strip->in_begin) * in_row,
            (n * args_.out[k] + strip->out_begin) * out_row);
        if (!list_.back().prepared) return false;
      }
    }
    return true;
  }

  /// Rows of the output with what lies under them; for the gradient of the input, rows of the input
  /// with what sees them.
  std::optional<Strip> strip_of(int k, int64_t begin, int64_t end) const {
    const int64_t stride = args_.stride[k], padding = args_.padding[k];
    const int64_t reach = (args_.kernel[k] - 1) * args_.dilation[k] + 1;
    Strip s{};
    if (pass_ == ConvolutionPass::InputGradient) {
      const int64_t lowest = begin + padding - reach + 1;
      s = {begin, end, lowest <= 0 ? 0 : round_up(lowest, stride),
           std::min(args_.out[k], (end - 1 + padding) / stride + 1), 0};
      s.padding = begin + padding - s.out_begin * stride;
    } else {
      const int64_t first = begin * stride - padding;
      s = {std::max<int64_t>(0, first),
           std::min(args_.in[k], first + (end - begin - 1) * stride + reach), begin, end, 0};
      s.padding = s.in_begin - first;
    }
    const int64_t after =
        (s.out_end - s.out_begin - 1) * stride + reach - (s.in_end - s.in_begin) - s.padding;
    const bool possible =
        s.in_begin < s.in_end && s.out_begin < s.out_end && s.padding >= 0 && after > -stride;
    return possible ? std::optional(s) : std::nullopt;
  }

  ConvolutionPass pass_;
  const ConvolutionArgs& args_;
  bool has_bias_;
  std::vector<Piece> list_;
};

/// The weights in the layouts that the pieces want; one for most.
class PackedWeights {
 public:
  PackedWeights(const Pieces& pieces, void* plain) : plain_(plain) {
    for (int64_t i = 0; i < pieces.count(); ++i) {
      const Prepared& p = *pieces[i].prepared;
      if (p.repacks && !find(p)) pack(p);
    }
  }
  void* of(const Prepared& p) const { return p.repacks ? find(p) : plain_; }

 private:
  struct Copy {
    const Prepared* prepared;
    std::unique_ptr<core::Scratch> data;
  };

  void* find(const Prepared& p) const {
    for (const Copy& copy : copies_) {
      if (copy.prepared == &p || copy.prepared->weight == p.weight) return copy.data->as<void>();
    }
    return nullptr;
  }
  void pack(const Prepared& p) {
    const core::LibraryThreads one(1);
    copies_.push_back({&p, std::make_unique<core::Scratch>(p.weight.get_size())});
    run_reorder(p.repack, p.plain_weight, plain_, p.weight, copies_.back().data->as<void>());
  }

  void* plain_;
  std::vector<Copy> copies_;
};

void* element(const ConvolutionArgs& args, void* data, int64_t index) {
  return static_cast<std::byte*>(data) + index * static_cast<int64_t>(item_size(args.dtype));
}

void add_bias(float* to, int64_t count, int64_t width, const float* bias) {
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t c = 0; c < width; ++c) to[i * width + c] += bias[c];
  }
}

/// Forward and input gradient: every piece has its own place in the result.
bool run_images(ConvolutionPass pass, void* const* data, const ConvolutionArgs& args) {
  const bool forward = pass == ConvolutionPass::Forward;
  const Pieces pieces(pass, args, forward && data[3] != nullptr);
  if (!pieces.usable()) return false;
  const PackedWeights weights(pieces, data[2]);
  core::parallel_for(0, pieces.count(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Piece& piece = pieces[i];
      const Prepared& p = *piece.prepared;
      void* input = element(args, data[forward ? 1 : 0], piece.input);
      run_pass(p, pass,
               {input, weights.of(p), element(args, data[forward ? 0 : 1], piece.output), data[3]});
      if (!forward && data[3]) {
        const int64_t places =
            static_cast<int64_t>(p.input.get_size() / sizeof(float)) / args.in_channels;
        add_bias(static_cast<float*>(input), places, args.in_channels,
                 static_cast<const float*>(data[3]));
      }
    }
  });
  return true;
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

/// The sums of the pieces, `width` elements each, added up in order: weights into `weight`, biases
/// into the first sum.
void join_sums(const Pieces& pieces, const ConvolutionArgs& args, float* sums, int64_t bias_at,
               int64_t width, float* weight) {
  if (pieces.agree()) {
    add_up(sums, pieces.count(), width);
    unpack(*pieces[0].prepared, sums, weight);
    return;
  }
  const core::Scratch plain(static_cast<size_t>(args.weight_count()) * sizeof(float));
  unpack(*pieces[0].prepared, sums, weight);
  for (int64_t i = 1; i < pieces.count(); ++i) {
    unpack(*pieces[i].prepared, sums + i * width, plain.as<float>());
    for (int64_t k = 0; k < args.weight_count(); ++k) weight[k] += plain.as<float>()[k];
    for (int64_t k = bias_at; k < width; ++k) sums[k] += sums[i * width + k];
  }
}

bool run_weight_gradient(void* const* data, const ConvolutionArgs& args) {
  constexpr auto kPass = ConvolutionPass::WeightGradient;
  constexpr int64_t kLine = 16;
  const Pieces pieces(kPass, args, data[1] != nullptr);
  if (!pieces.usable()) return false;
  if (pieces.count() == 1 && !pieces[0].prepared->repacks) {
    run_pass(*pieces[0].prepared, kPass, {data[2], data[0], data[3], data[1]});
    return true;
  }
  int64_t weights = 0;
  for (int64_t i = 0; i < pieces.count(); ++i) {
    const size_t bytes = pieces[i].prepared->weight.get_size();
    weights = std::max(weights, static_cast<int64_t>(bytes / sizeof(float)));
  }
  const int64_t bias_at = round_up(weights, kLine) * kLine;
  const int64_t width = bias_at + (data[1] ? round_up(args.out_channels, kLine) * kLine : 0);
  const core::Scratch room(static_cast<size_t>(pieces.count() * width) * sizeof(float));
  auto* sums = room.as<float>();
  core::parallel_for(0, pieces.count(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* sum = sums + i * width;
      run_pass(*pieces[i].prepared, kPass,
               {element(args, data[2], pieces[i].input), sum,
                element(args, data[3], pieces[i].output), data[1] ? sum + bias_at : nullptr});
    }
  });
  join_sums(pieces, args, sums, bias_at, width, static_cast<float*>(data[0]));
  if (data[1]) std::copy_n(sums + bias_at, args.out_channels, static_cast<float*>(data[1]));
  return true;
}

}  // namespace

bool convolves_bfloat16(ConvolutionPass pass, const ConvolutionArgs& args, bool has_bias) {
  if (!has_bfloat16_instructions()) return false;
  if (pass == ConvolutionPass::InputGradient && has_bias) return false;
  ConvolutionArgs half = args;
  half.dtype = DType::BFloat16;
  return Pieces(pass, half, has_bias).usable();
}

PreparedPasses prepared_passes() { return Cache::size(); }

bool convolve_by_onednn(ConvolutionPass pass, void* const* data, const ConvolutionArgs& args) {
  if (args.dtype == DType::Float64) return false;
  return pass == ConvolutionPass::WeightGradient ? run_weight_gradient(data, args)
                                                 : run_images(pass, data, args);
}

}  // namespace tapegrad::kernels

#else

namespace tapegrad::kernels {

bool convolves_bfloat16(ConvolutionPass /*pass*/, const ConvolutionArgs& /*args*/,
                        bool /*has_bias*/) {
  return false;
}

PreparedPasses prepared_passes() { return {}; }

bool convolve_by_onednn(ConvolutionPass /*pass*/, void* const* /*data*/,
                        const ConvolutionArgs& /*args*/) {
  return false;
}

}  // namespace tapegrad::kernels

#endif
