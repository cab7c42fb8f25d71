"""Registers of eight float64 inside compiled loops, so that running sums stay in registers over a loop through time.

The compiler vectorises only innermost loops, and would keep the sums of all lanes in memory. These types are LLVM
vectors: one instruction each with AVX-512, two with AVX2, four with NEON. They exist only within compiled code. `load`,
`store` and `transpose` do not check bounds and require arrays in C order.
"""

from __future__ import annotations

import math
import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from myograph._common.jit import part

WIDTH = 8
LN2 = math.log(2.0)
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # the first has 33 bits
SHIFT = 1.5 * 2.0**52  # adding it rounds to a whole number, which is then in the low bits of the double

_DOUBLES = ir.VectorType(ir.DoubleType(), WIDTH)
_INTS = ir.VectorType(ir.IntType(64), WIDTH)
_BITS = ir.VectorType(ir.IntType(1), WIDTH)


class _Kind(types.Type):
    def __init__(self, name: str, vector: ir.VectorType):
        super().__init__(name)
        self.vector = vector


class _Reals(_Kind):
    pass


class _Wholes(_Kind):
    pass


class _Truths(_Kind):
    pass


REALS, WHOLES, TRUTHS = _Reals("8 x float64", _DOUBLES), _Wholes("8 x int64", _INTS), _Truths("8 x bool", _BITS)


@register_model(_Reals)
@register_model(_Wholes)
@register_model(_Truths)
class _Vector(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.vector)


def _operator(function, result, taken, build) -> None:
    """Let compiled code apply `function` to registers; build(builder, *registers) emits it."""
    infer_global(function)(  # type: ignore[misc]
        type("_Typing", (ConcreteTemplate,), {"key": function, "cases": [signature(result, *taken)]})
    )
    lower_builtin(function, *taken)(lambda context, builder, sig, args: build(builder, *args))


def _call(name: str, *args_of: ir.Type):
    def build(builder, *args):
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_DOUBLES, args_of), name)
        return builder.call(function, args)

    return build


_TWO = (REALS, REALS)
_operator(operator.add, REALS, _TWO, lambda b, x, y: b.fadd(x, y))
_operator(operator.sub, REALS, _TWO, lambda b, x, y: b.fsub(x, y))
_operator(operator.mul, REALS, _TWO, lambda b, x, y: b.fmul(x, y))
_operator(operator.truediv, REALS, _TWO, lambda b, x, y: b.fdiv(x, y))
_operator(operator.lt, TRUTHS, _TWO, lambda b, x, y: b.fcmp_ordered("<", x, y))
_operator(operator.gt, TRUTHS, _TWO, lambda b, x, y: b.fcmp_ordered(">", x, y))
_operator(operator.ge, TRUTHS, _TWO, lambda b, x, y: b.fcmp_ordered(">=", x, y))
_operator(operator.eq, TRUTHS, _TWO, lambda b, x, y: b.fcmp_ordered("==", x, y))
_operator(operator.ne, TRUTHS, _TWO, lambda b, x, y: b.fcmp_unordered("!=", x, y))
_operator(operator.or_, TRUTHS, (TRUTHS, TRUTHS), lambda b, x, y: b.or_(x, y))
_operator(operator.and_, TRUTHS, (TRUTHS, TRUTHS), lambda b, x, y: b.and_(x, y))
_operator(abs, REALS, (REALS,), _call("llvm.fabs.v8f64", _DOUBLES))
_operator(operator.add, WHOLES, (WHOLES, WHOLES), lambda b, x, y: b.add(x, y))


def _binary(build, result):
    @intrinsic
    def function(typing, x, y):
        return result(x, y), lambda context, builder, sig, args: build(builder, *args)

    return function


lower = _binary(lambda b, x, y: b.select(b.fcmp_ordered("<", x, y), x, y), REALS)
"""The smaller of two in each lane, y if they are equal."""
higher = _binary(lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y), REALS)
"""The larger of two in each lane, y if they are equal."""


@intrinsic
def unlike(typing, x, y):
    """Whether the signs differ; zeros also have a sign."""

    def build(context, builder, sig, args):
        bits = builder.xor(*(builder.bitcast(a, _INTS) for a in args))
        return builder.icmp_signed("<", bits, ir.Constant(_INTS, [0] * WIDTH))

    return TRUTHS(x, y), build


