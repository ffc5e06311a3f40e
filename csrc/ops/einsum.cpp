// Einstein summation: an equation is parsed into labels, and operands are contracted two at a time
// by permutation, reshape and batched matrix products, so nothing is broadcast in memory.
#include <algorithm>
#include <string>
#include <vector>

#include "core/text.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace {

using namespace ops;

// Labels: 0..51 are the letters A-Z a-z, 52 and up the dimensions of the ellipsis.
using Label = int;
using Labels = std::vector<Label>;
constexpr Label kEllipsis = -1;
constexpr Label kFirstEllipsis = 52;

bool contains(const Labels& labels, Label label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}
int64_t place_of(const Labels& labels, Label label) {
  return std::find(labels.begin(), labels.end(), label) - labels.begin();
}

Label label_of(char c, std::string_view equation) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  throw ValueError(core::text("einsum: '", c, "' in the equation '", equation,
                              "' is not a letter; subscripts are letters in [a-zA-Z], '...', ',' "
                              "and '->'"));
}

/// "ij...k" as labels, with kEllipsis in the place of the ellipsis.
Labels parse_labels(std::string_view text, std::string_view equation) {
  Labels labels;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ') continue;
    if (text[i] != '.') {
      labels.push_back(label_of(text[i], equation));
      continue;
    }
    if (text.substr(i, 3) != "..." || contains(labels, kEllipsis)) {
      throw ValueError(core::text("einsum: '", equation,
                                  "' has a '.' that is not part of the one ellipsis ('...') that "
                                  "an operand may have"));
    }
    labels.push_back(kEllipsis);
    i += 2;
  }
  return labels;
}

struct Equation {
  std::vector<Labels> inputs;
  Labels output;
  bool explicit_output = false;
};

Equation parse_equation(std::string_view text) {
  Equation equation;
  const size_t arrow = text.find("->");
  std::string_view left = text.substr(0, arrow);
  for (size_t start = 0;;) {
    const size_t comma = left.find(',', start);
    equation.inputs.push_back(parse_labels(left.substr(start, comma - start), text));
    if (comma == std::string_view::npos) break;
    start = comma + 1;
  }
  if (arrow != std::string_view::npos) {
    equation.explicit_output = true;
    equation.output = parse_labels(text.substr(arrow + 2), text);
  }
  return equation;
}

std::string label_name(Label label) {
  if (label >= kFirstEllipsis) return "...";
  return std::string(1, static_cast<char>(label < 26 ? 'A' + label : 'a' + label - 26));
}

/// A tensor whose dimensions are named by distinct labels.
struct Term {
  Tensor tensor;
  Labels labels;
};

/// Puts the ellipsis' own labels (counted from its last dimension) in its place.
Labels expand_ellipsis(const Labels& labels, int64_t dimensions) {
  Labels result;
  for (const Label label : labels) {
    if (label != kEllipsis) {
      result.push_back(label);
      continue;
    }
    for (int64_t d = dimensions; d-- > 0;) result.push_back(kFirstEllipsis + static_cast<Label>(d));
  }
  return result;
}

/// Dimensions with the same label become their diagonal.
Term take_diagonals(Term term) {
  for (size_t i = 0; i < term.labels.size(); ++i) {
    for (size_t j = i + 1; j < term.labels.size();) {
      if (term.labels[i] != term.labels[j]) {
        ++j;
        continue;
      }
      const auto a = static_cast<int64_t>(i), b = static_cast<int64_t>(j);
      if (term.tensor.size(a) != term.tensor.size(b)) {
        throw ShapeError(core::text("einsum: the subscript '", label_name(term.labels[i]),
                                    "' is repeated for dimensions of sizes ", term.tensor.size(a),
                                    " and ", term.tensor.size(b), " of one operand of shape ",
                                    shape_string(term.tensor.sizes())));
      }
      const Label label = term.labels[i];
      term.tensor = diagonal(term.tensor, 0, a, b);
      term.labels.erase(term.labels.begin() + b);
      term.labels.erase(term.labels.begin() + a);
      term.labels.push_back(label);
      i = static_cast<size_t>(-1);  // the labels have moved: from the start
      break;
    }
  }
  return term;
}

/// Dimensions that are of size 1 here and larger elsewhere, or needed by nobody, are summed away.
Term sum_out(const Term& term, const Labels& keep) {
  Dims dims;
  Labels left;
  for (size_t i = 0; i < term.labels.size(); ++i) {
    if (contains(keep, term.labels[i])) {
      left.push_back(term.labels[i]);
    } else {
      dims.push_back(static_cast<int64_t>(i));
    }
  }
  if (dims.empty()) return term;
  return {sum(term.tensor, dims), left};
}

