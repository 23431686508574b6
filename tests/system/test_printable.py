"""Text from outside, on terminals, in closed and full streams, and in spreadsheets."""

import json
import os
import subprocess
import sys

import pytest

from alexnet_tf.system.text import csv_cell, printable, printable_lines
from tests.commands import ROOT

# A command that prints what its argument holds in JSON.
PRINT = (
    "import json, sys\nfrom alexnet_tf import app\n"
    "def main(argv):\n    print(json.loads(argv[0])); sys.stderr.write('a note\\n' * 9999)\n"
    "app.run(main, needs_tensorflow=lambda: False)"
)


def shell(line, text="words", **environment):
    """Runs a shell's line in which "$@" is the command."""
    command = [sys.executable, "-c", PRINT, json.dumps(text)]
    return subprocess.run(
        ["bash", "-c", line, "bash", *command],
        cwd=ROOT, capture_output=True, timeout=60, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize(
    "text, expected",
    [
        ("ring", "ring"),
        ("Ärger 円 👍🏽", "Ärger 円 👍🏽"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("one\rtwo\nthree\tfour", r"one\rtwo\nthree\tfour"),
        ("\u202egpj.exe\u2066 \u061c", r"\u202egpj.exe\u2066 \u061c"),
        ("a\u2028b\x7f", r"a\u2028b\x7f"),
        ("not UTF-8: \udcff", r"not UTF-8: \udcff"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_a_terminal_obeys_is_escaped(text, expected):
    assert printable(text) == expected
    assert printable(expected) == expected


def test_lines_keep_their_breaks():
    assert printable_lines("one\n\ttwo\r\x1bc\n") == "one\n\ttwo\\r\\x1bc\n"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"])
def test_a_cell_that_a_spreadsheet_would_compute_is_text(text):
    assert csv_cell(text) == f"'{text}"
    assert csv_cell(f"a{text}") == f"a{text}"


def test_a_command_escapes_whatever_it_prints():
    done = shell('"$@"', "\x1b]0;title\x07\u202e é \udcff\n", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert done.stdout == rb"\x1b]0;title\x07\u202e \xe9 \udcff" + b"\n\n"


def test_a_locale_other_than_utf_8_changes_no_name_and_no_exit_code():
    unusual = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code = (
        "import sys\nfrom alexnet_tf import app\n"
        "app.run(lambda argv: print(sys.getfilesystemencoding(), *argv),"
        " needs_tensorflow=lambda: False)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "é"], cwd=ROOT, capture_output=True, timeout=60,
        env={**os.environ, **unusual},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout in (b"utf-8 \\xe9\n", "utf-8 é\n".encode())


@pytest.mark.parametrize("line", ['"$@" 2>&-', '"$@" 2>/dev/full', '"$@" 0<&- 2>&-'])
def test_messages_that_nobody_can_read_end_nothing(line):
    done = shell(line)
    assert (done.returncode, done.stdout) == (0, b"words\n")


def test_closed_descriptors_are_not_given_to_files():
    code = (
        "from alexnet_tf.system.text import protect_outputs\nprotect_outputs()\n"
        "import sys; print('words'); assert open(sys.argv[0]).fileno() > 2"
    )
    line = f"exec {sys.executable} -c '{code.replace(chr(39), chr(34))}' >&- 2>&-"
    line = line.replace("sys.argv[0]", '"setup.py"')
    assert subprocess.run(["bash", "-c", line], cwd=ROOT, timeout=60).returncode == 0


def test_output_that_cannot_be_written_is_an_error_of_one_line():
    done = shell('"$@" >/dev/full')
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(b"error: Cannot write to standard output: No ")
    assert b"Traceback" not in done.stderr


def test_a_reader_that_ends_early_is_no_error():
    done = shell('(sleep 0.5; "$@") | true; exit ${PIPESTATUS[0]}', "words\n" * 9999)
    assert done.returncode == 141
    assert set(done.stderr.splitlines()) <= {b"a note"}  # whether it came so far, but no trace
