import pathlib
import subprocess
import sys

from tests.folders import write_folder

ROOT = pathlib.Path(__file__).parent.parent


def test_linear_baseline_reports_every_rate(tmp_path):
    write_folder(tmp_path)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tools.linear_baseline", "--dataset=folder"),
            *(f"--data_dir={tmp_path}", "--epochs=1", "--batch_size=8"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert sum("validation" in line and "on 20 images" in line for line in lines) == 3
