"""Networks as scikit-learn estimators (extra ``sklearn``).

:class:`NetClassifier` and :class:`NetRegressor` do what scikit-learn asks of an estimator: they
work in pipelines, searches and ensembles, take DataFrames, weights of samples and ``random_state``,
can be cloned and pickled. Scale the inputs (``StandardScaler``), as for any network.

>>> from sklearn.datasets import load_iris
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> from tapegrad.sklearn import NetClassifier
>>> x, y = load_iris(return_X_y=True)
>>> net = make_pipeline(StandardScaler(), NetClassifier((32,), max_epochs=100, random_state=0))
>>> net.fit(x, y).score(x, y) > 0.95
True
"""

from __future__ import annotations

from tapegrad._extras import require

require("sklearn", "sklearn")

from tapegrad.sklearn._estimators import NetClassifier as NetClassifier  # noqa: E402
from tapegrad.sklearn._estimators import NetRegressor as NetRegressor  # noqa: E402

__all__ = ["NetClassifier", "NetRegressor"]
