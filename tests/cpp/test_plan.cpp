// The iteration plan: dropping, sorting and merging of dimensions, and the walk over them.
#include <vector>

#include "check.h"
#include "kernels/plan.h"

namespace {

using tapegrad::Dims;
using tapegrad::IntSpan;
using namespace tapegrad::kernels;

Plan make_plan(IntSpan sizes, std::vector<std::pair<Dims, Dims>> operands) {
  Plan plan;
  plan_begin(plan, sizes);
  for (const auto& [operand_sizes, strides] : operands) plan_add(plan, operand_sizes, strides);
  plan_finish(plan);
  return plan;
}

TEST(plan_merges_contiguous_operands_into_one_dimension) {
  const Plan plan = make_plan({2, 3, 4}, {{{2, 3, 4}, {12, 4, 1}}, {{2, 3, 4}, {12, 4, 1}}});
  REQUIRE(plan.ndim == 1);
  CHECK_EQ(plan.sizes[0], 24);
  CHECK_EQ(plan.strides[0][0], 1);
  CHECK_EQ(plan.strides[1][0], 1);
}

TEST(plan_drops_dimensions_of_size_one_whatever_their_strides) {
  const Plan plan = make_plan({1, 5, 1}, {{{1, 5, 1}, {77, 1, 99}}, {{1, 5, 1}, {5, 1, 13}}});
  REQUIRE(plan.ndim == 1);
  CHECK_EQ(plan.sizes[0], 5);
  CHECK_EQ(plan.numel, 5);
}

TEST(plan_gives_broadcast_operands_stride_zero) {
  const Plan plan = make_plan({4, 3}, {{{4, 3}, {3, 1}}, {{4, 3}, {3, 1}}, {{3}, {1}}});
  REQUIRE(plan.ndim == 2);
  CHECK_EQ(plan.strides[2][0], 0);
  CHECK_EQ(plan.strides[2][1], 1);
}

TEST(plan_sorts_by_the_strides_of_the_output) {
  // A column-major output and input: one dimension after sorting and merging.
  const Plan plan = make_plan({3, 4}, {{{3, 4}, {1, 3}}, {{3, 4}, {1, 3}}});
  REQUIRE(plan.ndim == 1);
  CHECK_EQ(plan.sizes[0], 12);
}

TEST(plan_keeps_apart_what_only_one_operand_could_merge) {
  const Plan plan = make_plan({3, 4}, {{{3, 4}, {4, 1}}, {{3, 4}, {1, 3}}});
  REQUIRE(plan.ndim == 2);
  CHECK_EQ(plan.strides[1][0], 1);
  CHECK_EQ(plan.strides[1][1], 3);
}

TEST(plan_of_a_zero_dimensional_operand_has_one_element) {
  const Plan plan = make_plan({}, {{{}, {}}, {{}, {}}});
  CHECK_EQ(plan.ndim, 0);
  CHECK_EQ(plan.numel, 1);
  CHECK_EQ(PlanWalker(plan, 0).row_left(), 1);
}

TEST(walker_visits_every_offset_from_any_start) {
  const Plan plan = make_plan({3, 4, 2}, {{{3, 4, 2}, {8, 2, 1}}, {{3, 4, 2}, {1, 3, 12}}});
  for (int64_t start = 0; start < plan.numel; ++start) {
    PlanWalker walker(plan, start);
    for (int64_t linear = start; linear < plan.numel;) {
      int64_t rest = linear, expected[2] = {0, 0};
      for (int d = plan.ndim - 1; d >= 0; --d) {
        for (int k = 0; k < 2; ++k) expected[k] += rest % plan.sizes[d] * plan.strides[k][d];
        rest /= plan.sizes[d];
      }
      CHECK_EQ(walker.offset(0), expected[0]);
      CHECK_EQ(walker.offset(1), expected[1]);
      const int64_t step = std::min<int64_t>(walker.row_left(), 2);
      walker.advance(step);
      linear += step;
    }
  }
}

}  // namespace
