"""The estimators pass scikit-learn's own checks, and do what these do not look at."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris, make_regression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import tapegrad as tg
from tapegrad import nn
from tapegrad.sklearn import NetClassifier, NetRegressor

IRIS = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small are no faster on a team, and much slower on a busy machine."""
    before = tg.get_num_threads()
    tg.set_num_threads(1)
    yield
    tg.set_num_threads(before)


@parametrize_with_checks([NetClassifier(), NetRegressor()])
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def scaled():
    x, y = IRIS
    return StandardScaler().fit_transform(x), y


def test_a_pipeline_is_searched():
    net = make_pipeline(StandardScaler(), NetClassifier(max_epochs=30, random_state=0))
    grid = {
        "netclassifier__hidden_layer_sizes": [(), (16,)],
        "netclassifier__lr": [1e-5, 0.02],
    }
    search = GridSearchCV(net, grid, cv=3, n_jobs=1).fit(*IRIS)
    assert search.best_params_["netclassifier__lr"] == 0.02
    assert search.best_score_ > 0.9


def test_texts_are_classes():
    x, y = scaled()
    names = np.array(["setosa", "versicolor", "virginica"])
    net = NetClassifier(max_epochs=60, random_state=1).fit(x, names[y])
    assert net.classes_.tolist() == names.tolist()
    assert net.score(x, names[y]) > 0.95
    probabilities = net.predict_proba(x)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    np.testing.assert_allclose(np.log(probabilities), net.predict_log_proba(x))
    assert (names[probabilities.argmax(1)] == net.predict(x)).all()


def test_the_seed_repeats_and_leaves_the_generator_alone():
    x, y = scaled()
    before = tg.get_rng_state()

    def fit(seed):
        return NetClassifier((8,), dropout=0.2, max_epochs=5, batch_size=32, random_state=seed).fit(
            x, y
        )

    first, second, third = fit(3), fit(3), fit(4)
    assert tg.equal(before, tg.get_rng_state())
    assert (first.decision_function(x) == second.decision_function(x)).all()
    assert (first.decision_function(x) != third.decision_function(x)).any()


def test_a_pickle_trains_on_with_the_same_bits():
    x, y = scaled()
    net = NetClassifier((8,), random_state=0, batch_size=16)
    net.partial_fit(x, y, classes=[0, 1, 2])
    copy = pickle.loads(pickle.dumps(net))
    for estimator in (net, copy):
        estimator.partial_fit(x, y)
    assert (net.decision_function(x) == copy.decision_function(x)).all()
    assert net.n_iter_ == copy.n_iter_ == len(net.loss_curve_) == 2


def test_weights_are_repetitions():
    x, y = scaled()
    weight = np.random.default_rng(0).integers(0, 3, len(y))
    options = {"hidden_layer_sizes": (5,), "random_state": 0, "max_epochs": 30, "batch_size": 1000}
    weighted = NetClassifier(**options).fit(x, y, sample_weight=weight)
    repeated = NetClassifier(**options).fit(x.repeat(weight, 0), y.repeat(weight))
    np.testing.assert_allclose(
        weighted.decision_function(x), repeated.decision_function(x), rtol=1e-8, atol=1e-8
    )
    with pytest.raises(ValueError, match=r"(?i)at least one non-zero"):
        NetClassifier(max_epochs=1).fit(x, y, sample_weight=np.zeros(len(y)))


def test_warm_start_goes_on():
    x, y = scaled()
    net = NetClassifier((8,), max_epochs=5, warm_start=True, random_state=0).fit(x, y)
    module = net.module_
    net.fit(x, y)
    assert net.module_ is module
    assert net.n_iter_ == 10
    with pytest.raises(ValueError, match="warm_start needs the classes"):
        net.fit(x[y < 2], y[y < 2])
    cold = NetClassifier((8,), max_epochs=5, random_state=0).fit(x, y)
    module = cold.module_
    assert cold.fit(x, y).module_ is not module


def test_partial_fit_wants_the_classes_and_no_others():
    x, y = scaled()
    with pytest.raises(ValueError, match="classes must be passed"):
        NetClassifier().partial_fit(x, y)
    net = NetClassifier().partial_fit(x[:50], y[:50], classes=[0, 1])
    with pytest.raises(ValueError, match=r"classes \[2\]"):
        net.partial_fit(x, y)
    with pytest.raises(ValueError, match="since the first call"):
        net.partial_fit(x[:50], y[:50], classes=[0, 1, 2])


