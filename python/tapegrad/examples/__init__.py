"""Programs to run and to read: ``python -m tapegrad.examples.digits`` and ``...fashion``.

They need the extra ``tapegrad[examples]``.
"""
