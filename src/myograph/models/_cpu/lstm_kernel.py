"""The compiled loop over time of an LSTM layer, forward and backward; `lstm.py` calls it.

Eight rows of a batch are processed together in all steps, so that the weights and the rows' states stay in the
first-level cache. The four gates of `LANES` units by `AT_ONCE` rows stay in registers from the first product to the new
state. `_cell` and `_back` define the computation for such a tile. They are written in the compiler's intermediate
language (LLVM vectors of `LANES` float32), since a loop over arrays would not be kept in registers.

Arrays are flat float32 in C order: x (step, row, n_in), out (step, row, direction, unit), cell (direction, step, row,
unit), gates (direction, step, row, block, 4, LANES) with the gates in the order input, forget, cell, output. Units are
padded to blocks of `LANES` by zero weights, rows to eights. Directions are flags: 1 reads from the last step to the first.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from myograph._common.jit import njit
from myograph._common.simd import prefetch

# AVX-512 has 32 registers of sixteen float32, other processors sixteen registers of eight, or as many bytes. With more
# sums than fit, the compiler writes them to memory after every product: half as fast.
LANES, AT_ONCE = (16, 4) if binding.get_host_cpu_features().get("avx512f") else (8, 2)
WIDE = 4 * LANES  # one unit of each gate per lane
ROWS = 8  # rows of a tile; the forward products use AT_ONCE of them at a time
CHUNK = 8  # steps whose gate gradients are collected, in the cache, before they are added to the weight gradients
_FLOAT, _INT, _INDEX = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_REALS, _WHOLES = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)
_SHIFT = 1.5 * 2.0**23  # adding it rounds to a whole number, which is then in the low bits of the float


class _Vector:
    """LANES float32 in a register, with the arithmetic of numbers; a Python number means one in every lane."""

    def __init__(self, builder: Any, value: Any):
        self.b, self.value = builder, value

    def _other(self, other: Any) -> Any:
        return other.value if isinstance(other, _Vector) else ir.Constant(_REALS, [float(other)] * LANES)

    def __add__(self, other: Any) -> _Vector:
        return _Vector(self.b, self.b.fadd(self.value, self._other(other)))

    def __sub__(self, other: Any) -> _Vector:
        return _Vector(self.b, self.b.fsub(self.value, self._other(other)))

    def __rsub__(self, other: Any) -> _Vector:
        return _Vector(self.b, self.b.fsub(self._other(other), self.value))

    def __mul__(self, other: Any) -> _Vector:
        return _Vector(self.b, self.b.fmul(self.value, self._other(other)))

    def __truediv__(self, other: Any) -> _Vector:
        return _Vector(self.b, self.b.fdiv(self.value, self._other(other)))

    def __rtruediv__(self, other: Any) -> _Vector:
        return _Vector(self.b, self.b.fdiv(self._other(other), self.value))

    def muladd(self, factor: Any, term: Any) -> _Vector:
        """self * factor + term."""
        kind = ir.FunctionType(_REALS, [_REALS] * 3)
        function = cgutils.get_or_insert_function(self.b.module, kind, f"llvm.fmuladd.v{LANES}f32")
        return _Vector(self.b, self.b.call(function, [self.value, self._other(factor), self._other(term)]))

    def within(self, limit: float) -> _Vector:
        """Clipped to [-limit, limit]."""
        low, high = self._other(-limit), self._other(limit)
        value = self.b.select(self.b.fcmp_ordered(">", self.value, low), self.value, low)
        return _Vector(self.b, self.b.select(self.b.fcmp_ordered("<", value, high), value, high))

    def expm1(self) -> _Vector:
        """exp(x) - 1 for |x| < 88: 2^k (exp(r) - 1) + (2^k - 1), |r| <= ln(2) / 2, by Taylor's series to degree 7."""
        shifted = self.muladd(1 / math.log(2), _SHIFT)
        r = (shifted - _SHIFT).muladd(-math.log(2), self)
        p = r.muladd(1 / 5040, 1 / 720)
        for n in (120, 24, 6, 2, 1):
            p = p.muladd(r, 1 / n)
        bits = self.b.shl(self.b.bitcast(shifted.value, _WHOLES), ir.Constant(_WHOLES, [23] * LANES))
        bits = self.b.add(bits, ir.Constant(_WHOLES, [127 << 23] * LANES))
        power = _Vector(self.b, self.b.bitcast(bits, _REALS))
        return (p * r).muladd(power, power - 1)

    def sigmoid(self) -> _Vector:
        return 1 / ((self * -1).within(80).expm1() + 2)

    def tanh(self) -> _Vector:
        e = (self * 2).within(20).expm1()
        return e / (e + 2)


