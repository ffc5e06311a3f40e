// Functions with a derivative written by hand: Function<T>, and the context between its forward
// and its backward. Knows tensors alone; the tape lies behind AutogradContext.
//
//   struct Cube : tapegrad::Function<Cube> {
//     static Tensor forward(AutogradContext* ctx, const Tensor& x, double scale) {
//       ctx->save_for_backward({x});
//       ctx->saved_data["scale"] = scale;
//       return x * x * x * scale;
//     }
//     static std::vector<Tensor> backward(AutogradContext* ctx, std::vector<Tensor> gradients) {
//       const Tensor x = ctx->get_saved_variables()[0];
//       const double scale = std::any_cast<double>(ctx->saved_data["scale"]);
//       return {gradients[0] * x * x * (3 * scale), Tensor()};  // nothing for `scale`
//     }
//   };
//   Tensor y = Cube::apply(x, 2.0);
//
// forward() runs unrecorded; its arguments may be tensors and anything else, its result a Tensor or
// a std::vector<Tensor>. backward() gets one gradient for each output and returns one for each
// argument of forward(), undefined where there is none; written in operations it can be
// differentiated again. T may have more members:
//
//     static void setup_context(AutogradContext* ctx, const std::vector<Tensor>& outputs,
//                               const A&... arguments);
// takes over what forward() tells the context; forward() is then without ctx. Needed where func's
// derivatives meet a forward() that reads memory inside vmap; elsewhere they run forward() twice.
//
//     static std::vector<Tensor> jvp(AutogradContext* ctx, std::vector<Tensor> tangents);
// for forward mode: one tangent for each argument, undefined for what is no tensor, and one for
// each output in its result.
//
//     static std::pair<R, std::vector<int>> vmap(const VmapInfo& info, const A&... arguments);
// runs over all samples at once: R is forward()'s result, with the batch dimension of each output.
// Without it vmap runs the function sample by sample.
//
//     static constexpr bool once_differentiable = true;
// for a backward() that cannot be differentiated: it runs unrecorded, and a second derivative is an
// error. The node is called by T's name, or by a member `static constexpr const char* name`.
#pragma once

#include <any>
#include <cstdint>
#include <string>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tapegrad/export.h"
#include "tapegrad/tensor.h"

namespace tapegrad {

namespace autograd {
class FunctionNode;
}

/// What forward() tells the tape, and backward() reads.
class TAPEGRAD_API AutogradContext {
 public:
  explicit AutogradContext(autograd::FunctionNode* node) : node_(node) {}
  AutogradContext(const AutogradContext&) = delete;
  AutogradContext& operator=(const AutogradContext&) = delete;

  /// Keeps tensors for backward() and jvp(): inputs, outputs or others, undefined ones too. Changes
  /// in place are noticed.
  void save_for_backward(std::vector<Tensor> tensors);
  /// The saved tensors. Throws GradError when one was changed in place or the graph was freed.
  std::vector<Tensor> get_saved_variables() const;
  /// Names inputs that forward() changed in place; each must be returned as an output.
  void mark_dirty(const std::vector<Tensor>& inputs);
  /// Names outputs that no gradient flows through.
  void mark_non_differentiable(const std::vector<Tensor>& outputs);
  /// Whether backward() gets zeros (the default) or undefined tensors where no gradient flowed.
  void set_materialize_grads(bool value);
  /// Whether argument number `argument` of forward() is a tensor that requires grad.
  bool needs_input_grad(size_t argument) const;

  /// Values of any other type.
  std::unordered_map<std::string, std::any> saved_data;

 private:
  autograd::FunctionNode* node_;
};

/// What vmap tells a function's own rule.
struct VmapInfo {
  /// How random operations behave: not at all, alike for all samples, differently.
  enum class Randomness { Error, Same, Different };
  int64_t batch_size;
  Randomness randomness;
  /// For each argument of forward() its batch dimension; -1: every sample sees all of it.
  std::vector<int> in_dims;
};

namespace detail {

/// A call of Function<T>::apply, without its types. `inputs` are the tensors among the arguments.
class TAPEGRAD_API FunctionBody {
 public:
  virtual std::vector<Tensor> forward(AutogradContext* ctx,
                                      const std::vector<Tensor>& inputs) const = 0;
  virtual void setup_context(AutogradContext* ctx, const std::vector<Tensor>& inputs,
                             const std::vector<Tensor>& outputs) const = 0;
  virtual std::pair<std::vector<Tensor>, std::vector<int>> vmap(
      const VmapInfo& info, const std::vector<Tensor>& inputs) const = 0;

