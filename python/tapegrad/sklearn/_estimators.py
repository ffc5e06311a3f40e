"""The estimators: data as scikit-learn checks it, training by :func:`tapegrad.train.fit`."""

from __future__ import annotations

import warnings
from typing import TypeVar

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from tapegrad import _C, nn, optim, train
from tapegrad.nn import functional as F
from tapegrad.random import fork_rng
from tapegrad.utils.data import DataLoader, TensorDataset

_T = TypeVar("_T")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Literal

    from tapegrad._C import Tensor

__all__ = ["NetClassifier", "NetRegressor"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "logistic": nn.Sigmoid,
    "identity": nn.Identity,
}
_OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "rmsprop": optim.RMSprop,
    "sgd": lambda parameters, **options: optim.SGD(
        parameters, momentum=0.9, nesterov=True, **options
    ),
}
_PREDICT_BATCH = 8192


class _Batches:
    """A loader whose batches are pairs: inputs, and a list of targets and perhaps weights."""

    def __init__(self, tensors: Sequence[Tensor], size: int, shuffle: bool) -> None:
        self.loader: DataLoader[Any] = DataLoader(
            TensorDataset(*tensors), batch_size=size, shuffle=shuffle
        )

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Tensor, list[Tensor]]]:
        for inputs, *rest in self.loader:
            yield inputs, rest


class _Net(BaseEstimator):  # type: ignore[misc]
    """What the classifier and the regressor share."""

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        module: Callable[[int, int], nn.Module] | None = None,
        optimizer: str | Callable[..., optim.Optimizer] = "adam",
        lr: float = 0.005,
        weight_decay: float = 0.0,
        batch_size: int | Literal["auto"] = "auto",
        max_epochs: int = 200,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        min_delta: float = 0.0,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.module = module
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.min_delta = min_delta
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _layers(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        listed = [sizes] if isinstance(sizes, (int, np.integer)) else list(sizes)
        if any(size < 1 for size in listed):
            raise ValueError(f"hidden_layer_sizes must be above 0, got {sizes!r}")
        return [int(size) for size in listed]

    def _check_options(self) -> None:
        if self.activation not in _ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {sorted(_ACTIVATIONS)}, got {self.activation!r}"
            )
        if isinstance(self.optimizer, str) and self.optimizer not in _OPTIMIZERS:
            raise ValueError(
                f"optimizer must be one of {sorted(_OPTIMIZERS)} or a callable, got "
                f"{self.optimizer!r}"
            )
        if self.batch_size != "auto" and self.batch_size < 1:
            raise ValueError(f"batch_size must be 'auto' or above 0, got {self.batch_size!r}")
        if self.max_epochs < 1:
            raise ValueError(f"max_epochs must be above 0, got {self.max_epochs}")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction must be between 0 and 1, got {self.validation_fraction}"
            )

    def _network(self, inputs: int, outputs: int) -> nn.Module:
        if self.module is not None:
            return self.module(inputs, outputs)
        layers: list[nn.Module] = []
        width = inputs
        for size in self._layers():
            layers += [nn.Linear(width, size), _ACTIVATIONS[self.activation]()]
            if self.dropout:
                layers.append(nn.Dropout(self.dropout))
            width = size
        return nn.Sequential(*layers, nn.Linear(width, outputs))

    def _build(self, inputs: int, outputs: int, dtype: Any) -> None:
        """A fresh network and its optimizer."""
        self.module_ = self._network(inputs, outputs).to(dtype)
        make = _OPTIMIZERS[self.optimizer] if isinstance(self.optimizer, str) else self.optimizer
        self.optimizer_ = make(
            self.module_.parameters(), lr=self.lr, weight_decay=self.weight_decay
        )
        self.n_iter_ = 0
        self.loss_curve_: list[float] = []

    def _train(
        self,
        x: Any,
        y: Any,
        weight: Any,
        *,
        outputs: int,
        epochs: int,
        fresh: bool,
        stratify: Any = None,
    ) -> None:
        """Train on arrays: ``y`` as the loss takes it."""
        weight, x, y, stratify = _weighed(weight, x, y, stratify)
        if fresh:
            self._random_state = check_random_state(self.random_state)
        arrays = [x, y] if weight is None else [x, y, weight]
        held_out: list[Any] = []
        stopping = None
        if self.early_stopping and epochs > 1:
            split = train_test_split(
                *arrays,
                test_size=self.validation_fraction,
                random_state=self._random_state,
                stratify=self._strata(stratify),
            )
            arrays, held_out = split[::2], split[1::2]
            stopping = train.EarlyStopping(self.patience, self.min_delta)
        with fork_rng():
            _C.manual_seed(int(self._random_state.randint(2**31 - 1)))
            if fresh:
                self._build(x.shape[1], outputs, _C.float32 if x.dtype == "f4" else _C.float64)
            tensors = self._tensors(arrays)
            validation = None
            if held_out:
                validation = _Batches(self._tensors(held_out), _PREDICT_BATCH, shuffle=False)
            size = 200 if self.batch_size == "auto" else self.batch_size
            self.history_ = train.fit(
                self.module_,
                self._weighted_loss,
                _Batches(tensors, min(size, len(tensors[0])), shuffle=True),
                self.optimizer_,
                epochs=epochs,
                validation=validation,
                early_stopping=stopping,
                progress=bool(self.verbose),
            )
        self.n_iter_ += len(self.history_)
        self.loss_curve_ += self.history_["loss"]
        if self.history_.interrupted:
            warnings.warn("Training interrupted by user.", stacklevel=3)

    def _strata(self, classes: Any) -> Any:
        """Classes whose shares the held-out part keeps, None where they are too rare for that."""
        if classes is None:
            return None
        counts = np.unique(classes, return_counts=True)[1]
        held_out = np.ceil(self.validation_fraction * len(classes))
        possible = counts.min() > 1 and len(counts) <= min(held_out, len(classes) - held_out)
        return classes if possible else None

    def _tensors(self, arrays: Sequence[Any]) -> list[Tensor]:
        """Copies of the arrays; floating point as the network has it since its first training."""
        dtype = next(self.module_.parameters()).dtype
        copies = [_C.tensor(np.ascontiguousarray(a)) for a in arrays]
        return [t.to(dtype) if t.is_floating_point() else t for t in copies]

    def _weighted_loss(self, output: Tensor, rest: list[Tensor]) -> Tensor:
        if len(rest) == 1:
            return self._loss(output, rest[0], "mean")
        each = self._loss(output, rest[0], "none")
        if each.dim() > 1:
            each = each.mean(1)
        return (each * rest[1]).mean()

    def _loss(self, output: Tensor, target: Tensor, reduction: str) -> Tensor:
        raise NotImplementedError

    def _outputs(self, x: Any) -> Any:
        """What the network gives, as an array."""
        check_is_fitted(self, "module_")
        x = validate_data(self, x, dtype=(np.float64, np.float32), reset=False)
        (inputs,) = self._tensors([x])
        return train.predict(self.module_, inputs.split(_PREDICT_BATCH)).numpy()