class _Memory:
    """A flat array from an offset on, in a function that is being built."""

    def __init__(self, context: Any, builder: Any, kind: Any, array: Any, at: Any):
        self.b = builder
        self.pointer = builder.gep(context.make_array(kind)(context, builder, array).data, [at])

    def _at(self, i: Any) -> Any:
        return self.b.gep(self.pointer, [_INDEX(i) if isinstance(i, int) else i])

    def load(self, i: Any) -> _Vector:
        found = self.b.load(self.b.bitcast(self._at(i), _REALS.as_pointer()))
        found.align = 4
        return _Vector(self.b, found)

    def store(self, i: Any, vector: _Vector) -> None:
        self.b.store(vector.value, self.b.bitcast(self._at(i), _REALS.as_pointer())).align = 4

    def spread(self, i: Any) -> _Vector:
        """One element in every lane."""
        one = self.b.insert_element(ir.Constant(_REALS, ir.Undefined), self.b.load(self._at(i)), _INT(0))
        mask = ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES)
        return _Vector(self.b, self.b.shuffle_vector(one, ir.Constant(_REALS, ir.Undefined), mask))


def _times(builder: Any, n: Any, stride: Any) -> list[Any]:
    return [builder.mul(_INDEX(i), stride) for i in range(n)]


def _products(builder: Any, sums: list[list[Any]], rows: _Memory, at: list[Any], weights: _Memory, n: Any) -> None:
    """sums[r][g] += sum over k < n of rows[at[r] + k] * weights[(k * len(sums[r]) + g) * LANES :]."""
    width = len(sums[0]) * LANES
    with cgutils.for_range(builder, n) as loop:
        vectors = [
            weights.load(builder.add(builder.mul(loop.index, _INDEX(width)), _INDEX(g * LANES)))
            for g in range(len(sums[0]))
        ]
        for r, mine in enumerate(sums):
            value = rows.spread(builder.add(at[r], loop.index))
            for total, vector in zip(mine, vectors):
                old = _Vector(builder, builder.load(total))
                builder.store(value.muladd(vector, old).value, total)


def _arguments(context: Any, builder: Any, sig: Any, args: Any) -> list[Any]:
    """Combine each array and the offset that follows it into a `_Memory`; other whole numbers are unchanged."""
    found, i = [], 0
    while i < len(args):
        if isinstance(sig.args[i], types.Array):
            found.append(_Memory(context, builder, sig.args[i], args[i], args[i + 1]))
            i += 2
        else:
            found.append(args[i])
            i += 1
    return found


