"""Short vectors of floats for compiled functions: one arithmetic operation works on all lanes at once.

LLVM makes of them what the machine it compiles for has: vector instructions, or one after the other; whether
it recognises a loop does not matter. A vector lives in registers; :func:`row` and :func:`set_row` connect it
with arrays (n, LANES), and are plain indexing for arrays (n,), so that the same code works on one series or
on several. Numbers and vectors mix in ``+ - * /``.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, lower_builtin, models, overload, register_model, type_callable

from ssl4eco_data.types import FloatArray

LANES = 4
"""Numbers in a vector: as many as one AVX register holds."""
_LLVM_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_BYTES = 8


class VectorType(types.Type):
    """The numba type of a vector of ``LANES`` float64."""

    def __init__(self) -> None:
        super().__init__(name=f"Vector({LANES})")


VECTOR = VectorType()


def _model(manager: Any, kind: VectorType) -> Any:
    primitive: Any = models.PrimitiveModel
    return primitive(manager, kind, _LLVM_VECTOR)


register_model(VectorType)(_model)


def row(array: FloatArray, i: int) -> Any:
    """``array[i]``: a number of an array (n,), a vector of an array (n, LANES) without gaps.

    Other layouts and types do not compile; another width is not noticed.
    """
    return array[i]


def set_row(array: FloatArray, i: int, content: Any) -> None:
    """``array[i] = content``: the counterpart of :func:`row`."""
    array[i] = content


def _address(context: Any, builder: Any, kind: Any, array: Any, i: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    first = builder.mul(i, context.get_constant(types.intp, LANES))
    return builder.bitcast(builder.gep(data, [first]), _LLVM_VECTOR.as_pointer())


def _load(typing: Any, array: Any, i: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_address(context, builder, signature.args[0], *args), align=_BYTES)

    return VECTOR(array, types.intp), generate


def _store(typing: Any, array: Any, i: Any, vector: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature.args[0], args[0], args[1])
        builder.store(args[2], address, align=_BYTES)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


load: Any = intrinsic(_load)
store: Any = intrinsic(_store)


def _is_lanes(array: Any) -> bool:
    return bool(array.ndim == 2 and array.layout == "C" and array.dtype == types.float64)


def _row_of(array: Any, i: Any) -> Any:
    def number(array: Any, i: Any) -> Any:
        return array[i]

    def vector(array: Any, i: Any) -> Any:
        return load(array, i)

    if array.ndim == 1:
        return number
    return vector if _is_lanes(array) else None


def _set_row_of(array: Any, i: Any, content: Any) -> Any:
    def number(array: Any, i: Any, content: Any) -> None:
        array[i] = content

    def vector(array: Any, i: Any, content: Any) -> None:
        store(array, i, content)

    if array.ndim == 1:
        return number
    return vector if _is_lanes(array) else None


overload(row)(_row_of)
overload(set_row)(_set_row_of)


def _as_vector(context: Any, builder: Any, kind: Any, content: Any) -> Any:
    """The content, a number spread over all lanes."""
    if isinstance(kind, VectorType):
        return content
    number = context.cast(builder, content, kind, types.float64)
    vector = ir.Constant(_LLVM_VECTOR, ir.Undefined)
    for lane in range(LANES):
        vector = builder.insert_element(vector, number, ir.Constant(ir.IntType(32), lane))
    return vector


def _vector_of(a: Any, b: Any) -> Any:
    """A vector where one operand is a vector and the other a vector or a number; else not ours."""
    kinds = {type(a), type(b)}
    if VectorType in kinds and kinds <= {VectorType, types.Float, types.Integer, types.IntegerLiteral}:
        return VECTOR
    return None


def _add_operation(operation: Any, instruction: str) -> None:
    def compute(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pair = (_as_vector(context, builder, *own) for own in zip(signature.args, args, strict=True))
        return getattr(builder, instruction)(*pair)

    declare: Any = type_callable
    lower: Any = lower_builtin
    declare(operation)(lambda context: _vector_of)
    for kinds in ((VectorType, VectorType), (VectorType, types.Number), (types.Number, VectorType)):
        lower(operation, *kinds)(compute)


_add_operation(operator.add, "fadd")
_add_operation(operator.sub, "fsub")
_add_operation(operator.mul, "fmul")
_add_operation(operator.truediv, "fdiv")