_PARAMETERS = """
    Parameters
    ----------
    hidden_layer_sizes : (100,)
        the widths of the hidden layers; one number for one layer, () for a linear model
    activation : "relu"
        "relu", "tanh", "gelu", "silu", "logistic" or "identity", after each hidden layer
    dropout : 0.0
        the share of activations left out while training
    module : None
        a callable that makes a network of its own from (features, outputs); layers, activation
        and dropout are not used then
    optimizer : "adam"
        "adam", "adamw", "rmsprop", "sgd" (with Nesterov momentum 0.9), or a callable that is given
        the parameters, ``lr`` and ``weight_decay``
    lr : 0.005
        the learning rate
    weight_decay : 0.0
        as the optimizer takes it
    batch_size : "auto"
        "auto": 200, or all samples if they are fewer
    max_epochs : 200
        passes over the data
    early_stopping : False
        hold a part of the data out, stop when its loss does not fall, keep the best weights
    validation_fraction : 0.1
        the size of that part
    patience : 10
        for how many epochs its loss may not fall
    min_delta : 0.0
        by how much it has to fall
    warm_start : False
        whether ``fit`` goes on with the network of the last ``fit``
    random_state : None
        seed of weights, order, dropout and held-out part; the global generator is left alone
    verbose : False
        print a line for each epoch

    Attributes: ``module_`` (the network), ``optimizer_``, ``n_iter_`` (epochs so far),
    ``loss_curve_`` (the training loss of each), ``history_`` (of the last call, see
    :class:`tapegrad.train.History`), ``n_features_in_``, ``feature_names_in_``.

    Training and prediction run in float32 if the inputs are float32, else in float64. Ctrl-C ends
    the training and keeps the network. Errors: ``ValueError`` for wrong data and parameters.
"""


def _documented(cls: type[_T]) -> type[_T]:
    """The class with the text that both share at the end of its docstring."""
    cls.__doc__ = f"{cls.__doc__ or ''}{_PARAMETERS}"
    return cls