@intrinsic
def _cell(typing, x, x_at, x_row, n_in, h, h_at, h_row, n_h, weights, w_at, bias, b_at, old, old_at, new, new_at, c_row, gates, g_at, g_row, out, o_at):  # fmt: skip
    """One time step for one block of units and AT_ONCE rows: gates, cells and outputs from inputs, last outputs and last
    cells.

    weights : (n_in + n_h, 4, LANES), bias : (4, LANES). Each array is followed by its offset; `_row` arguments are strides to
        the next row.
    """

    def build(context, builder, sig, args):
        x, x_row, n_in, h, h_row, n_h, weights, bias, old, new, c_row, gates, g_row, out = _arguments(
            context, builder, sig, args
        )
        sums = [[cgutils.alloca_once(builder, _REALS) for _ in range(4)] for _ in range(AT_ONCE)]
        for g in range(4):
            first = bias.load(g * LANES)
            for mine in sums:
                builder.store(first.value, mine[g])
        _products(builder, sums, x, _times(builder, AT_ONCE, x_row), weights, n_in)
        recurrent = _Memory.__new__(_Memory)
        recurrent.b = builder
        recurrent.pointer = weights._at(builder.mul(n_in, _INDEX(WIDE)))
        _products(builder, sums, h, _times(builder, AT_ONCE, h_row), recurrent, n_h)
        places = zip(
            sums, _times(builder, AT_ONCE, c_row), _times(builder, AT_ONCE, g_row), _times(builder, AT_ONCE, h_row)
        )
        for mine, c_at, g_at, o_at in places:
            i, f, g, o = (_Vector(builder, builder.load(total)) for total in mine)
            i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
            c = f.muladd(old.load(c_at), i * g)
            new.store(c_at, c)
            out.store(o_at, o * c.tanh())
            for k, gate in enumerate((i, f, g, o)):
                gates.store(builder.add(g_at, _INDEX(k * LANES)), gate)
        return context.get_dummy_value()

    return types.none(
        x, x_at, x_row, n_in, h, h_at, h_row, n_h, weights, w_at, bias, b_at, old, old_at, new, new_at, c_row, gates, g_at, g_row, out, o_at
    ), build  # fmt: skip


@intrinsic
def _back(typing, slope, s_at, s_row, dh, dh_at, dc, dc_at, old, old_at, new, new_at, c_row, gates, g_at, g_row, dgates, dg_at):  # fmt: skip
    """One backward step for one block of units of a tile: gate gradients from those of the output and of the later
    step.

    slope : gradient of the loss by these outputs; dh : (ROWS, padded units), added to it by the later step; dc : the
    same for the cells, replaced by the gradient for the earlier step. Offsets as in `_cell`; dh, dc and c share offset
    and stride.
    """

    def build(context, builder, sig, args):
        slope, s_row, dh, dc, old, new, c_row, gates, g_row, dgates = _arguments(context, builder, sig, args)
        with cgutils.for_range(builder, _INDEX(ROWS)) as loop:
            c_at, g_at = builder.mul(loop.index, c_row), builder.mul(loop.index, g_row)
            places = [builder.add(g_at, _INDEX(k * LANES)) for k in range(4)]
            i, f, g, o = (gates.load(place) for place in places)
            bent = new.load(c_at).tanh()
            h = slope.load(builder.mul(loop.index, s_row)) + dh.load(c_at)
            c = (h * o).muladd(1 - bent * bent, dc.load(c_at))
            dc.store(c_at, c * f)
            di, df = c * g * (i * (1 - i)), c * old.load(c_at) * (f * (1 - f))
            dg, do = c * i * (1 - g * g), h * bent * (o * (1 - o))
            for place, value in zip(places, (di, df, dg, do)):
                dgates.store(place, value)
        return context.get_dummy_value()

    return types.none(
        slope, s_at, s_row, dh, dh_at, dc, dc_at, old, old_at, new, new_at, c_row, gates, g_at, g_row, dgates, dg_at
    ), build  # fmt: skip


@intrinsic
def _multiply(typing, rows, r_at, r_row, n, weights, w_at, out, o_at, o_row, more):
    """out[r, :LANES] = rows[r, :n] @ weights (n, LANES) for the ROWS rows of a tile; with `more`, the product is added to
    out.
    """

    def build(context, builder, sig, args):
        rows, r_row, n, weights, out, o_row, more = _arguments(context, builder, sig, args)
        zero = ir.Constant(_REALS, [0.0] * LANES)
        sums = [[cgutils.alloca_once(builder, _REALS)] for _ in range(ROWS)]
        places = _times(builder, ROWS, o_row)
        for mine, at in zip(sums, places):
            builder.store(builder.select(more, out.load(at).value, zero), mine[0])
        _products(builder, sums, rows, _times(builder, ROWS, r_row), weights, n)
        for mine, at in zip(sums, places):
            out.store(at, _Vector(builder, builder.load(mine[0])))
        return context.get_dummy_value()

    return types.none(rows, r_at, r_row, n, weights, w_at, out, o_at, o_row, more), build


