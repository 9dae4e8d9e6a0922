"""`nines tensorboard`: the right folder, the command, and clear refusals; and TensorBoard does start with it."""

import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from apps.cli import main
from apps.tensorboard import check_port, log_folder, tensorboard_command
from nines.errors import UserError


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for folder in ("sweep/clipping-00000000/trials/0000", "train/one"):
        (tmp_path / folder / "tensorboard").mkdir(parents=True)
        (tmp_path / folder / "tensorboard" / "events.out.tfevents.1.host.1.0").touch()
    (tmp_path / "sweep/clipping-00000000/sweep.yaml").write_text("name: clipping\n")
    return tmp_path


def test_without_a_target_everything_below_runs_is_shown(runs: Path) -> None:
    assert log_folder([f"runs={runs}"]) == runs


def test_a_sweep_is_found_by_its_name(runs: Path) -> None:
    assert log_folder([f"runs={runs}", "sweep=clipping"]) == runs / "sweep/clipping-00000000"


def test_a_dry_run_prints_the_command_and_starts_nothing(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tensorboard", str(runs / "train/one"), "--port", "7007", "--dry-run"]) == 0
    printed = shlex.split(capsys.readouterr().out)
    assert printed == tensorboard_command(runs / "train/one", host="localhost", port=7007)
    assert printed[1:5] == ["-m", "tensorboard.main", "--logdir", str(runs / "train/one")]
    assert "--reload_multifile=true" in printed


def test_a_folder_without_events_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tensorboard", str(tmp_path), "--dry-run"]) == 2
    assert "has written TensorBoard events yet" in capsys.readouterr().err


def test_a_missing_runs_folder_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nines train"):
        log_folder([f"runs={tmp_path / 'runs'}"])


def test_a_taken_port_is_refused_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} of 127.0.0.1 is taken"):
            check_port("127.0.0.1", port)


@pytest.mark.parametrize("port", [0, -1, 65536, 99999])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(UserError, match=f"--port {port}: a port is a number from 1 to 65535"):
        check_port("127.0.0.1", port)


def test_a_host_without_an_address_is_refused() -> None:
    with pytest.raises(UserError, match="--host no such host: no such address"):
        check_port("no such host", 6006)


def test_tensorboard_takes_every_option_of_the_command_and_answers(runs: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = [sys.executable, "-m", "apps.cli", "tensorboard", str(runs), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/environment", timeout=5) as answer:
                    assert answer.status == 200
                    break
            except OSError:
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline, "TensorBoard did not answer in 90 seconds"
                time.sleep(0.2)
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=20)
    assert f"http://127.0.0.1:{port}/" in output
