"""Progress of diabetes: ``python -m tapegrad.examples.regression``.

Predicts the progress of a disease from ten measurements of 442 patients (scikit-learn's diabetes
data; Efron, Hastie, Johnstone and Tibshirani, "Least angle regression", 2004). The data are few and
noisy, and a linear model is hard to beat: the network adds small tanh units to a linear part,
weight decay keeps them small, and several networks are averaged. Both are judged on the same folds
of a repeated cross-validation.
"""

from __future__ import annotations

import argparse

import tapegrad as tg
from tapegrad import nn
from tapegrad._extras import require
from tapegrad.examples import _training


class LinearAndMore(nn.Module):
    """A linear map plus a network with one hidden layer that begins at 0."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.hidden = nn.Linear(inputs, 32)
        self.last = nn.Linear(32, outputs)
        for parameter in (self.linear.weight, *self.last.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        """Outputs (N, outputs) for inputs (N, inputs)."""
        result: tg.Tensor = self.linear(x) + self.last(self.hidden(x).tanh())
        return result


def main(arguments: list[str] | None = None) -> int:
    """Run the example; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tapegrad.examples.regression")
    parser.description = "Cross-validate a network and a linear model on the diabetes data."
    parser.add_argument("--repeats", type=_training.positive, default=5, help="of 5 folds (5)")
    parser.add_argument("--networks", type=_training.positive, default=5, help="averaged (5)")
    parser.add_argument("--epochs", type=_training.positive, default=60, help="of each (60)")
    _training.common_options(parser, files=False)
    options = parser.parse_args(arguments)
    require("examples", "sklearn", "tqdm")
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import BaggingRegressor
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import r2_score
    from sklearn.model_selection import RepeatedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from tqdm import tqdm

    from tapegrad.sklearn import NetRegressor

    _training.prepare(options)
    x, y = load_diabetes(return_X_y=True, scaled=False)
    net = NetRegressor(
        module=LinearAndMore,
        optimizer="adamw",
        lr=0.01,
        weight_decay=0.5,
        batch_size=32,
        max_epochs=options.epochs,
    )
    averaged = BaggingRegressor(net, options.networks, bootstrap=False, random_state=options.seed)
    models = {
        "linear": make_pipeline(StandardScaler(), LinearRegression()),
        "network": TransformedTargetRegressor(
            make_pipeline(StandardScaler(), averaged), transformer=StandardScaler()
        ),
    }
    scores: dict[str, list[float]] = {name: [] for name in models}
    folds = RepeatedKFold(n_splits=5, n_repeats=options.repeats, random_state=options.seed)
    for train, test in tqdm(list(folds.split(x)), unit="fold", leave=False, disable=None):
        for name, model in models.items():
            found = model.fit(x[train], y[train]).predict(x[test])
            scores[name].append(float(r2_score(y[test], found)))
    pairs = list(zip(scores["network"], scores["linear"], strict=True))
    print(f"network better in {sum(a > b for a, b in pairs)} of {len(pairs)} folds")
    mean = {name: sum(values) / len(values) for name, values in scores.items()}
    print(
        f"R2, mean of {len(pairs)} folds: network {mean['network']:.4f}, "
        f"linear {mean['linear']:.4f}",
        flush=True,
    )
    return 0


if __name__ == "__main__":
    _training.run(main)