/// Drops dimensions of size 1 that the other operand has with another size.
Term drop_ones(const Term& term, const Term& other) {
  Dims dims;
  Labels left;
  for (size_t i = 0; i < term.labels.size(); ++i) {
    const auto d = static_cast<int64_t>(i);
    const bool broadcast = term.tensor.size(d) == 1 && contains(other.labels, term.labels[i]) &&
                           other.tensor.size(place_of(other.labels, term.labels[i])) != 1;
    if (broadcast) {
      dims.push_back(d);
    } else {
      left.push_back(term.labels[i]);
    }
  }
  if (dims.empty()) return term;
  return {squeeze(term.tensor, OptionalInts(dims)), left};
}

Tensor arranged(const Term& term, const Labels& order) {
  Dims dims;
  bool same = true;
  for (size_t i = 0; i < order.size(); ++i) {
    dims.push_back(place_of(term.labels, order[i]));
    same = same && dims.back() == static_cast<int64_t>(i);
  }
  return same ? term.tensor : permute(term.tensor, dims);
}

int64_t extent(const Term& term, const Labels& labels) {
  int64_t count = 1;
  for (const Label label : labels) count *= term.tensor.size(place_of(term.labels, label));
  return count;
}

Labels joined(std::initializer_list<const Labels*> parts) {
  Labels all;
  for (const Labels* part : parts) all.insert(all.end(), part->begin(), part->end());
  return all;
}

/// The product of two terms whose labels are those of both, by one multiplication.
Term outer_product(const Term& a, const Term& b) {
  Labels order = a.labels;
  for (const Label label : b.labels) {
    if (!contains(order, label)) order.push_back(label);
  }
  const auto spread = [&](const Term& term) {
    Labels own;
    for (const Label label : order) {
      if (contains(term.labels, label)) own.push_back(label);
    }
    Tensor t = arranged(term, own);
    for (size_t i = 0; i < order.size(); ++i) {
      if (!contains(own, order[i])) t = unsqueeze(t, static_cast<int64_t>(i));
    }
    return t;
  };
  return {spread(a) * spread(b), order};
}

/// Contracts two terms; `keep` are the labels that the output or later operands read.
Term contract(const Term& first, const Term& second, const Labels& keep) {
  const Labels own_a = joined({&keep, &second.labels}), own_b = joined({&keep, &first.labels});
  const Term sum_a = sum_out(first, own_a), sum_b = sum_out(second, own_b);
  const Term squeezed_a = drop_ones(sum_a, sum_b), squeezed_b = drop_ones(sum_b, sum_a);
  // What the other side lost by being of size 1 may be summed away now.
  const Term a = sum_out(squeezed_a, joined({&keep, &squeezed_b.labels}));
  const Term b = sum_out(squeezed_b, joined({&keep, &squeezed_a.labels}));
  Labels batch, inner, left, right;
  for (const Label label : a.labels) {
    if (!contains(b.labels, label)) {
      left.push_back(label);
    } else if (contains(keep, label)) {
      batch.push_back(label);
    } else {
      inner.push_back(label);
    }
  }
  for (const Label label : b.labels) {
    if (!contains(a.labels, label)) right.push_back(label);
  }
  if (inner.empty()) return outer_product(a, b);
  const int64_t count = extent(a, batch), depth = extent(a, inner);
  const int64_t rows = extent(a, left), columns = extent(b, right);
  const Tensor x = arranged(a, joined({&batch, &left, &inner}));
  const Tensor y = arranged(b, joined({&batch, &inner, &right}));
  Tensor product = batch.empty()
                       ? mm(reshape(x, {rows, depth}), reshape(y, {depth, columns}))
                       : bmm(reshape(x, {count, rows, depth}), reshape(y, {count, depth, columns}));
  Dims sizes;
  for (const Label label : batch) sizes.push_back(a.tensor.size(place_of(a.labels, label)));
  for (const Label label : left) sizes.push_back(a.tensor.size(place_of(a.labels, label)));
  for (const Label label : right) sizes.push_back(b.tensor.size(place_of(b.labels, label)));
  return {reshape(product, sizes), joined({&batch, &left, &right})};
}