def test_early_stopping_keeps_the_best_network():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 10)), rng.integers(0, 2, 120)  # nothing to learn
    net = NetClassifier(early_stopping=True, patience=3, max_epochs=300, lr=0.05, random_state=0)
    net.fit(x, y)
    assert net.history_.stopped_early
    assert net.n_iter_ == net.history_.best_epoch + 3 < 300


def test_early_stopping_with_rare_classes():
    x, y = np.eye(10), np.array([0, 1, 2, 3, 4, 5, 6, 7, 7, 7])
    net = NetClassifier(early_stopping=True, max_epochs=3, random_state=0).fit(x, y)
    assert net.predict_proba(x).shape == (10, 8)
    assert net.n_iter_ == 3


def test_float32_stays_float32():
    x, y = scaled()
    net = NetClassifier(max_epochs=2).fit(x.astype(np.float32), y)
    assert next(net.module_.parameters()).dtype == tg.float32
    assert net.predict_proba(x).dtype == np.float32
    net = NetRegressor(max_epochs=2).fit(x, y.astype(np.float32))
    assert next(net.module_.parameters()).dtype == tg.float64
    net.partial_fit(x.astype(np.float32), y)  # the network keeps what it began with
    assert net.predict(x.astype(np.float32)).dtype == np.float64


def test_several_targets_at_once():
    x, y = make_regression(200, 5, n_targets=3, random_state=0)
    net = TransformedTargetRegressor(
        NetRegressor(random_state=0, weight_decay=1e-4), transformer=StandardScaler()
    )
    assert net.fit(x, y).predict(x).shape == (200, 3)
    assert net.score(x, y) > 0.98
    assert NetRegressor(max_epochs=1).fit(x, y[:, 0]).predict(x).shape == (200,)
    assert NetRegressor(max_epochs=1).fit(x, y[:, :1]).predict(x).shape == (200, 1)
    single = NetRegressor(max_epochs=1).fit(x, y[:, 0])
    with pytest.raises(ValueError, match="3 columns, the network 1 outputs"):
        single.partial_fit(x, y)


def test_a_linear_model_without_hidden_layers():
    x, y = make_regression(100, 3, noise=0.0, random_state=1)
    y = y / y.std()
    net = NetRegressor((), lr=0.05, random_state=0).fit(x, y)
    assert isinstance(net.module_, nn.Sequential)
    assert len(net.module_) == 1
    assert net.score(x, y) > 0.999
    assert "Linear" in repr(net.module_)


def test_a_module_and_an_optimizer_of_ones_own():
    x, y = scaled()

    def network(features, outputs):
        return nn.Sequential(nn.Linear(features, 7), nn.Softplus(), nn.Linear(7, outputs))

    optimizer = functools.partial(tg.optim.SGD, momentum=0.9)
    net = NetClassifier(module=network, optimizer=optimizer, lr=0.1, max_epochs=100, random_state=0)
    assert cross_val_score(net, x, y, cv=3).min() > 0.9
    net.fit(x, y)
    assert isinstance(net.optimizer_, tg.optim.SGD)
    assert net.module_[0].out_features == 7


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("activation", "swoosh", "activation must be one of"),
        ("optimizer", "fastest", "optimizer must be one of"),
        ("hidden_layer_sizes", (3, 0), "must be above 0"),
        ("batch_size", 0, "batch_size must be"),
        ("max_epochs", 0, "max_epochs must be above 0"),
        ("validation_fraction", 1.0, "between 0 and 1"),
    ],
)
@pytest.mark.parametrize("kind", [NetClassifier, NetRegressor])
def test_wrong_options_are_named(kind, option, value, message):
    with pytest.raises(ValueError, match=message):
        kind(**{option: value}).fit(*IRIS)


def test_every_named_activation_and_optimizer_trains():
    x, y = scaled()
    for activation in ("relu", "tanh", "gelu", "silu", "logistic", "identity"):
        net = NetClassifier((8,), activation=activation, max_epochs=80, lr=0.02, random_state=0)
        assert net.fit(x, y).score(x, y) > 0.85, activation
    for optimizer in ("adam", "adamw", "rmsprop", "sgd"):
        net = NetClassifier((8,), optimizer=optimizer, max_epochs=80, lr=0.02, random_state=0)
        assert net.fit(x, y).score(x, y) > 0.85, optimizer


def test_verbose_prints_the_epochs(capsys):
    x, y = scaled()
    NetClassifier(max_epochs=2, verbose=True).fit(x, y)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines] == ["epoch 1/2", "epoch 2/2"]
