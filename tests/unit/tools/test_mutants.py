"""What is told of a mutation run: every mutant once, by module, and the survivors by name."""

from tools import mutants

RESULTS = """
    mission_commander.domain.life.claims.x_claim__mutmut_1: killed
    mission_commander.domain.life.claims.x_claim__mutmut_2: survived
    mission_commander.domain.due.xǁDueIndexǁarm__mutmut_1: timeout
    mission_commander.domain.due.xǁDueIndexǁarm__mutmut_2: no tests
    mission_commander.domain.due.xǁDueIndexǁarm__mutmut_3: not checked
"""


def test_what_no_test_noticed_survived_and_so_did_what_no_test_saw() -> None:
    names = [name.rpartition(".")[2] for name in mutants.read(RESULTS).survivors]
    assert names == ["xǁDueIndexǁarm__mutmut_2", "xǁDueIndexǁarm__mutmut_3", "x_claim__mutmut_2"]


def test_each_module_has_a_row_and_the_last_line_tells_all() -> None:
    assert mutants.read(RESULTS).lines(61.4) == [
        "due                          1 of 3",
        "life.claims                  1 of 2",
        "2 of 5 mutants found out, 40.0 %, 61 s",
    ]


def test_a_run_without_mutants_is_below_the_bar() -> None:
    assert mutants.read("").percent < mutants.BAR