@intrinsic
def muladd(typing, x, y, z):
    """x * y + z, rounded once if the processor supports it."""
    build = _call("llvm.fmuladd.v8f64", _DOUBLES, _DOUBLES, _DOUBLES)
    return REALS(x, y, z), lambda context, builder, sig, args: build(builder, *args)


@intrinsic
def root(typing, x):
    """Square roots."""
    build = _call("llvm.sqrt.v8f64", _DOUBLES)
    return REALS(x), lambda context, builder, sig, args: build(builder, *args)


@intrinsic
def select(typing, truth, x, y):
    """x if true, else y."""
    return REALS(truth, x, y), lambda context, builder, sig, args: builder.select(*args)


@intrinsic
def some(typing, truth):
    """Whether any lane is true."""

    def build(context, builder, sig, args):
        number = builder.bitcast(args[0], ir.IntType(WIDTH))
        return builder.icmp_unsigned("!=", number, ir.IntType(WIDTH)(0))

    return types.boolean(truth), build


def _spread(builder, scalar, vector):
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), mask)


@intrinsic
def fill(typing, value):
    """The same number in every lane."""

    def build(context, builder, sig, args):
        return _spread(builder, context.cast(builder, args[0], sig.args[0], types.float64), _DOUBLES)

    return REALS(value), build


@intrinsic
def zeros_int(typing):
    """Whole numbers 0."""
    return WHOLES(), lambda context, builder, sig, args: ir.Constant(_INTS, [0] * WIDTH)


@intrinsic
def exponent_bits(typing, x):
    """The biased exponents of positive numbers (1023 above the exponents)."""

    def build(context, builder, sig, args):
        return builder.lshr(builder.bitcast(args[0], _INTS), ir.Constant(_INTS, [52] * WIDTH))

    return WHOLES(x), build


@intrinsic
def mantissa(typing, x):
    """Positive normal numbers without their exponents, 1 <= m < 2."""

    def build(context, builder, sig, args):
        kept = builder.and_(builder.bitcast(args[0], _INTS), ir.Constant(_INTS, [0x000FFFFFFFFFFFFF] * WIDTH))
        return builder.bitcast(builder.or_(kept, ir.Constant(_INTS, [0x3FF0000000000000] * WIDTH)), _DOUBLES)

    return REALS(x), build


@intrinsic
def power_of_two(typing, shifted):
    """2 ** k of registers that hold k + SHIFT."""

    def build(context, builder, sig, args):
        raised = builder.add(builder.bitcast(args[0], _INTS), ir.Constant(_INTS, [1023] * WIDTH))
        return builder.bitcast(builder.shl(raised, ir.Constant(_INTS, [52] * WIDTH)), _DOUBLES)

    return REALS(shifted), build


@intrinsic
def power_of_exponent(typing, shifted):
    """2 ** k of registers that hold k + 1023 + SHIFT."""

    def build(context, builder, sig, args):
        raised = builder.shl(builder.bitcast(args[0], _INTS), ir.Constant(_INTS, [52] * WIDTH))
        return builder.bitcast(raised, _DOUBLES)

    return REALS(shifted), build


@intrinsic
def reals(typing, x):
    """Whole numbers as float64."""
    return REALS(x), lambda context, builder, sig, args: builder.sitofp(args[0], _DOUBLES)


def _address(context, builder, kind, array, where):
    data = context.make_array(kind)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, kind, data, where, wraparound=False, boundscheck=False)


def _read(builder, kind, pointer):
    """Eight neighbours from a pointer to an element of an array of `kind`, as doubles."""
    element = ir.FloatType() if kind.dtype == types.float32 else ir.DoubleType()
    vector = ir.VectorType(element, WIDTH)
    found = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    found.align = 4 if kind.dtype == types.float32 else 8
    return builder.fpext(found, _DOUBLES) if kind.dtype == types.float32 else found


def _write(builder, value, pointer):
    builder.store(value, builder.bitcast(pointer, _DOUBLES.as_pointer())).align = 8


def _index(context, builder, kind, value):
    return context.cast(builder, value, kind, types.intp)


@intrinsic
def load(typing, array, i, j):
    """array[i, j : j + 8]."""

    def build(context, builder, sig, args):
        where = [_index(context, builder, k, a) for k, a in zip(sig.args[1:], args[1:])]
        return _read(builder, sig.args[0], _address(context, builder, sig.args[0], args[0], where))

    return REALS(array, i, j), build


