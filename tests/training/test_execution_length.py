"""How many steps a compiled call makes."""

from alexnet_tf.training.train_step import ExecutionLength


class Workers:
    """A sum over workers, of which the others have given values."""

    def __init__(self, *others):
        self.others, self.workers = others, 1 + len(others)

    def sum(self, value):
        return value + sum(self.others)


def test_a_call_lasts_about_a_second():
    length = ExecutionLength(20, Workers())
    assert length.steps() == 1  # nothing is known yet
    length.record(1, 0.02)
    assert length.steps() == 20  # 50 would fit
    length.record(20, 5.0)
    assert length.steps() == 4
    length.record(4, 30.0)
    assert length.steps() == 1


def test_all_workers_make_the_same_number():
    length = ExecutionLength(20, Workers(5, 8))
    length.record(1, 0.1)
    assert length.steps() == round((10 + 5 + 8) / 3)
    assert ExecutionLength(1, Workers(5)).steps() == 1
