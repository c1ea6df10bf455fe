"""The words of a filter → its tree.

::

    filter     = binary                                    ; neither a string nor a floating point number
    binary     = unary *(operator unary)                   ; by precedence, see `Infix.precedence`
    unary      = *("+" / "-" / "!" / "~") primary
    primary    = integer / float / string / reference / "(" binary ")"
    reference  = name *(("." / "->") name / "[" integer "]")        ; no two indexes in a row
"""

from typing import NoReturn

from lttngnet.errors import Code, CommandError
from lttngnet.filters.expression import (
    Binary,
    Expression,
    Float,
    Infix,
    Integer,
    Prefix,
    Reference,
    Root,
    Text,
    Unary,
)
from lttngnet.filters.kinds import complain_of_binary, complain_of_unary, complain_of_whole
from lttngnet.filters.lexer import Word, WordKind, refuse, words

MAX_DEPTH = 100
"""How deep operators and parentheses may be nested; ``a || b || c`` is not deep, however long it is."""

_PREFIX = {operator.value: operator for operator in Prefix}
_INFIX = {operator.value: operator for operator in Infix}
_ROOTS = {root.value: root for root in (Root.CONTEXT, Root.APPLICATION)}
_EXAMPLES = {Root.CONTEXT: "$ctx.NAME", Root.APPLICATION: "$app.PROVIDER:NAME"}
_ARITHMETIC = frozenset("+-*/%")


def parse(expression: str) -> Expression:
    """Make the tree of an expression.

    Raises:
        CommandError: it is no filter; the sentence says where and why.
    """
    if not expression.strip():
        raise CommandError(Code.FILTER_INVAL, "a filter cannot be empty")
    return _Parser(expression).whole()


class _Parser:
    """Reads words one by one; ``_next`` is the first that is not read yet."""

    def __init__(self, expression: str) -> None:
        self._words = words(expression)
        self._next = next(self._words)

    def whole(self) -> Expression:
        tree = self._binary(1, 0)
        if self._next.kind is not WordKind.END:
            self._refuse_instead_of("an operator or the end")
        if complaint := complain_of_whole(tree):
            refuse(0, complaint)
        return tree

    def _binary(self, lowest: int, depth: int) -> Expression:
        """Read operands that are joined by operators of at least that precedence."""
        if depth > MAX_DEPTH:
            refuse(self._next.position, f"this is nested more than {MAX_DEPTH} deep")
        left = self._unary(depth)
        while (operator := self._infix()) is not None and operator.precedence >= lowest:
            place = self._take().position
            right = self._binary(operator.precedence + 1, depth + 1)
            if complaint := complain_of_binary(operator, left, right):
                refuse(place, complaint)
            left = Binary(operator, left, right)
        return left

    def _infix(self) -> Infix | None:
        word = self._next
        if word.kind is not WordKind.SYMBOL:
            return None
        if word.text in _ARITHMETIC:
            refuse(word.position, f"filters have no arithmetic, so {word} cannot stand between two values")
        return _INFIX.get(word.text)

    def _unary(self, depth: int) -> Expression:
        prefixes = []
        while self._next.kind is WordKind.SYMBOL and self._next.text in _PREFIX:
            prefixes.append(self._take())
        depth += len(prefixes)
        if depth > MAX_DEPTH:
            refuse(prefixes[-1].position, f"this is nested more than {MAX_DEPTH} deep")
        tree = self._primary(depth)
        for word in reversed(prefixes):
            operator = _PREFIX[word.text]
            if complaint := complain_of_unary(operator, tree):
                refuse(word.position, complaint)
            tree = Unary(operator, tree)
        return tree

    def _primary(self, depth: int) -> Expression:
        match self._next.kind, self._next.value:
            case WordKind.INTEGER, int(value):
                self._take()
                return Integer(value)
            case WordKind.FLOAT, float(value):
                self._take()
                return Float(value)
            case WordKind.TEXT, str(value):
                self._take()
                return Text(value)
            case WordKind.NAME, _:
                return self._reference()
        if not self._skip("("):
            self._refuse_instead_of("a field, a constant or a parenthesis")
        tree = self._binary(1, depth + 1)
        if not self._skip(")"):
            self._refuse_instead_of("an operator or a closing parenthesis")
        return tree

    def _reference(self) -> Reference:
        first = self._take()
        path: list[str | int] = []
        root = Root.PAYLOAD
        if not first.text.startswith("$"):
            path.append(first.text)
        elif first.text not in _ROOTS:
            refuse(first.position, f"{first} is no context, which begins with $ctx. or $app.")
        else:
            root = _ROOTS[first.text]
            if self._is("["):
                self._refuse_instead_of(_EXAMPLES[root])
        while True:
            if self._skip(".") or self._skip("->"):
                path.append(self._name())
            elif self._is("["):
                if isinstance(path[-1], int):
                    refuse(
                        self._next.position, "arrays of arrays cannot be filtered: one index behind a name"
                    )
                path.append(self._index())
            elif not path:
                self._refuse_instead_of(_EXAMPLES[root])
            else:
                return Reference(root, tuple(path))

    def _name(self) -> str:
        if self._next.kind is not WordKind.NAME:
            self._refuse_instead_of("a name")
        return self._take().text

    def _index(self) -> int:
        self._skip("[")
        value = self._next.value
        if self._next.kind is not WordKind.INTEGER or not isinstance(value, int):
            self._refuse_instead_of("a constant index (0, 1, 2, …)")
        self._take()
        if not self._skip("]"):
            self._refuse_instead_of("a closing bracket")
        return value

    def _is(self, symbol: str) -> bool:
        return self._next.kind is WordKind.SYMBOL and self._next.text == symbol

    def _skip(self, symbol: str) -> bool:
        if found := self._is(symbol):
            self._take()
        return found

    def _take(self) -> Word:
        """Return the next word, which is read with that."""
        word = self._next
        self._next = next(self._words)
        return word

    def _refuse_instead_of(self, expected: str) -> NoReturn:
        refuse(self._next.position, f"expected {expected}, found {self._next}")