/// The terms of the equation, with ellipses spelled out and repeated labels resolved.
std::vector<Term> make_terms(Equation& equation, std::string_view text, TensorList operands) {
  if (equation.inputs.size() != operands.size()) {
    throw ValueError(core::text("einsum: the equation '", text, "' names ", equation.inputs.size(),
                                " operands, but ", operands.size(), " were given"));
  }
  int64_t ellipsis = 0;
  for (size_t i = 0; i < operands.size(); ++i) {
    const Labels& labels = equation.inputs[i];
    const bool open = contains(labels, kEllipsis);
    const int64_t named = static_cast<int64_t>(labels.size()) - open;
    if (operands[i].dim() < named || (!open && operands[i].dim() != named)) {
      throw ShapeError(core::text("einsum: the equation '", text, "' has ", named,
                                  " subscripts for operand ", i, ", whose shape is ",
                                  shape_string(operands[i].sizes()),
                                  open ? "" : "; '...' stands for the dimensions not named"));
    }
    if (open) ellipsis = std::max(ellipsis, operands[i].dim() - named);
  }
  std::vector<Term> terms;
  for (size_t i = 0; i < operands.size(); ++i) {
    const Labels& labels = equation.inputs[i];
    const int64_t own = operands[i].dim() - static_cast<int64_t>(labels.size()) + 1;
    terms.push_back(take_diagonals({operands[i], expand_ellipsis(labels, own)}));
  }
  if (equation.explicit_output) {
    equation.output = expand_ellipsis(equation.output, ellipsis);
    return terms;
  }
  equation.output = expand_ellipsis({kEllipsis}, ellipsis);
  for (Label label = 0; label < kFirstEllipsis; ++label) {
    int64_t times = 0;
    for (const Labels& labels : equation.inputs)
      times += std::count(labels.begin(), labels.end(), label);
    if (times == 1) equation.output.push_back(label);
  }
  return terms;
}

void check_output(const Equation& equation, std::string_view text, const std::vector<Term>& terms) {
  for (size_t i = 0; i < equation.output.size(); ++i) {
    const Label label = equation.output[i];
    if (std::count(equation.output.begin(), equation.output.end(), label) > 1) {
      throw ValueError(core::text("einsum: the output subscript '", label_name(label),
                                  "' appears more than once in '", text, "'"));
    }
    const bool known = std::any_of(terms.begin(), terms.end(),
                                   [&](const Term& term) { return contains(term.labels, label); });
    if (!known) {
      throw ValueError(core::text("einsum: the output subscript '", label_name(label),
                                  "' does not appear in any operand of '", text, "'"));
    }
  }
}

void check_sizes(std::string_view text, const std::vector<Term>& terms) {
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < terms.size(); ++i) {
    for (size_t d = 0; d < terms[i].labels.size(); ++d) {
      const auto label = static_cast<size_t>(terms[i].labels[d]);
      const int64_t size = terms[i].tensor.size(static_cast<int64_t>(d));
      if (label >= sizes.size()) sizes.resize(label + 1, 1);
      if (sizes[label] == 1) sizes[label] = size;
      if (size == sizes[label] || size == 1) continue;
      throw ShapeError(core::text("einsum: operands do not fit: the subscript '",
                                  label_name(terms[i].labels[d]), "' of '", text, "' is of size ",
                                  size, " in operand ", i, " and of size ", sizes[label],
                                  " in one before it"));
    }
  }
}

/// `path`: pairs of positions in the list of terms, as opt_einsum gives them; empty: left to right.
Tensor einsum_by(std::string_view text, TensorList operands, OptionalInts path) {
  if (operands.empty()) throw ValueError("einsum: expected at least one operand");
  Equation equation = parse_equation(text);
  std::vector<Term> terms = make_terms(equation, text, operands);
  check_output(equation, text, terms);
  check_sizes(text, terms);
  const IntSpan pairs = path.has_value() ? path.value() : IntSpan();
  if (path.has_value() && pairs.size() != 2 * (terms.size() - 1)) {
    throw ValueError(core::text("einsum: a path of ", operands.size(), " operands has ",
                                2 * (operands.size() - 1), " numbers, got ", pairs.size()));
  }
  for (size_t step = 0; terms.size() > 1; ++step) {
    const int64_t count = static_cast<int64_t>(terms.size());
    int64_t i = path.has_value() ? pairs[2 * step] : 0;
    int64_t j = path.has_value() ? pairs[2 * step + 1] : 1;
    if (i > j) std::swap(i, j);
    if (i < 0 || i == j || j >= count)
      throw ValueError(core::text("einsum: the path names terms ", i, " and ", j, " of ", count));
    const Term a = terms[static_cast<size_t>(i)], b = terms[static_cast<size_t>(j)];
    terms.erase(terms.begin() + j);
    terms.erase(terms.begin() + i);
    Labels keep = equation.output;
    for (const Term& term : terms) keep = joined({&keep, &term.labels});
    Term result = contract(a, b, keep);
    terms.insert(path.has_value() ? terms.end() : terms.begin(), std::move(result));
  }
  return arranged(sum_out(terms[0], equation.output), equation.output);
}

