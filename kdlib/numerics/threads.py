"""How many threads a BLAS may use."""

import contextlib


def few_threads(products):
    """Context in which a BLAS has one thread for a step of less than 2^24 `products`, if threadpoolctl is installed.

    Waking a second thread costs more than it saves there, and beside another busy process many times more.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    return threadpool_limits(1, "blas") if products < 1 << 24 else contextlib.nullcontext()
