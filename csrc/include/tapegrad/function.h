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
// differentiated again. For forward mode add
//
//     static std::vector<Tensor> jvp(AutogradContext* ctx, std::vector<Tensor> tangents);
//
// with one tangent for each argument, undefined for what is no tensor, and one for each output in
// its result. The node is called by T's name, or by a member `static constexpr const char* name`.
#pragma once

#include <any>
#include <functional>
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

namespace detail {

/// What Function<T> knows of T, without its type.
struct FunctionTable {
  const char* name;       // may be null: then the readable form of type_name
  const char* type_name;  // as typeid gives it
  std::vector<Tensor> (*backward)(AutogradContext*, std::vector<Tensor>);
  std::vector<Tensor> (*jvp)(AutogradContext*, std::vector<Tensor>);  // may be null
};

using FunctionForward =
    std::function<std::vector<Tensor>(AutogradContext*, const std::vector<Tensor>& inputs)>;

/// `is_tensor` says for each argument whether it is among `inputs`. `table` outlives the graph.
TAPEGRAD_API std::vector<Tensor> apply_function(const FunctionTable& table,
                                                std::vector<bool> is_tensor,
                                                const std::vector<Tensor>& inputs,
                                                const FunctionForward& forward);

template <class T>
constexpr const char* function_name() {
  if constexpr (requires { T::name; }) {
    return T::name;
  } else {
    return nullptr;
  }
}

template <class T>
const FunctionTable& function_table() {
  static const FunctionTable table = [] {
    FunctionTable made{function_name<T>(), typeid(T).name(), &T::backward, nullptr};
    if constexpr (requires { &T::jvp; }) made.jvp = &T::jvp;
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

}  // namespace detail

/// Base of a function with a derivative written by hand; see the head of this file.
template <class T>
struct Function {
  /// Runs T::forward and records one node. Throws what forward() throws.
  template <class... A>
  static auto apply(const A&... arguments) {
    using Result =
        std::decay_t<decltype(T::forward(static_cast<AutogradContext*>(nullptr), arguments...))>;
    constexpr bool single = std::is_same_v<Result, Tensor>;
    static_assert(single || std::is_same_v<Result, std::vector<Tensor>>,
                  "forward() returns a Tensor or a std::vector<Tensor>");
    std::vector<Tensor> inputs;
    const auto collect = [&inputs](const auto& each) {
      if constexpr (std::is_same_v<std::decay_t<decltype(each)>, Tensor>) inputs.push_back(each);
    };
    (collect(arguments), ...);
    const auto forward = [&](AutogradContext* ctx, const std::vector<Tensor>& given) {
      size_t next = 0;
      const std::tuple<const A&...> replaced{detail::argument(arguments, given, next)...};
      Result result =
          std::apply([ctx](const A&... each) { return T::forward(ctx, each...); }, replaced);
      if constexpr (single) {
        return std::vector<Tensor>{std::move(result)};
      } else {
        return result;
      }
    };
    std::vector<Tensor> outputs = detail::apply_function(
        detail::function_table<T>(), {std::is_same_v<A, Tensor>...}, inputs, forward);
    if constexpr (single) {
      return std::move(outputs[0]);
    } else {
      return outputs;
    }
  }
};

}  // namespace tapegrad
