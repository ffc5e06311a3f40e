"""Programs to run and to read: ``python -m tapegrad.examples.digits``, ``convnet``, and others.

Those that train on data sets need the extra ``tapegrad[examples]``.
"""Programs to run and to read: ``python -m tapegrad.examples.digits``, ``sequence``, ``offload``.

Those that train need the extra ``tapegrad[examples]``.
"""
