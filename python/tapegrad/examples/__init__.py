"""Programs to run and to read: ``python -m tapegrad.examples.digits``, ``fashion``, ``offload``.

The first two need the extra ``tapegrad[examples]``.
"""
