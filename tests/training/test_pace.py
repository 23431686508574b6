"""How many steps a call makes."""

from alexnet_tf.training.pace import Pace


class Workers:
    """What others can afford, beside what this worker says."""

    def __init__(self, *others):
        self.others, self.workers = others, 1 + len(others)

    def total(self, value):
        return value + sum(self.others)


def test_a_call_lasts_about_a_second():
    pace = Pace(20, Workers())
    assert pace.steps() == 1  # nothing is known yet
    pace.measured(1, 0.02)
    assert pace.steps() == 20  # 50 would fit
    pace.measured(20, 5.0)
    assert pace.steps() == 4
    pace.measured(4, 30.0)
    assert pace.steps() == 1


def test_all_workers_make_the_same_number():
    pace = Pace(20, Workers(5, 8))
    pace.measured(1, 0.1)
    assert pace.steps() == round((10 + 5 + 8) / 3)
    assert Pace(1, Workers(5)).steps() == 1
