"""An error that says more than what is listed is a difference."""

from __future__ import annotations

import pytest

from tests.differential.wording import (
    is_beginning,
    is_same_below_the_run,
    is_same_but_cut,
    is_same_but_for_order,
    is_same_but_for_position,
)


@pytest.mark.parametrize(
    "agree, reference, ours, expected",
    [
        (is_beginning, "It is there. Error: SQL", "It is there.", True),
        (is_beginning, "It is there. Error: SQL", "It is here.", False),
        (is_same_but_for_order, "Missing: {'b', 'a'}", "Missing: ['a', 'b']", True),
        (is_same_but_for_order, "Missing: {'b', 'a'}", "Missing: ['a', 'c']", False),
        (is_same_but_for_order, "Missing: {'b', 'a'}", "Lacking: ['a', 'b']", False),
        (is_same_but_for_position, "Found x", "Found x (at position 3)", True),
        (is_same_but_for_position, "Found x", "Found y (at position 3)", False),
        (is_same_but_for_position, "Found x", "Found x", False),
        (
            is_same_but_for_position,
            "'>' is not one of '{'LIKE', '='}'",
            "'>' is not one of '['=', 'LIKE']' for tag 't' (at position 1)",
            True,
        ),
        (
            is_same_but_for_position,
            "Invalid order_by entity: tag",
            "Invalid order_by entity: tag (at position 1 of order_by clause 2)",
            True,
        ),
        (is_same_but_cut, "No aaaa here", "No aa… here", True),
        (is_same_but_cut, "No aaaa here", "No bb… here", False),
        (is_same_but_cut, "No aaaa here", "No aa… there", False),
        (is_same_but_cut, "No aaaa here", "No aaaa here", False),
        (is_same_below_the_run, "No '3/<r>/artifacts/a'", "No 'a'", True),
        (is_same_below_the_run, "No '3/<r>/artifacts/a'", "No 'b'", False),
    ],
)
def test_only_the_named_difference_is_passed_over(agree, reference, ours, expected):
    assert agree(reference, ours) is expected
