"""Arithmetic in a config, parsed and never evaluated as code: `0.95 ** epoch`, `min(1, step /
100)`.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping

from ..errors import UserError, clip, suggest

OPERATORS: dict[type, Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
}
FUNCTIONS: dict[str, Callable[..., float]] = {
    **{name: getattr(math, name) for name in ("sqrt", "exp", "log", "cos", "sin", "floor", "ceil")},
    **{"min": min, "max": max, "abs": abs},
}
CONSTANTS = {"pi": math.pi}
LONGEST, LARGEST_POWER = 200, 1000


class Expression:
    """A function of some names, written as arithmetic.

    Raises:
        UserError: it is no arithmetic, or uses a name that is not there.
    """

    def __init__(self, text: str, names: tuple[str, ...], where: str) -> None:
        self.text, self.where = text, where
        if len(text) > LONGEST:
            raise UserError(f"{where}: an expression has at most {LONGEST} characters")
        try:
            self.tree = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError):
            raise UserError(
                f"{where}: {clip(text)!r} is not arithmetic; write it like 0.95 ** {names[0]}"
            ) from None
        self.names: set[str] = set()
        self._check(self.tree, set(names))

    def _check(self, node: ast.AST, known: set[str]) -> None:
        match node:
            case ast.Constant(value=int() | float()):
                return
            case ast.Name(id=name):
                if name not in known | set(CONSTANTS):
                    raise UserError(
                        f"{self.where}: unknown name {name!r}; "
                        f"{suggest(name, known | set(CONSTANTS), 'names')}"
                    )
                self.names |= {name} & known
                return
            case ast.BinOp(op=op) | ast.UnaryOp(op=op) if type(op) in OPERATORS:
                parts = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.operand]
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in OPERATORS:
                parts = [left, right]
            case ast.IfExp(test=test, body=body, orelse=orelse):
                parts = [test, body, orelse]
            case ast.Call(func=ast.Name(id=name), args=[_, *_] as arguments, keywords=[]):
                if name not in FUNCTIONS:
                    raise UserError(
                        f"{self.where}: unknown function {name!r}; "
                        f"{suggest(name, FUNCTIONS, 'functions')}"
                    )
                parts = list(arguments)
            case _:
                raise UserError(f"{self.where}: {clip(ast.unparse(node))!r} is not arithmetic")
        for part in parts:
            self._check(part, known)

    def __call__(self, values: Mapping[str, float]) -> float:
        """The value for these names.

        Raises:
            UserError: it has none (a division by zero, a number too large).
        """
        try:
            return float(self._value(self.tree, values))
        except (ArithmeticError, ValueError, TypeError) as error:
            raise UserError(
                f"{self.where}: {self.text!r} has no value at {dict(values)}: {error}"
            ) from None

    def _value(self, node: ast.AST, values: Mapping[str, float]) -> float:
        match node:
            case ast.Constant(value=int() | float() as value):
                return value
            case ast.Name(id=name):
                return values[name] if name in values else CONSTANTS[name]
            case ast.BinOp(left=left, op=op, right=right):
                a, b = self._value(left, values), self._value(right, values)
                if isinstance(op, ast.Pow) and (abs(a) > LARGEST_POWER or abs(b) > LARGEST_POWER):
                    a = float(
                        a
                        # an overflow of floats is an error at once, a power of whole numbers takes
                        # all
                        # memory
                    )
                return OPERATORS[type(op)](a, b)
            case ast.UnaryOp(op=op, operand=operand):
                return OPERATORS[type(op)](self._value(operand, values))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return OPERATORS[type(op)](self._value(left, values), self._value(right, values))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._value(body if self._value(test, values) else orelse, values)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return FUNCTIONS[name](*(self._value(part, values) for part in arguments))
        raise AssertionError("checked when it was parsed")
