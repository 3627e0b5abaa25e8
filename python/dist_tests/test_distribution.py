"""What is published: the wheel's tag, the source distribution, and a build for free-threaded interpreters.

`make test-dist` runs these, with the wheels in `target/wheels`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
# pip's build backend calls `maturin` by name.
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
OFFLINE = {
    **os.environ,
    "CARGO_NET_OFFLINE": "true",
    "CARGO_TARGET_DIR": str(TARGET),
    "PATH": PATH,
    "PIP_NO_INDEX": "1",
}


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**OFFLINE, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel() -> Path:
    """Return the newest wheel of `make`."""
    return max((ROOT / "target" / "wheels").glob("tollbar-*.whl"), key=lambda path: path.stat().st_mtime)


def test_the_wheel_is_for_every_python_of_the_stable_abi_and_its_tag_is_right(wheel: Path) -> None:
    tag = re.fullmatch(r"tollbar-[\d.]+-cp311-abi3-(manylinux_2_\d+_\w+)\.whl", wheel.name)
    assert tag, wheel.name
    said = run(sys.executable, "-m", "auditwheel", "show", wheel)
    consistent = re.search(r'platform tag:\s*"(manylinux_2_(\d+)_\w+)"', " ".join(said.split()))
    assert consistent, said
    # The tag promises no older system than the wheel runs on.
    assert int(tag[1].split("_")[2]) >= int(consistent[2])
    assert "abi3" in wheel.name


def test_the_wheel_holds_the_package_its_types_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        names = files.namelist()
    package = [name for name in names if name.startswith("tollbar/")]
    assert {"tollbar/py.typed", "tollbar/_tollbar.pyi", "tollbar/__main__.py", "tollbar/asgi.py"} <= set(package)
    assert sum(name.endswith(".so") for name in names) == 1
    others = {name.split("/")[0] for name in names} - {"tollbar"}
    assert len(others) == 1
    assert others.pop().endswith(".dist-info")


def test_the_source_distribution_builds_and_runs_in_an_environment_of_its_own(tmp_path: Path) -> None:
    # Files that are from now: of those that look older, cargo takes what it built of others.
    now = str(int(time.time()))
    run("maturin", "sdist", "--manifest-path", ROOT / "python" / "Cargo.toml", "--out", tmp_path, SOURCE_DATE_EPOCH=now)
    (sdist,) = tmp_path.glob("tollbar-*.tar.gz")
    with tarfile.open(sdist) as files:
        names = files.getnames()
    assert any(name.endswith("Cargo.lock") for name in names)
    assert not [name for name in names if name.endswith((".so", ".pyc", ".whl"))]
    built = tmp_path / "built"
    run(
        *(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", built, sdist),
        MATURIN_PEP517_ARGS="--profile dev",
    )
    (wheel,) = built.glob("tollbar-*.whl")
    # Another one is left among those of `make`, and would be taken for the newest of them.
    (TARGET / "wheels" / wheel.name).unlink()
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel)
    program = "import tollbar; print(tollbar.Engine.from_str('').check(peer='203.0.113.9').method)"
    assert run(python, "-c", program, cwd=tmp_path).strip() == "none"
    assert len(run(python.with_name("tollbar"), "keygen", cwd=tmp_path).strip()) == 43
    # Without the extra, it says what is missing.
    missing = subprocess.run(
        [python, "-m", "tollbar", "intake", "--config", "x"], capture_output=True, text=True, check=False
    )
    assert missing.returncode == 2
    assert "pip install 'tollbar[intake]'" in missing.stderr


def test_the_module_compiles_for_free_threaded_interpreters() -> None:
    config = Path(__file__).with_name("free-threaded.cfg")
    run("cargo", "check", "--quiet", "--locked", "--package", "tollbar-python", PYO3_CONFIG_FILE=str(config))
