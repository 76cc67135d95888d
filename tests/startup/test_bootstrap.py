"""From a bare Python to a filled .venv, without the network."""

import importlib.util
import os
import runpy
import subprocess
import sys
from types import SimpleNamespace

import pytest

from pytake import bootstrap, home


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty checkout with two lists; installing is counted, not done."""
    venv = tmp_path / ".venv"
    lists = {"up": tmp_path / "requirements.txt", "test": tmp_path / "requirements-dev.txt"}
    for path in lists.values():
        path.write_text(f"{path.stem}==1\n")
    monkeypatch.setattr(bootstrap, "VENV", venv)
    monkeypatch.setattr(bootstrap, "PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(bootstrap, "STAMP", venv / ".requirements.json")
    monkeypatch.setattr(bootstrap, "REQUIREMENTS", lists)
    made = SimpleNamespace(lists=lists, installed=[], venv=venv)

    def create():
        bootstrap.PYTHON.parent.mkdir(parents=True, exist_ok=True)
        bootstrap.PYTHON.touch()

    monkeypatch.setattr(bootstrap, "create", create)
    monkeypatch.setattr(bootstrap, "install", lambda path: made.installed.append(path.name))
    return made


def test_a_filled_environment_is_left_alone(checkout):
    bootstrap.fill(checkout.lists["up"])
    bootstrap.fill(checkout.lists["up"])

    assert checkout.installed == ["requirements.txt"]


def test_a_changed_list_is_installed_again(checkout):
    bootstrap.fill(checkout.lists["up"])
    checkout.lists["up"].write_text("other==2\n")
    bootstrap.fill(checkout.lists["up"])

    assert checkout.installed == ["requirements.txt", "requirements.txt"]


def test_the_list_for_tests_serves_for_running_too(checkout):
    bootstrap.fill(checkout.lists["test"])
    bootstrap.fill(checkout.lists["up"])

    assert checkout.installed == ["requirements-dev.txt"]


def test_a_developers_environment_keeps_its_tools_when_a_list_changes(checkout):
    bootstrap.fill(checkout.lists["test"])
    checkout.lists["up"].write_text("other==2\n")
    bootstrap.fill(checkout.lists["up"])

    assert checkout.installed == ["requirements-dev.txt", "requirements-dev.txt"]


def test_an_interrupted_installation_is_not_taken_for_a_filled_one(checkout, monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bootstrap.fill(checkout.lists["up"])

    assert not bootstrap.is_filled(checkout.lists["up"])


def test_another_python_below_the_environment_means_a_new_one(checkout):
    bootstrap.fill(checkout.lists["up"])
    (checkout.venv / "pyvenv.cfg").write_text("version = 3.12.0\n")

    assert not bootstrap.is_filled(checkout.lists["up"])


def test_a_missing_venv_module_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(bootstrap, "PYTHON", tmp_path / "none")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(bootstrap._trouble["Trouble"], match="apt install python3-venv"):
        bootstrap.create()


def test_an_old_python_is_told_so(monkeypatch):
    monkeypatch.setattr(bootstrap, "OLDEST", (99, 0))

    with pytest.raises(SystemExit, match="needs Python"):
        bootstrap.ensure(["manage.py", "up"])


def test_a_failed_step_becomes_one_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bootstrap, "LOG", tmp_path / "install.log")
    complaint = [sys.executable, "-c", "raise SystemExit('no such package')"]

    with pytest.raises(bootstrap._trouble["Trouble"], match="fetching failed: no such package"):
        bootstrap.step("fetching", complaint)


def test_pip_takes_over_when_uv_cannot_be_had(monkeypatch, checkout):
    monkeypatch.undo()
    steps = []

    def step(label, command):
        steps.append(label)
        if label == "fetching the installer":
            raise bootstrap._trouble["Trouble"]("not found")

    monkeypatch.setattr(bootstrap, "step", step)
    bootstrap.install(checkout.lists["up"])

    assert steps == ["fetching the installer", "installing 1 packages with pip (slower)"]


def test_a_bare_python_reads_the_bootstrap(tmp_path):
    """It must not need anything that it is about to install."""
    code = f"import runpy; runpy.run_path({str(home.ROOT / 'pytake' / 'bootstrap.py')!r})"
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-c", code], cwd=tmp_path, capture_output=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_a_command_before_the_first_start_says_what_to_run(tmp_path):
    """In a checkout without .venv, under a Python without Django."""
    (tmp_path / "pytake").mkdir()
    for name in ("manage.py", "pytake/bootstrap.py", "pytake/trouble.py"):
        (tmp_path / name).write_bytes((home.ROOT / name).read_bytes())
    environment = {"PATH": os.environ["PATH"]}
    command = [sys.executable, "-S", "manage.py", "migrate"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.strip() == "PyTake is not installed here yet: run `python3 manage.py up` first."


def test_every_variable_of_the_settings_is_explained_to_operators():
    example = (home.ROOT / ".env.example").read_text()
    promised = (
        "PYTAKE_HOME PORT BIND PUBLIC_URL DATABASE_URL REDIS_URL SECRET_KEY PYTAKE_FIELD_KEYS PYTAKE_DEMO "
        "PYTAKE_DEMO_PASSWORD PYTAKE_ALLOW_PRIVATE_HOSTS PYTAKE_WORKERS"
    )

    assert [name for name in promised.split() if f"#{name}=" not in example] == []


def test_the_commands_file_stays_a_doorway():
    assert callable(runpy.run_path(str(home.ROOT / "pytake" / "bootstrap.py"))["ensure"])
    assert len((home.ROOT / "manage.py").read_text().splitlines()) < 20
