"""Whether the models of the channel would notice a fault: a table of small changes of its code, each of which they must find.

Here once for each fault, with one seed; `python -m proof.mutants --seeds 10` makes the whole table.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exits import Programs
from proof.mutants import MUTANTS, NEEDED, SECONDS, Mutant, faulty, find, survivors

BUDGET = 1000
"""Examples. Measured over 10 seeds: each fault is found within 627 of them, most within 100."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """Give what makes programs that have all loaded but callbridge."""
    made = Programs(tmp_path_factory.mktemp("mutants"), *NEEDED, seconds=SECONDS)
    yield made
    made.close()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_fault_can_still_be_made(mutant: Mutant) -> None:
    """The text to be changed is there, exactly once."""
    assert mutant.new in faulty(mutant)


def test_the_code_as_it_is_passes(programs: Programs) -> None:
    """Otherwise a failure would mean nothing. `channel/test_model.py` has more examples."""
    found = find(None, sorted({mutant.killer for mutant in MUTANTS}), 1, 10, programs)
    assert [one for one in found if one["outcome"] != "passed"] == []


@pytest.mark.parametrize("mutant", MUTANTS[::5], ids=lambda mutant: mutant.name)
def test_the_models_notice(mutant: Mutant, programs: Programs) -> None:
    """By a failed assertion; an exception does not count. A fifth of the faults: the others take as long again each."""
    assert survivors(find(mutant, [mutant.killer], 1, BUDGET, programs)) == []
