"""Programs to run and to read: ``python -m tapegrad.examples.digits``, ``fashion``, ``sequence``,
``offload``.

The first three need the extra ``tapegrad[examples]``.
"""
