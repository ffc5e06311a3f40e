// Decompositions and solves but for eigenvalues, in one object: apart they would hold the same
// templates of Eigen three times. See Note [Decompositions by level].
#include "kernels/linalg.h"

#include "kernels/isa/linalg_factor.h"

#if defined(TAPEGRAD_HAVE_V3) && defined(__AVX512F__)

namespace tapegrad::kernels::v3 {
void qr_factor(void* const* data, const LinalgArgs& args);
void least_squares(void* const* data, const LinalgArgs& args);
void svd_solve(void* const* data, const LinalgArgs& args);
}  // namespace tapegrad::kernels::v3
#else
#include "kernels/isa/linalg_orthogonal.h"
#include "kernels/isa/linalg_svd.h"
#endif

namespace tapegrad::kernels::TAPEGRAD_ISA {

void cholesky_factor(void* const* data, const LinalgArgs& args) {
  args.is_double ? cholesky_all<double>(data, args) : cholesky_all<float>(data, args);
}
void lu_factor(void* const* data, const LinalgArgs& args) {
  args.is_double ? lu_all<double>(data, args) : lu_all<float>(data, args);
}
void triangular_solve(void* const* data, const LinalgArgs& args) {
  args.is_double ? solve_all<double>(data, args) : solve_all<float>(data, args);
}
void apply_pivots(void* const* data, const LinalgArgs& args) {
  args.is_double ? pivot_all<double>(data, args) : pivot_all<float>(data, args);
}

#if defined(TAPEGRAD_HAVE_V3) && defined(__AVX512F__)

void qr_factor(void* const* data, const LinalgArgs& args) { v3::qr_factor(data, args); }
void least_squares(void* const* data, const LinalgArgs& args) { v3::least_squares(data, args); }
void svd_solve(void* const* data, const LinalgArgs& args) { v3::svd_solve(data, args); }

#else

void svd_solve(void* const* data, const LinalgArgs& args) {
  args.is_double ? svd_all<double>(data, args) : svd_all<float>(data, args);
}

#ifdef TAPEGRAD_ALL_DECOMPOSITIONS

void qr_factor(void* const* data, const LinalgArgs& args) {
  args.is_double ? qr_all<double>(data, args) : qr_all<float>(data, args);
}
void least_squares(void* const* data, const LinalgArgs& args) {
  args.is_double ? least_squares_all<double>(data, args) : least_squares_all<float>(data, args);
}

#else  // Note [Decompositions below v3]

void qr_factor(void* const* data, const LinalgArgs& args) {
  if (args.is_double) return qr_all<double>(data, args);
  const int64_t m = args.rows, n = args.columns, k = args.q_columns, batch = args.batch;
  const int64_t sizes[] = {batch * m * n, args.vectors ? batch * m * k : 0, batch * k * n};
  through_double(data, sizes, 3, 0b111, [&](void* const* wide) { qr_all<double>(wide, args); });
}
void least_squares(void* const* data, const LinalgArgs& args) {
  if (args.is_double) return least_squares_all<double>(data, args);
  const int64_t m = args.rows, n = args.columns, k = args.right, batch = args.batch;
  const int64_t sizes[] = {batch * m * n, batch * m * k, batch * n * k, 0};
  through_double(data, sizes, 4, 0b0111,
                 [&](void* const* wide) { least_squares_all<double>(wide, args); });
}

#endif

#endif

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
