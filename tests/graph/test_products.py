"""Which widths are locked so that no cost is a product of three."""

from tas.graph.products import Product, one_too_many
from tas.shape import Sum


def test_two_widths_are_no_crowd() -> None:
    assert one_too_many([Product("a cost", 9, ("a", "b", 7)), Product("a size", 0, ("c",))]) is None


def test_the_width_that_most_of_them_share_goes() -> None:
    chain = [Product(f"cost {n}", 1, ("c", f"t{n}", f"t{n + 1}")) for n in range(2)]
    spent = [Product("the rest", 100, ("c", 3))]
    assert one_too_many([*chain, *spent]) == (
        frozenset({"t1"}),
        "cost 0 would depend on three widths at once",
    )


def test_all_widths_of_a_sum_go_together() -> None:
    both = Sum((("a", 1, 1), ("b", 1, 1)), 2)
    crowd = Product("it", 1, (both, "c", "d", "c"))
    found = one_too_many([crowd, Product("more", 5, ("c", "d"))])
    assert found == (frozenset({"a", "b"}), "it would depend on four widths at once")
