"""Programs to run and to read: ``python -m tapegrad.examples.NAME``; docs/train.md lists them.

Those that train need the extra ``tapegrad[examples]``.
"""
