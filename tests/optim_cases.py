"""Every option of every optimizer that PyTorch has too, for the tests that compare updates."""

from __future__ import annotations

from typing import Any

DECAYS = [{"weight_decay": 0.1}, {"weight_decay": 0.1, "maximize": True}]
CASES: dict[str, list[dict[str, Any]]] = {
    "SGD": [
        {},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.4, "weight_decay": 0.05},
        {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
        *DECAYS,
    ],
    "Adam": [
        {},
        {"lr": 0.01, "amsgrad": True, "betas": (0.9, 0.6)},
        {"betas": (0.3, 0.9), "eps": 1e-3},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        *DECAYS,
    ],
    "AdamW": [{}, {"lr": 0.1, "amsgrad": True}, {"maximize": True, "weight_decay": 0.3}],
    "Adamax": [{}, {"betas": (0.3, 0.9), "eps": 1e-3}, *DECAYS],
    "NAdam": [
        {},
        {"betas": (0.3, 0.9), "eps": 1e-3, "momentum_decay": 0.1},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        *DECAYS,
    ],
    "RAdam": [
        {},
        {"betas": (0.3, 0.9), "eps": 1e-3},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        *DECAYS,
    ],
    "RMSprop": [
        {"centered": centered, "momentum": momentum, **more}
        for centered in (False, True)
        for momentum in (0, 0.9)
        for more in ({}, {"alpha": 0.5, "eps": 1e-3, "weight_decay": 0.1, "maximize": True})
    ],
    "Rprop": [{}, {"etas": (0.3, 1.5), "step_sizes": (1e-3, 0.02)}, {"maximize": True}],
    "Adagrad": [
        {},
        {"lr_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3},
        *DECAYS,
    ],
    "Adadelta": [{}, {"lr": 0.3, "rho": 0.5, "eps": 1e-3}, *DECAYS],
    "ASGD": [{}, {"lambd": 0.1, "alpha": 0.5, "t0": 10.0}, *DECAYS],
    "Adafactor": [
        {},
        {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-3, 0.1), "d": 2.0, "weight_decay": 0.1},
        {"maximize": True},
    ],
}