def _outer(count: int):
    @intrinsic
    def add(typing, x, x_at, x_step, x_row, slopes, s_at, s_row, steps, out, o_at, o_row):
        """Add to out[k, :WIDE], k < count, the sum over the steps and rows of a tile of x[step, row, k] times
        slopes[step, row, :WIDE].
        """

        def build(context, builder, sig, args):
            x, x_step, x_row, slopes, s_row, steps, out, o_row = _arguments(context, builder, sig, args)
            places = [[builder.add(at, _INDEX(g * LANES)) for g in range(4)] for at in _times(builder, count, o_row)]
            sums = [[cgutils.alloca_once(builder, _REALS) for _ in range(4)] for _ in range(count)]
            for mine, where in zip(sums, places):
                for total, place in zip(mine, where):
                    builder.store(out.load(place).value, total)
            with cgutils.for_range(builder, steps) as loop:
                for row in range(ROWS):
                    at = builder.mul(builder.add(builder.mul(loop.index, _INDEX(ROWS)), _INDEX(row)), s_row)
                    vectors = [slopes.load(builder.add(at, _INDEX(g * LANES))) for g in range(4)]
                    at = builder.add(builder.mul(loop.index, x_step), builder.mul(_INDEX(row), x_row))
                    for k, mine in enumerate(sums):
                        value = x.spread(builder.add(at, _INDEX(k)))
                        for total, vector in zip(mine, vectors):
                            old = _Vector(builder, builder.load(total))
                            builder.store(value.muladd(vector, old).value, total)
            for mine, where in zip(sums, places):
                for total, place in zip(mine, where):
                    out.store(place, _Vector(builder, builder.load(total)))
            return context.get_dummy_value()

        return types.none(x, x_at, x_step, x_row, slopes, s_at, s_row, steps, out, o_at, o_row), build

    return add


_outer_one, _outer_some = _outer(1), _outer(AT_ONCE)


@njit(nogil=True, error_model="numpy", inline="always")
def _ask(array, at, n):
    """Prefetch array[at : at + n], which may lie outside the array.

    The rows of each step start at a new address, which the processor does not prefetch automatically.
    """
    for i in range(at, at + n, LANES):
        prefetch(array, i)


