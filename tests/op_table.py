"""One row for every operation; the suites in test_ops.py run over all of them.

A registered operation without a row here fails the suite (test_every_registered_op_has_a_row).
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING

import op_samples

if TYPE_CHECKING:
    from op_row import Op

OPS: dict[str, Op] = {}

for _family in sorted(module.name for module in pkgutil.iter_modules(op_samples.__path__)):
    for _op in import_module(f"op_samples.{_family}").rows():
        assert _op.name not in OPS, f"two rows named {_op.name}"
        OPS[_op.name] = _op

# Registered operations whose tests are not table driven, and the file that tests them.
TESTED_ELSEWHERE: dict[str, str] = {
    **dict.fromkeys(
        (
            "full_like",
            "empty_like",
            "tensor",
            "as_tensor",
            "from_numpy",
            "zeros",
            "ones",
            "full",
            "empty",
            "arange",
        ),
        "test_creation.py",
    ),
    **dict.fromkeys(("tril_indices", "triu_indices"), "test_arrange.py"),
    **dict.fromkeys(
        ("embedding", "one_hot", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"),
        "test_functional.py",
    ),
    **dict.fromkeys(
        ("feature_alpha_dropout", "log_normal_", "cauchy_", "geometric_", "random_"),
        "test_functional.py",
    ),
    **dict.fromkeys(("multinomial", "logspace"), "test_functional.py"),
    **dict.fromkeys(
        ("linspace", "eye", "zeros_like", "ones_like", "empty_strided", "scalar_tensor"),
        "test_creation.py",
    ),
    **dict.fromkeys(
        ("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like"),
        "test_random.py",
    ),
    **dict.fromkeys(
        ("dropout", "normal", "normal_", "uniform_", "exponential_", "bernoulli", "bernoulli_"),
        "test_random.py",
    ),
    **dict.fromkeys(
        ("copy_", "fill_", "zero_", "detach_", "requires_grad_"), "test_views_inplace.py"
    ),
    **dict.fromkeys(("allclose", "equal", "float_power"), "test_special.py"),
    **dict.fromkeys(("fold", "unfold", "embedding_bag"), "test_layers.py"),
    **dict.fromkeys(("_interpolate", "grid_sample"), "test_resample.py"),
    **dict.fromkeys(("linalg__einsum", "linalg__tensordot"), "test_linalg.py"),
}
