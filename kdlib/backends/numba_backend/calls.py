"""The back end of compiled kernels."""

import functools
import weakref
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kdlib.backends.numba_backend import updates
from kdlib.backends.numba_backend.layers import NO_TABLE, NO_UNIT, Passes, SnappedWeightArrays
from kdlib.backends.numba_backend.passes import product as compiled_product
from kdlib.backends.numba_backend.row_loops import as_bytes, gather_rows, snap_rows
from kdlib.backends.numba_backend.scalars import exact_exp, fast_exp
from kdlib.backends.numba_backend.softmax import divergences, make_softmax_gradient_loop, sum_exponentials
from kdlib.backends.numba_backend.steps import Steps
from kdlib.backends.numba_backend.wide_passes import WidePasses
from kdlib.backends.numpy_backend import NumpyBackend, flush_to_zero
from kdlib.backends.threads import Threads
from kdlib.numerics import exact
from kdlib.numerics.grids import MAX_TERMS, Grid

ONE = np.ones(1)
MIN_WIDE_PRODUCTS = 1 << 25  # multiply-adds of one network's forward pass, from which NumPy's products are used
NO_LOGS = np.empty((0, 0))  # compiled code takes it in place of None


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Multiply as `kdlib.numerics.grids.product` does, one matrix after another."""
    out = np.empty((*a.shape[:2], b.shape[2]), np.float32)
    for k in range(len(a)):
        compiled_product(a[k], b[k], out[k], MAX_TERMS)
    return out


class NumbaBackend(NumpyBackend):
    """Do what `NumpyBackend` does in compiled loops, which several threads share.

    Parameters
    ----------
    threads : Threads
    """

    max_held = 1 << 24  # 64 MiB
    has_steps = True
    product = staticmethod(product)

    def __init__(self, threads: Threads):
        self.threads = threads
        self._snapped = weakref.WeakKeyDictionary()  # by layers

    def gather(
        self,
        x: np.ndarray,
        rows: np.ndarray,
        offset: np.ndarray,
        scale: np.ndarray,
        grid: Grid | None,
        out: np.ndarray,
        unit: np.ndarray,
    ) -> None:
        if grid:
            gather_rows(as_bytes(x), rows, offset, scale, grid.anchors, grid.units, out, unit[..., 0])
        else:
            gather_rows(as_bytes(x), rows, offset, scale, NO_TABLE, NO_TABLE, out, NO_UNIT)

    def operand(self, x: np.ndarray, grid: Grid, out: np.ndarray, nonnegative: bool = False) -> np.ndarray:
        unit = np.empty((*x.shape[:-1], 1), np.float32)
        flat = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        arguments = flat, grid.anchors, grid.units, out.reshape(flat.shape), unit.reshape(-1)
        self.threads.parallel_for(snap_rows, unit.size, x.size, *arguments)
        return unit

    def divergence(
        self,
        logits: np.ndarray,
        targets: np.ndarray,
        log_targets: np.ndarray | None,
        temperature: float | np.ndarray | None,
        arithmetic,
    ) -> np.ndarray:
        if arithmetic.threads_matter:
            return super().divergence(logits, targets, log_targets, temperature, arithmetic)
        rows, t, _, anchor = _softmax_arguments(logits, temperature, arithmetic)
        totals, found = np.empty((2, len(rows)))
        self.threads.parallel_for(sum_exponentials, len(rows), rows.size, rows, t, anchor, totals)
        given = _rows_like(targets, logits), _rows_like(NO_LOGS if log_targets is None else log_targets, logits)
        bits = exact.sum_bits(rows.shape[1])
        self.threads.parallel_for(divergences, len(rows), rows.size, rows, *given, t, totals, bits, found)
        return found.reshape(logits.shape[:-1])

    def softmax_gradient(
        self, logits: np.ndarray, targets: np.ndarray, temperature: float | np.ndarray | None, arithmetic
    ) -> np.ndarray:
        rows, t, exponential, anchor = _softmax_arguments(logits, temperature, arithmetic)
        targets = _rows_like(targets, logits)
        gradient = np.empty_like(rows)
        totals = np.empty(len(rows), rows.dtype)
        self.threads.parallel_for(
            make_softmax_gradient_loop(exponential), len(rows), rows.size, rows, targets, t, anchor, gradient, totals
        )
        return gradient.reshape(logits.shape)

    def constrain(self, layers, max_norm: float) -> None:
        p = layers.parameters
        snapped = self._snapped_of(layers)
        count = len(self.threads.ranges(p.shape[1], p.size))
        sums = np.zeros((count, len(p), sum(layers.sizes[1:])))  # lint: integer sum
        calls = [(snapped.values, snapped.sizes, sums[k], k, count) for k in range(count)]
        self.threads.run(updates.square_sums, calls)
        factors = max_norm / np.sqrt(functools.reduce(np.add, sums))  # no sum of squares rounds, in any order
        if (factors < 1).any():
            self._change(updates.shrink, p, (np.minimum(factors, 1),), snapped)

    def update(
        self,
        rule: Callable,
        constants: Mapping[str, float | np.ndarray],
        arrays: Mapping[str, np.ndarray],
        layers=None,
        flush: float | None = None,
    ) -> None:
        p, g, *moments = arrays.values()
        factors = np.empty((len(constants), len(p)), p.dtype)
        for row, value in zip(factors, constants.values(), strict=True):
            row[:] = value[:, 0] if isinstance(value, np.ndarray) else value
        loop = updates.make_update_loop(rule, len(moments))
        self._change(loop, p, (g, tuple(moments), factors), self._snapped_of(layers))
        if flush is not None:
            for moment in moments:
                flush_to_zero(moment, flush)

    def passes(self, layers, rows: int) -> Passes:
        wide = rows * layers.parameters.shape[1] >= MIN_WIDE_PRODUCTS
        return (WidePasses if wide else Passes)(layers, rows)

    def steps(self, layers, rows: int, rule: Callable, moments: Sequence[np.ndarray], logits_dtype: type) -> Steps:
        return Steps(self.threads, layers, rows, rule, moments, logits_dtype)

    def _snapped_of(self, layers):
        if layers not in self._snapped:
            self._snapped[layers] = SnappedWeightArrays(layers)
        return self._snapped[layers]

    def _change(self, loop, p, arguments, snapped):
        """Run a loop of `updates` that changes p, in threads; then update the grids of the snapped weights."""
        count = len(self.threads.ranges(p.shape[1], p.size))
        column_maxima = np.zeros((count, len(p), snapped.widths), np.int32)
        arguments = p, *arguments, snapped.sizes, snapped.values, snapped.anchor
        self.threads.run(loop, [(*arguments, column_maxima[k], k, count) for k in range(count)])
        if snapped.widths:
            updates.update_grids(
                p, snapped.sizes, snapped.values, snapped.anchor, snapped.unit, *snapped.tables, column_maxima
            )


def _rows_like(values, logits):
    """Return values as rows (R n, classes), one for each row of the logits; an empty array as it is."""
    if values.size and values.shape != logits.shape:
        values = np.broadcast_to(values, logits.shape)
    return np.ascontiguousarray(values).reshape(values.size and -1, values.shape[-1])


def _softmax_arguments(logits, temperature, arithmetic):
    """Return what the loops of softmax take: rows of logits, temperatures, exponential, anchor."""
    rows = np.ascontiguousarray(logits).reshape(-1, logits.shape[-1])
    t = (ONE if temperature is None else np.asarray(temperature).reshape(-1)).astype(rows.dtype, copy=False)
    if arithmetic.dtype == arithmetic.logits_dtype:
        return rows, t, fast_exp, rows.dtype.type(0)
    return rows, t, exact_exp, exact.unit_anchor(rows.shape[1])
