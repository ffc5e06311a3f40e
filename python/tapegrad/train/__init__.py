"""A small training loop, to use or to leave alone.

:func:`fit` repeats :func:`train_step` over a loader and looks after what surrounds it: validation,
metrics, early stopping, checkpoints, logs, a progress bar, Ctrl-C. The step is one short function;
give another as ``train_step=`` and everything else stays.

>>> import tapegrad as tg
>>> from tapegrad import nn, train
>>> _ = tg.manual_seed(0)
>>> x = tg.randn(256, 3)
>>> y = x.sum(1, keepdim=True)
>>> loader = tg.utils.data.DataLoader(tg.utils.data.TensorDataset(x, y), 32, shuffle=True)
>>> model = nn.Linear(3, 1)
>>> history = train.fit(
...     model, nn.MSELoss(), loader, tg.optim.Adam(model.parameters(), lr=0.05), epochs=20,
...     validation=[(x, y)], metrics=[train.R2()], progress=False,
... )
>>> history.last["validation_r2"] > 0.999
True
"""

from __future__ import annotations

from tapegrad.train.history import History as History
from tapegrad.train.log import CSVLog as CSVLog
from tapegrad.train.log import TensorBoardLog as TensorBoardLog
from tapegrad.train.loop import Checkpoint as Checkpoint
from tapegrad.train.loop import EarlyStopping as EarlyStopping
from tapegrad.train.loop import fit as fit
from tapegrad.train.metrics import F1 as F1
from tapegrad.train.metrics import MAE as MAE
from tapegrad.train.metrics import R2 as R2
from tapegrad.train.metrics import Accuracy as Accuracy
from tapegrad.train.metrics import ConfusionMatrix as ConfusionMatrix
from tapegrad.train.metrics import Metric as Metric
from tapegrad.train.metrics import TopK as TopK
from tapegrad.train.step import NonFiniteLossError as NonFiniteLossError
from tapegrad.train.step import Step as Step
from tapegrad.train.step import evaluate as evaluate
from tapegrad.train.step import predict as predict
from tapegrad.train.step import train_step as train_step

__all__ = [
    "F1",
    "MAE",
    "R2",
    "Accuracy",
    "CSVLog",
    "Checkpoint",
    "ConfusionMatrix",
    "EarlyStopping",
    "History",
    "Metric",
    "NonFiniteLossError",
    "Step",
    "TensorBoardLog",
    "TopK",
    "evaluate",
    "fit",
    "predict",
    "train_step",
]
