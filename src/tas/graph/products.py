"""Which widths to lock so that no cost is a product of more than two sizes that vary.

What a search reckons with (an expected cost, a bound) is sums of products of two widths. Where an
operator's cost or a parameter's size would be a product of more, as few widths as need be stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..shape import Side, Sum

__all__ = ["Product", "one_too_many"]

MOST = 2  # sizes that vary, of one product
IN_WORDS = {3: "three", 4: "four"}


@dataclass(frozen=True)
class Product:
    """Something that is proportional to each of its sides.

    Attributes:
        what: how messages call it, e.g. ``the cost of blocks.0.mix``.
        amount: how large it is in the whole net.
        sides: what it is a product of.
    """

    what: str
    amount: int
    sides: tuple[Side, ...]

    @property
    def varying(self) -> list[frozenset[str]]:
        """The names of the widths in each side that has any."""
        named = [_names(side) for side in self.sides]
        return [names for names in named if names]


def one_too_many(products: Sequence[Product]) -> tuple[frozenset[str], str] | None:
    """The widths of one side to lock, and why; None where no product has too many sides.

    Of the sides in question it is the one that most of the crowded products have, and then the one
    that the net spends least on. Where several have to go, ask again.
    """
    crowded = [product for product in products if len(product.varying) > MOST]
    if not crowded:
        return None

    def loss(side: frozenset[str]) -> tuple[int, int, list[str]]:
        helped = sum(side in product.varying for product in crowded)
        spent = sum(p.amount for p in products if any(side & names for names in p.varying))
        return -helped, spent, sorted(side)

    side = min((names for product in crowded for names in product.varying), key=loss)
    product = next(product for product in crowded if side in product.varying)
    number = len(product.varying)
    count = IN_WORDS.get(number, str(number))
    return side, f"{product.what} would depend on {count} widths at once"


def _names(side: Side) -> frozenset[str]:
    if isinstance(side, Sum):
        return frozenset(name for name, _, _ in side.parts)
    return frozenset([side] if isinstance(side, str) else [])