@intrinsic
def store(typing, array, i, j, value):
    """array[i, j : j + 8] = value."""

    def build(context, builder, sig, args):
        where = [_index(context, builder, k, a) for k, a in zip(sig.args[1:3], args[1:3])]
        _write(builder, args[3], _address(context, builder, sig.args[0], args[0], where))
        return context.get_dummy_value()

    return types.none(array, i, j, value), build


@intrinsic
def transpose(typing, flat, place, first, t, to, i, j):
    """to[i + k, j + l] = flat[place[first + l] + t + k] for k, l < 8."""

    def build(context, builder, sig, args):
        source, places, target = args[0], args[1], args[4]
        first, t, i, j = (_index(context, builder, sig.args[a], args[a]) for a in (2, 3, 5, 6))
        add = lambda x, n: builder.add(x, ir.Constant(x.type, n))  # noqa: E731
        rows = []
        for lane in range(WIDTH):
            start = builder.load(_address(context, builder, sig.args[1], places, [add(first, lane)]))
            pointer = _address(context, builder, sig.args[0], source, [builder.add(start, t)])
            rows.append(_read(builder, sig.args[0], pointer))
        for size in (1, 2, 4):  # swap off-diagonal blocks of one, two and four elements
            lanes = range(WIDTH)
            low = [k if not k & size else k - size + WIDTH for k in lanes]
            high = [k + size if not k & size else k + WIDTH for k in lanes]
            masks = [ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), m) for m in (low, high)]
            for k in lanes:
                if not k & size:
                    pair = rows[k], rows[k + size]
                    rows[k], rows[k + size] = (builder.shuffle_vector(*pair, mask) for mask in masks)
        for k in range(WIDTH):
            _write(builder, rows[k], _address(context, builder, sig.args[4], target, [add(i, k), j]))
        return context.get_dummy_value()

    return types.none(flat, place, first, t, to, i, j), build


@intrinsic
def prefetch(typing, flat, i):
    """Prefetch flat[i]; i may be out of bounds."""

    def build(context, builder, sig, args):
        number = ir.IntType(32)
        pointer = _address(context, builder, sig.args[0], args[0], [_index(context, builder, sig.args[1], args[1])])
        pointer = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.none(flat, i), build


def as_signal(samples: np.ndarray) -> np.ndarray:
    """Return samples in the form for compiled loops: read-only, C order, float32 or float64, so that few types are
    compiled.
    """
    samples = np.asarray(samples)
    if samples.dtype not in (np.float32, np.float64) or not samples.flags.c_contiguous:
        samples = np.ascontiguousarray(samples, np.float32 if samples.dtype == np.float32 else np.float64)
    samples = samples.view()
    samples.flags.writeable = False
    return samples


