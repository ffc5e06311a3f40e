"""Programs to run and to read: ``python -m tapegrad.examples.digits``, ``fashion``, ``convnet``,
``sequence``, ``offload``.

The first four need the extra ``tapegrad[examples]``.
"""
