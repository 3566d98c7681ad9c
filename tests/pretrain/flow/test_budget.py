"""A budget is divided once, says how, and never starves the training."""

import pytest

from pipelines.errors import ConfigError
from pretrain.flow.budget import LEAST_SHARE, TASK_LIMIT_S, divide, kept, total_of


def parts(found):
    return found.spent_s + found.starting_s + found.pretrain_s + found.tasks_s + found.export_s


@pytest.mark.parametrize("budget", ["4min", "20min", "1.5h", "2d"])
@pytest.mark.parametrize("num_tasks", [0, 1, 3, 12])
@pytest.mark.parametrize("on_gpu", [False, True])
def test_the_parts_are_the_whole(budget, num_tasks, on_gpu):
    found = divide(budget, spent_s=40, num_tasks=num_tasks, on_gpu=on_gpu)
    assert parts(found) == pytest.approx(total_of(budget), abs=1.2)
    assert found.over_s < 1
    assert found.tasks_s <= min(0.36 * found.total_s, num_tasks * TASK_LIMIT_S) + 0.1
    assert found.pretrain_s >= 0.4 * (found.total_s - 40 - found.starting_s)


def test_more_tasks_leave_less_for_pretraining():
    gets = [divide("20min", spent_s=0, num_tasks=n, on_gpu=False).pretrain_s for n in range(4)]
    assert gets == sorted(gets, reverse=True) and len(set(gets)) == 4


def test_a_gpu_has_time_to_compile():
    slow, fast = (divide("20min", spent_s=0, num_tasks=1, on_gpu=gpu) for gpu in (True, False))
    assert slow.starting_s > 60 > fast.starting_s


def test_where_the_corpus_took_it_all_pretraining_still_gets_its_least_and_that_is_said():
    found = divide("1min", spent_s=90, num_tasks=1, on_gpu=False)
    assert found.pretrain_s == LEAST_SHARE * 60
    assert found.over_s > 40
    assert "at the least" in found.told()
    assert "at the least" not in divide("1h", spent_s=90, num_tasks=1, on_gpu=False).told()


def test_it_says_every_part_in_words():
    told = divide("20min", spent_s=95, num_tasks=2, on_gpu=False).told()
    assert told.startswith("of 20min: corpus and vocabulary took 1 min 35 s; pretraining gets ")
    assert "kept for the tasks" in told and "for exports" in told
    assert "\N{NO-BREAK SPACE}" not in told


def test_an_attempt_that_goes_on_keeps_its_division_as_long_as_the_budget_is_the_same():
    found = divide("20min", spent_s=95, num_tasks=2, on_gpu=False)
    assert kept(found.to_json(), budget="20min") == found
    assert kept(found.to_json(), budget="30min") is None
    assert kept(None, budget="20min") is None


@pytest.mark.parametrize("text", ["soon", "20", "0min", "-3min", "20 minutes"])
def test_what_is_no_time_is_refused_with_a_remedy(text):
    with pytest.raises(ConfigError, match="20min"):
        divide(text, spent_s=0, num_tasks=0, on_gpu=False)