// --- tensordot -----------------------------------------------------------------------------------

Tensor tensordot_dims(const Tensor& a, const Tensor& b, IntSpan dims_a, IntSpan dims_b) {
  if (dims_a.size() != dims_b.size()) {
    throw ShapeError(core::text("tensordot: both dimension lists should have the same length, got ",
                                dims_a.size(), " and ", dims_b.size()));
  }
  Term left{a, {}}, right{b, {}};
  for (int64_t d = 0; d < a.dim(); ++d) left.labels.push_back(static_cast<Label>(d));
  for (int64_t d = 0; d < b.dim(); ++d) right.labels.push_back(static_cast<Label>(64 + d));
  Labels inner;
  for (size_t i = 0; i < dims_a.size(); ++i) {
    const int64_t p = wrap_dim("tensordot", dims_a[i], a.dim());
    const int64_t q = wrap_dim("tensordot", dims_b[i], b.dim());
    if (a.size(p) != b.size(q) && a.size(p) != 1 && b.size(q) != 1) {
      throw ShapeError(core::text("tensordot: contracted dimensions need to match, but dimension ",
                                  p, " of shape ", shape_string(a.sizes()), " has size ", a.size(p),
                                  " and dimension ", q, " of shape ", shape_string(b.sizes()),
                                  " has size ", b.size(q)));
    }
    const Label label = left.labels[static_cast<size_t>(p)];
    if (contains(inner, label) || right.labels[static_cast<size_t>(q)] < 64) {
      throw ShapeError(core::text("tensordot: a dimension appears twice in the lists for shapes ",
                                  shape_string(a.sizes()), " and ", shape_string(b.sizes())));
    }
    right.labels[static_cast<size_t>(q)] = label;
    inner.push_back(label);
  }
  Labels keep;
  for (const Label label : joined({&left.labels, &right.labels})) {
    if (!contains(inner, label)) keep.push_back(label);
  }
  const Term result = contract(left, right, keep);
  return arranged(result, keep);
}

}  // namespace

Tensor einsum(std::string_view equation, TensorList operands) {
  return einsum_by(equation, operands, {});
}
Tensor tensordot(const Tensor& input, const Tensor& other, IntSpan dims_self, IntSpan dims_other) {
  return tensordot_dims(input, other, dims_self, dims_other);
}

// Python's einsum() and tensordot() take their arguments in several forms; these are what they
// call.
TAPEGRAD_OP(kLinalg, "linalg__einsum(str equation, Tensor[] operands, int[]? path=None) -> Tensor",
            R"(Sum of products by an equation; einsum() calls it.

Args:
    equation: subscripts of the operands, and after '->' of the result
    operands: the tensors
    path: pairs of positions that say which two terms to contract next; the result goes to the end.
        Left to right when absent

Raises:
    ShapeError: operands that do not fit the equation or each other
    ArgumentError: an equation that cannot be read

Example:
    >>> import tapegrad as tg
    >>> tg._C._linalg._einsum("ij,j->i", [tg.tensor([[1., 2.], [3., 4.]]), tg.ones(2)])
    tensor([3., 7.]))",
            &einsum_by);
TAPEGRAD_OP(kLinalg,
            "linalg__tensordot(Tensor input, Tensor other, int[] dims_self, int[] dims_other) -> "
            "Tensor",
            R"(Products summed over pairs of dimensions; tensordot() calls it.

Args:
    input: the first tensor
    other: the second
    dims_self: dimensions of the first
    dims_other: the dimensions of the second that they meet

Raises:
    ShapeError: sizes or lists that do not fit

Example:
    >>> import tapegrad as tg
    >>> tg._C._linalg._tensordot(tg.ones(2, 3), tg.ones(3, 2), [0, 1], [1, 0])
    tensor(6.))",
            &tensordot_dims);

}  // namespace tapegrad