def aligned(n: int, width: int) -> np.ndarray:
    """Like `rows_of`, for arrays that Python passes to kernels.

    >>> aligned(3, 16).shape
    (3, 16)
    """
    raw = np.zeros(n * width + WIDTH)
    skip = -(raw.ctypes.data // 8) % WIDTH
    return raw[skip : skip + n * width].reshape(n, width)


@part
def rows_of(n, width):
    """(n, width) zeros that begin at the start of a cache line; width is a multiple of 8."""
    raw = np.zeros(n * width + WIDTH)
    skip = -(raw.ctypes.data // 8) % WIDTH
    return raw[skip : skip + n * width].reshape(n, width)


@intrinsic
def first(typing, x, n):
    """The first n lanes of x, zero in the others."""

    def build(context, builder, sig, args):
        index = ir.Constant(_INTS, list(range(WIDTH)))
        limit = _spread(builder, _index(context, builder, sig.args[1], args[1]), _INTS)
        return builder.select(builder.icmp_signed("<", index, limit), args[0], ir.Constant(_DOUBLES, [0.0] * WIDTH))

    return REALS(x, n), build


@intrinsic
def neighbours(typing, x, y, n):
    """Eight lanes from lane n on of x followed by y; n is a literal from 1 to 7."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    mask = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [n.literal_value + k for k in range(WIDTH)])
    return REALS(x, y, n), lambda context, builder, sig, args: builder.shuffle_vector(args[0], args[1], mask)


def _over_lanes(combine):
    @intrinsic
    def function(typing, x):
        def build(context, builder, sig, args):
            found = args[0]
            for size in (4, 2, 1):
                mask = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [(k + size) % WIDTH for k in range(WIDTH)])
                found = combine(builder, found, builder.shuffle_vector(found, found, mask))
            return builder.extract_element(found, ir.IntType(32)(0))

        return types.float64(x), build

    return function


total = _over_lanes(lambda b, x, y: b.fadd(x, y))
"""The sum over lanes, always in the same order."""
least = _over_lanes(lambda b, x, y: b.select(b.fcmp_ordered("<", x, y), x, y))
"""The smallest lane."""
greatest = _over_lanes(lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y))
"""The largest lane."""


@part(inline="always")
def exp(x):
    """exp(x) for EXP_FLOOR <= x <= -EXP_FLOOR: 2^k exp(r), |r| <= ln(2) / 2, Taylor's series to degree 12."""
    shifted = muladd(x, fill(1.0 / LN2), fill(SHIFT))
    k = shifted - fill(SHIFT)
    r = muladd(k, fill(-LN2_LOW), muladd(k, fill(-LN2_HIGH), x))
    p = muladd(fill(1 / 479001600.0), r, fill(1 / 39916800.0))
    p = muladd(p, r, fill(1 / 3628800.0))
    p = muladd(p, r, fill(1 / 362880.0))
    p = muladd(p, r, fill(1 / 40320.0))
    p = muladd(p, r, fill(1 / 5040.0))
    p = muladd(p, r, fill(1 / 720.0))
    p = muladd(p, r, fill(1 / 120.0))
    p = muladd(p, r, fill(1 / 24.0))
    p = muladd(p, r, fill(1 / 6.0))
    p = muladd(p, r, fill(0.5))
    p = muladd(p, r, fill(1.0))
    return muladd(p, r, fill(1.0)) * power_of_two(shifted)


def _series_of_exp2(degree: int) -> tuple[float, ...]:
    """Coefficients, the highest first, of 2^r for |r| <= 1/2 by interpolation at Chebyshev's points."""
    fit = np.polynomial.chebyshev.chebinterpolate(lambda z: 2.0 ** (z / 2), degree)
    in_z = np.polynomial.chebyshev.cheb2poly(fit)
    return tuple((in_z * 2.0 ** np.arange(degree + 1))[::-1].tolist())


_EXP2 = _series_of_exp2(10)  # relative error within 2e-15
_SHIFT_1023 = SHIFT + 1023.0


@part(inline="always")
def exp2(y):
    """2^y for -1021 <= y <= 0."""
    shifted = y + fill(_SHIFT_1023)
    r = y - (shifted - fill(_SHIFT_1023))
    p = muladd(fill(_EXP2[0]), r, fill(_EXP2[1]))
    p = muladd(p, r, fill(_EXP2[2]))
    p = muladd(p, r, fill(_EXP2[3]))
    p = muladd(p, r, fill(_EXP2[4]))
    p = muladd(p, r, fill(_EXP2[5]))
    p = muladd(p, r, fill(_EXP2[6]))
    p = muladd(p, r, fill(_EXP2[7]))
    p = muladd(p, r, fill(_EXP2[8]))
    p = muladd(p, r, fill(_EXP2[9]))
    return muladd(p, r, fill(_EXP2[10])) * power_of_exponent(shifted)


@part(inline="always")
def log(x, exponent):
    """ln(x) + exponent ln(2) for positive normal x: ln of the mantissa by the series of the inverse tanh."""
    e = exponent + reals(exponent_bits(x)) - fill(1023.0)
    m = mantissa(x)
    high = m > fill(1.4142135623730951)
    e = select(high, e + fill(1.0), e)
    m = select(high, m * fill(0.5), m)
    s = (m - fill(1.0)) / (m + fill(1.0))
    z = s * s
    p = muladd(fill(1 / 23.0), z, fill(1 / 21.0))
    p = muladd(p, z, fill(1 / 19.0))
    p = muladd(p, z, fill(1 / 17.0))
    p = muladd(p, z, fill(1 / 15.0))
    p = muladd(p, z, fill(1 / 13.0))
    p = muladd(p, z, fill(1 / 11.0))
    p = muladd(p, z, fill(1 / 9.0))
    p = muladd(p, z, fill(1 / 7.0))
    p = muladd(p, z, fill(1 / 5.0))
    p = muladd(p, z, fill(1 / 3.0))
    p = muladd(p, z, fill(1.0))
    return muladd(e, fill(LN2), fill(2.0) * s * p)