@_documented
class NetClassifier(ClassifierMixin, _Net):  # type: ignore[misc]
    """A network that tells classes apart, trained with cross-entropy.

    Classes are numbers or strings; ``classes_`` holds them in the order of the probabilities.
    """

    classes_: Any

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetClassifier:
        """Train on inputs (samples, features) and their classes; returns the estimator."""
        self._check_options()
        again = self.warm_start and hasattr(self, "module_")
        x, y = validate_data(self, X, y, dtype=(np.float64, np.float32), reset=not again)
        y = self._column(y)
        found = np.unique(y)
        if again and not np.array_equal(found, self.classes_):
            raise ValueError(
                f"warm_start needs the classes of the first fit, {self.classes_}, got {found}"
            )
        self.classes_ = found
        self._learn(x, y, sample_weight, epochs=self.max_epochs, fresh=not again)
        return self

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> NetClassifier:
        """One epoch over these samples; the first call needs all ``classes``."""
        self._check_options()
        fresh = not hasattr(self, "module_")
        x, y = validate_data(self, X, y, dtype=(np.float64, np.float32), reset=fresh)
        y = self._column(y)
        if fresh:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self.classes_ = np.unique(classes)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes are {self.classes_} since the first call, got {classes}")
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise ValueError(f"y has the classes {unknown}, which are not in {self.classes_}")
        self._learn(x, y, sample_weight, epochs=1, fresh=fresh)
        return self

    def _column(self, y: Any) -> Any:
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return y

    def _learn(self, x: Any, y: Any, weight: Any, *, epochs: int, fresh: bool) -> None:
        if weight is not None:
            weight = _check_sample_weight(weight, x, dtype=x.dtype, ensure_non_negative=True)
        index = np.searchsorted(self.classes_, y).astype(np.int64)
        size = len(self.classes_)
        self._train(x, index, weight, outputs=size, epochs=epochs, fresh=fresh, stratify=index)

    def _loss(self, output: Tensor, target: Tensor, reduction: str) -> Tensor:
        return F.cross_entropy(output, target, reduction=reduction)

    def decision_function(self, X: Any) -> Any:
        """Scores (samples, classes); for two classes one score, above 0 for the second."""
        scores = self._outputs(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_log_proba(self, X: Any) -> Any:
        """The logarithms of the probabilities (samples, classes)."""
        return F.log_softmax(_C.tensor(self._outputs(X)), 1).numpy()

    def predict_proba(self, X: Any) -> Any:
        """The probabilities (samples, classes), classes in the order of ``classes_``."""
        return F.softmax(_C.tensor(self._outputs(X)), 1).numpy()

    def predict(self, X: Any) -> Any:
        """The most probable class of each sample."""
        scores = self._outputs(X)
        return self.classes_[scores.argmax(1)]


@_documented
class NetRegressor(RegressorMixin, MultiOutputMixin, _Net):  # type: ignore[misc]
    """A network that predicts numbers, trained with squared errors.

    Targets may have several columns. Scale them if they are far from 0 or of another size than 1
    (``sklearn.compose.TransformedTargetRegressor``).
    """

    n_outputs_: int

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetRegressor:
        """Train on inputs (samples, features) and targets (samples,) or (samples, outputs)."""
        self._check_options()
        again = self.warm_start and hasattr(self, "module_")
        return self._learn(X, y, sample_weight, epochs=self.max_epochs, fresh=not again)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetRegressor:
        """One epoch over these samples."""
        self._check_options()
        return self._learn(X, y, sample_weight, epochs=1, fresh=not hasattr(self, "module_"))

    def _learn(self, x: Any, y: Any, weight: Any, *, epochs: int, fresh: bool) -> NetRegressor:
        x, y = validate_data(
            self,
            x,
            y,
            dtype=(np.float64, np.float32),
            multi_output=True,
            y_numeric=True,
            reset=fresh,
        )
        if weight is not None:
            weight = _check_sample_weight(weight, x, dtype=x.dtype, ensure_non_negative=True)
        columns = 1 if y.ndim == 1 else y.shape[1]
        if not fresh and columns != self.n_outputs_:
            raise ValueError(f"y has {columns} columns, the network {self.n_outputs_} outputs")
        self.n_outputs_ = columns
        self._flat = y.ndim == 1
        y = y.astype(x.dtype, copy=False).reshape(len(x), columns)
        self._train(x, y, weight, outputs=columns, epochs=epochs, fresh=fresh)
        return self

    def _loss(self, output: Tensor, target: Tensor, reduction: str) -> Tensor:
        return F.mse_loss(output, target, reduction=reduction)

    def predict(self, X: Any) -> Any:
        """The predicted numbers, in the layout of the targets that ``fit`` had."""
        values = self._outputs(X)
        return values.reshape(-1) if self._flat else values


def _weighed(weight: Any, x: Any, *others: Any) -> tuple[Any, ...]:
    """Samples of weight 0 left out, weights of mean 1; one weight for all is none."""
    if weight is None:
        return (None, x, *others)
    kept = weight > 0
    if not kept.any():
        raise ValueError("sample_weight: must contain at least one non-zero number")
    arrays = [None if a is None else a[kept] for a in (x, *others)]
    weight = weight[kept]
    if (weight == weight[0]).all():
        return (None, *arrays)
    return (weight / weight.mean(), *arrays)
