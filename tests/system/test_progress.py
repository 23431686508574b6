import io
import sys

from alexnet_tf.system.progress import Progress


def test_plain_lines_tell_rate_and_time_left(capsys):
    now = [100.0]
    with Progress("training", 1000, "images", done=200, clock=lambda: now[0]) as bar:
        for seconds in (4, 4, 4):
            now[0] += seconds
            bar.advance(80, "loss 1.5")
    # After 12 s: 240 of them done now, 20 a second, 560 left. At 4 and 8 s it was too early.
    assert capsys.readouterr().err.splitlines() == [
        "training: 440 of 1,000 images, 20/s, 0:28 left, loss 1.5"
    ]


def test_a_class_name_cannot_command_the_terminal(capsys):
    with Progress("looking at \x1b[2J", 2, "images", clock=iter(range(0, 99, 20)).__next__) as bar:
        bar.advance(1, "last \x1b]0;x\x07")
    assert "\x1b" not in (text := capsys.readouterr().err) and "\\x1b[2J" in text


def test_without_standard_error_nothing_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    with Progress("training", 2, "images", clock=iter(range(0, 99, 20)).__next__) as bar:
        bar.advance(1)
    assert capsys.readouterr().out == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("training", 10, "images") as bar:
        bar.advance(10, "loss 1.5")
        bar.write("a line above the bar")
    assert "training" in terminal.getvalue()
    assert "10/10" in terminal.getvalue()
