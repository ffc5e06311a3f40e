"""Shared fixtures: every test starts from the same seed, dtype, grad mode and thread count."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from typing import TYPE_CHECKING

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises, also where the tests were started in the background, which ignores it."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture(autouse=True)
def _clean_state() -> Iterator[None]:
    """A test that leaves a global setting changed must not decide the fate of the next one."""
    tg.manual_seed(0)
    threads = tg.get_num_threads()
    yield
    tg.set_grad_enabled(True)
    tg.set_default_dtype(tg.float32)
    if tg.get_num_threads() != threads:
        tg.set_num_threads(threads)
