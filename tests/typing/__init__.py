"""Programs for type checkers, which nobody runs; `tests/test_typing.py` says what checkers make of them."""