 protected:
  ~FunctionBody() = default;
};

/// What Function<T> knows of T, without its type.
struct FunctionTable {
  const char* name;       // may be null: then the readable form of type_name
  const char* type_name;  // as typeid gives it
  std::vector<Tensor> (*backward)(AutogradContext*, std::vector<Tensor>);
  std::vector<Tensor> (*jvp)(AutogradContext*, std::vector<Tensor>);  // may be null
  bool has_setup_context;
  bool has_vmap;
  bool once_differentiable;
};

/// `is_tensor` says for each argument whether it is among `inputs`. `table` outlives the graph.
TAPEGRAD_API std::vector<Tensor> apply_function(const FunctionTable& table,
                                                std::vector<bool> is_tensor,
                                                const std::vector<Tensor>& inputs,
                                                const FunctionBody& body);

template <class T, class... A>
concept HasSetupContext = requires(const std::vector<Tensor>& outputs, const A&... arguments) {
  T::setup_context(static_cast<AutogradContext*>(nullptr), outputs, arguments...);
};

template <class T, class... A>
concept HasVmap =
    requires(const VmapInfo& info, const A&... arguments) { T::vmap(info, arguments...); };

template <class T, class... A>
const FunctionTable& function_table() {
  static const FunctionTable table = [] {
    FunctionTable made{nullptr, typeid(T).name(),         &T::backward,
                       nullptr, HasSetupContext<T, A...>, HasVmap<T, A...>,
                       false};
    if constexpr (requires { T::name; }) made.name = T::name;
    if constexpr (requires { &T::jvp; }) made.jvp = &T::jvp;
    if constexpr (requires { T::once_differentiable; })
      made.once_differentiable = T::once_differentiable;
    return made;
  }();
  return table;
}

template <class A>
const A& argument(const A& given, const std::vector<Tensor>& inputs, size_t& next) {
  if constexpr (std::is_same_v<A, Tensor>) {
    return inputs[next++];
  } else {
    return given;  // NOLINT(bugprone-return-const-ref-from-parameter): outlives the call
  }
}

/// Tensors of T's result, which is one or a vector of them.
inline std::vector<Tensor> as_list(Tensor result) { return {std::move(result)}; }
inline std::vector<Tensor> as_list(std::vector<Tensor> result) { return result; }

template <class T, class... A>
class Body final : public FunctionBody {
 public:
  explicit Body(const A&... arguments) : arguments_(arguments...) {}

  static auto run(AutogradContext* ctx, const A&... arguments) {
    if constexpr (HasSetupContext<T, A...>) {
      return T::forward(arguments...);
    } else {
      return T::forward(ctx, arguments...);
    }
  }

  std::vector<Tensor> forward(AutogradContext* ctx,
                              const std::vector<Tensor>& inputs) const override {
    return call(inputs, [ctx](const A&... each) { return as_list(run(ctx, each...)); });
  }

  void setup_context(AutogradContext* ctx, const std::vector<Tensor>& inputs,
                     const std::vector<Tensor>& outputs) const override {
    if constexpr (HasSetupContext<T, A...>)
      call(inputs, [&](const A&... each) { T::setup_context(ctx, outputs, each...); });
  }

  std::pair<std::vector<Tensor>, std::vector<int>> vmap(
      const VmapInfo& info, const std::vector<Tensor>& inputs) const override {
    if constexpr (HasVmap<T, A...>) {
      auto result = call(inputs, [&](const A&... each) { return T::vmap(info, each...); });
      return {as_list(std::move(result.first)), std::move(result.second)};
    } else {
      return {};
    }
  }

 private:
  /// `f` of the arguments, with `inputs` in the places of tensors.
  template <class F>
  auto call(const std::vector<Tensor>& inputs, const F& f) const {
    size_t next = 0;
    return std::apply(
        [&](const A&... given) {
          const std::tuple<const A&...> replaced{argument(given, inputs, next)...};
          return std::apply(f, replaced);
        },
        arguments_);
  }

  std::tuple<const A&...> arguments_;
};

}  // namespace detail

/// Base of a function with a derivative written by hand; see the head of this file.
template <class T>
struct Function {  // NOLINT(bugprone-crtp-constructor-accessibility): never constructed
  /// Runs T::forward and records one node. Throws what forward() throws.
  template <class... A>
  static auto apply(const A&... arguments) {
    using Body = detail::Body<T, A...>;
    using Result = std::decay_t<decltype(Body::run(nullptr, arguments...))>;
    constexpr bool single = std::is_same_v<Result, Tensor>;
    static_assert(single || std::is_same_v<Result, std::vector<Tensor>>,
                  "forward() returns a Tensor or a std::vector<Tensor>");
    std::vector<Tensor> inputs;
    const auto collect = [&inputs](const auto& each) {
      if constexpr (std::is_same_v<std::decay_t<decltype(each)>, Tensor>) inputs.push_back(each);
    };
    (collect(arguments), ...);
    std::vector<Tensor> outputs =
        detail::apply_function(detail::function_table<T, A...>(), {std::is_same_v<A, Tensor>...},
                               inputs, Body(arguments...));
    if constexpr (single) {
      return std::move(outputs[0]);
    } else {
      return outputs;
    }
  }
};

}  // namespace tapegrad
