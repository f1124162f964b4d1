"""One item that stands for many: how names are filled in, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from instruments.errors import ConfigurationError
from instruments.expansion import expanded

FILE = Path("some.yaml")


def test_every_combination_in_order() -> None:
    item = {
        "for_each": {
            "length": [{"name": "short", "tokens": 64}, {"name": "long", "tokens": 256}],
            "users": [1, 8],
        },
        "id": "{length.name}-{users}",
        "users": "{users}",
        "mix": [{"output_tokens": "{length.tokens}"}],
    }
    assert expanded([item], FILE) == [
        {"id": "short-1", "users": 1, "mix": [{"output_tokens": 64}]},
        {"id": "short-8", "users": 8, "mix": [{"output_tokens": 64}]},
        {"id": "long-1", "users": 1, "mix": [{"output_tokens": 256}]},
        {"id": "long-8", "users": 8, "mix": [{"output_tokens": 256}]},
    ]


def test_items_without_it_are_as_they_were() -> None:
    items = [{"id": "a {b} c", "users": 3}]
    assert expanded(items, FILE) == items
    assert expanded("no list", FILE) == "no list"


@pytest.mark.parametrize("over", [{}, [], {"users": 3}, {"users": []}])
def test_what_is_no_list_of_values_is_refused(over: object) -> None:
    with pytest.raises(ConfigurationError, match="for_each of 'x'"):
        expanded([{"id": "x", "for_each": over}], FILE)


def test_a_name_that_stands_for_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"some.yaml: \{length.tokens\} stands for nothing"):
        expanded([{"id": "{length.tokens}", "for_each": {"length": [{"name": "short"}]}}], FILE)
