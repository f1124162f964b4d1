"""Where an objective applies: names and globs, what is unknown, and whether two can meet."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.slo.applies import ANYWHERE, Applies, Place, matches

HERE = Place("eks", "llama-3-8b", "NVIDIA H100 80GB HBM3")


@pytest.mark.parametrize(
    ("applies", "why"),
    [
        (Applies(), None),
        (Applies(environments=("eks",)), None),
        (Applies(environments=("local", "e*")), None),
        (Applies(environments=("local", "a6000")), "for local or a6000, this is eks"),
        (Applies(models=("llama-*",)), None),
        (Applies(models=("LLAMA-3-?b",)), None),
        (Applies(models=("llama-3-?",)), "for llama-3-?, this is llama-3-8b"),
        (Applies(accelerators=("*h100*",)), None),
        (Applies(accelerators=("H100",)), "for H100, this is NVIDIA H100 80GB HBM3"),
        (Applies(users=(1, 4)), None),
        (Applies(users=(64,)), "for 64 users, this load has 4"),
        (Applies(environments=("eks",), models=("qwen*",)), "for qwen*, this is llama-3-8b"),
    ],
)
def test_a_place_and_a_load_are_in_or_out_with_the_reason(applies: Applies, why: str | None) -> None:
    assert applies.excludes(HERE, users=4) == why


def test_what_is_not_known_excludes_nothing_and_is_named() -> None:
    applies = Applies(("eks",), ("llama*",), ("*H100*",))
    assert applies.excludes(ANYWHERE) is None
    assert applies.unknown(ANYWHERE) == ("environment", "model", "accelerator")
    assert applies.unknown(HERE) == ()
    assert Applies(models=("a",)).unknown(Place("eks")) == ("model",)


def test_a_load_that_is_not_of_users_has_none_of_them() -> None:
    assert Applies(users=(1, 64)).excludes(HERE) == "for 1 or 64 users, this load has none"
    assert Applies().excludes(HERE) is None


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        (Applies(), Applies(models=("a",)), True),
        (Applies(models=("a",)), Applies(models=("A",)), True),
        (Applies(models=("a",)), Applies(models=("b",)), False),
        (Applies(models=("llama*",)), Applies(models=("llama-3*",)), True),
        (Applies(models=("llama*",)), Applies(models=("qwen*",)), False),
        (Applies(models=("a??",)), Applies(models=("a?c",)), True),
        (Applies(models=("a?",)), Applies(models=("a",)), False),
        (Applies(models=("a*",)), Applies(models=("a",)), True),
        (Applies(models=("a", "b")), Applies(models=("c", "b")), True),
        (Applies(environments=("eks",)), Applies(models=("a",)), True),
        (Applies(users=(1, 4)), Applies(users=(4, 16)), True),
        (Applies(users=(1,)), Applies(users=(4,)), False),
        (Applies(environments=("eks",), users=(1,)), Applies(environments=("eks",), users=(4,)), False),
    ],
)
def test_two_meet_where_some_place_and_load_is_in_both(one: Applies, other: Applies, meet: bool) -> None:
    assert one.overlaps(other) is meet
    assert other.overlaps(one) is meet


PATTERNS = st.text("ab*?", min_size=1, max_size=7)


@given(PATTERNS, st.text("ab", max_size=6))
def test_a_glob_matches_what_the_shells_glob_matches(pattern: str, name: str) -> None:
    assert matches(pattern, name) == fnmatchcase(name, pattern)


@given(PATTERNS, PATTERNS, st.text("ab", max_size=6))
def test_whether_two_meet_at_a_place_is_whether_both_are_for_it(one: str, other: str, name: str) -> None:
    both = fnmatchcase(name, one) and fnmatchcase(name, other)
    assert Applies(models=(one,)).overlaps(Applies(models=(other,)), Place(model=name)) is both


def test_cards_of_two_names_do_not_meet_though_a_name_could_hold_both() -> None:
    assert not Applies(accelerators=("*H100*",)).overlaps(Applies(accelerators=("*A6000*",)))
    assert not Applies(models=("llama*",)).overlaps(Applies(models=("*8b",)))


def test_at_a_place_that_is_known_both_apply_or_not() -> None:
    llamas, small = Applies(models=("llama*",)), Applies(models=("*8b",))
    assert llamas.overlaps(small, HERE)
    assert not llamas.overlaps(small, Place("eks", "llama-3-70b"))
    assert not llamas.overlaps(small, Place("eks"))
    assert not Applies(environments=("local",)).overlaps(Applies(), HERE)
    assert not llamas.overlaps(Applies(models=("*8b",), accelerators=("*A6000*",)), HERE)


def test_brackets_of_a_models_name_are_letters() -> None:
    assert matches("model[awq]", "model[awq]")
    assert not matches("model[awq]", "modela")
