"""Strategies that make trees of filters, as the parser could make them."""

from hypothesis import strategies as st

from lttngnet.filters import Binary, Float, Infix, Integer, Prefix, Reference, Root, Text, Unary
from lttngnet.filters.kinds import complain_of_binary, complain_of_unary, complain_of_whole

_NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_:]{0,5}", fullmatch=True)
_STEPS = st.lists(_NAMES | st.tuples(_NAMES, st.integers(0, 2**64 - 1)), min_size=1, max_size=3)
_PIECES = st.sampled_from(["*", "\\*", "\\\\"]) | st.characters(
    exclude_characters='"\\*\n\0', exclude_categories=["Cs"]
)


@st.composite
def references(draw):
    path = []
    for step in draw(_STEPS):
        path.extend(step if isinstance(step, tuple) else [step])
    return Reference(draw(st.sampled_from(Root)), tuple(path))


constants = (
    st.integers(0, 2**64 - 1).map(Integer)
    | st.floats(min_value=0, allow_nan=False).map(abs).map(Float)
    | st.lists(_PIECES, max_size=6).map("".join).map(Text)
)


def _unary(operands):
    pairs = st.tuples(st.sampled_from(Prefix), operands)
    return pairs.filter(lambda pair: complain_of_unary(*pair) is None).map(lambda pair: Unary(*pair))


def _binary(operands):
    triples = st.tuples(st.sampled_from(Infix), operands, operands)
    return triples.filter(lambda triple: complain_of_binary(*triple) is None).map(lambda each: Binary(*each))


trees = st.recursive(
    references() | constants, lambda operands: _unary(operands) | _binary(operands), max_leaves=12
)
filters = trees.filter(lambda tree: complain_of_whole(tree) is None)