@njit(nogil=True, cache=True, error_model="numpy")
def forward(x, weights, bias, reverse, steps, rows, n_in, n_h, first, last, zeros, out, cells, gates):
    """Fill out, cells and gates for the rows from tile `first` up to `last` (not included), in every direction.

    weights : (direction, block, n_in + n_h, 4, LANES), bias : (direction, block, 4, LANES), zeros : ROWS * padded units.
    """
    blocks = (n_h + LANES - 1) // LANES
    width = LANES * blocks
    ways = len(reverse)
    for way in range(ways):
        for tile in range(ROWS // AT_ONCE * first, ROWS // AT_ONCE * last):
            row = AT_ONCE * tile
            for step in range(steps):
                t = steps - 1 - step if reverse[way] else step
                before = t + 1 if reverse[way] else t - 1
                _ask(x, ((2 * t - before) * rows + row) * n_in, AT_ONCE * n_in)
                for block in range(blocks):
                    at = ((way * steps + t) * rows + row) * width
                    o_at = (t * rows + row) * ways * width + way * width
                    h_at = (before * rows + row) * ways * width + way * width if step else 0
                    c_at = ((way * steps + before) * rows + row) * width + LANES * block
                    w_at = (way * blocks + block) * WIDE
                    _cell(
                        x, (t * rows + row) * n_in, n_in, n_in, out, h_at, ways * width, n_h if step else 0,
                        weights, w_at * (n_in + n_h), bias, w_at,
                        cells if step else zeros, c_at if step else 0, cells, at + LANES * block, width,
                        gates, 4 * at + WIDE * block, 4 * width, out, o_at + LANES * block,
                    )  # fmt: skip


@njit(nogil=True, cache=True, error_model="numpy")
def backward(slope, x, out, cells, gates, to_h, to_x, reverse, steps, rows, n_in, n_h, first, last, zeros, dx, dw):
    """Fill dx for the rows from tile `first` up to `last` (not included), and add the contribution of these rows to dw.

    slope : like out; to_h : (direction, block of units, gates in blocks, LANES units); to_x : the same for the inputs;
    dx : (step, row, padded inputs), or empty like to_x; dw : (direction, 1 + n_in + padded units, gates in blocks), with
    the gradient of the bias first.
    """
    blocks = (n_h + LANES - 1) // LANES
    width = LANES * blocks
    wide = 4 * width
    ways = len(reverse)
    blocks_in = (n_in + LANES - 1) // LANES if len(dx) else 0
    work = np.empty(ROWS * (CHUNK * wide + 2 * width), np.float32)
    ones = np.ones(1, np.float32)
    dgates, state = work[: CHUNK * ROWS * wide], work[CHUNK * ROWS * wide :]
    dh, dc = state[: ROWS * width], state[ROWS * width : 2 * ROWS * width]
    for way in range(ways):
        sign = -1 if reverse[way] else 1
        start = steps - 1 if reverse[way] else 0
        for tile in range(first, last):
            row = ROWS * tile
            state[:] = 0.0
            for end in range(steps, 0, -CHUNK):
                begin = max(0, end - CHUNK)
                for step in range(end - 1, begin - 1, -1):
                    t = start + sign * step
                    at = ((way * steps + t) * rows + row) * width
                    mine = (step - begin) * ROWS * wide
                    _ask(gates, 4 * (at - sign * rows * width), ROWS * wide)
                    _ask(cells, at - 2 * sign * rows * width, ROWS * width)
                    _ask(slope, ((t - sign) * rows + row) * ways * width, ROWS * ways * width)
                    _ask(x, (t * rows + row) * n_in, ROWS * n_in)
                    _ask(out, (t * rows + row) * ways * width, ROWS * ways * width)
                    for block in range(blocks):
                        s_at = (t * rows + row) * ways * width + way * width + LANES * block
                        c_at = ((way * steps + t - sign) * rows + row) * width + LANES * block
                        _back(
                            slope, s_at, ways * width, dh, LANES * block, dc, LANES * block, cells if step else zeros,
                            c_at if step else 0, cells, at + LANES * block, width, gates, 4 * at + WIDE * block, wide,
                            dgates, mine + WIDE * block,
                        )  # fmt: skip
                    if step:
                        for block in range(blocks):
                            w_at = (way * blocks + block) * wide * LANES
                            _multiply(dgates, mine, wide, wide, to_h, w_at, dh, LANES * block, width, False)
                    for block in range(blocks_in):
                        w_at = (way * blocks_in + block) * wide * LANES
                        x_at = (t * rows + row) * LANES * blocks_in + LANES * block
                        _multiply(dgates, mine, wide, wide, to_x, w_at, dx, x_at, LANES * blocks_in, way > 0)
                n = end - begin
                t = start + sign * begin
                skip = 1 if begin == 0 else 0  # there is no output before the first step
                for block in range(blocks):
                    s_at, w_at = WIDE * block, way * (1 + n_in + width) * wide + WIDE * block
                    _outer_one(ones, 0, 0, 0, dgates, s_at, wide, n, dw, w_at, wide)
                    w_at += wide
                    x_at = (t * rows + row) * n_in
                    for k in range(0, n_in - AT_ONCE + 1, AT_ONCE):
                        _outer_some(
                            x, x_at + k, sign * rows * n_in, n_in, dgates, s_at, wide, n, dw, w_at + k * wide, wide
                        )
                    for k in range(n_in - n_in % AT_ONCE, n_in):
                        _outer_one(
                            x, x_at + k, sign * rows * n_in, n_in, dgates, s_at, wide, n, dw, w_at + k * wide, wide
                        )
                    w_at += n_in * wide
                    x_at = ((t + sign * (skip - 1)) * rows + row) * ways * width + way * width
                    s_at += skip * ROWS * wide
                    for k in range(0, width, AT_ONCE):
                        _outer_some(
                            out, x_at + k, sign * rows * ways * width, ways * width, dgates, s_at, wide, n - skip, dw,
                            w_at + k * wide, wide,
                        )  # fmt: skip
