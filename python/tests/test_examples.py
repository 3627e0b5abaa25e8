"""Every example of the READMEs and the guide is run as it stands: here Python, configurations, and commands.

Other languages are run where they are at home. What is run nowhere is named, with the reason.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import tollbar

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "python/README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs/guide").glob("*.md"))]


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced examples of a page in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_python_examples_run(page: str) -> None:
    names: dict[str, object] = {}
    for example in blocks(page, "python"):
        exec(compile(example, page, "exec"), names)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")])
def test_configurations_are_accepted(page: str) -> None:
    for example in blocks(page, "yaml"):
        tollbar.Engine.from_str(example)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "console")])
def test_commands_run(page: str, tmp_path: Path) -> None:
    (tmp_path / "apm-server.yml").write_text("apm-server.auth.secret_token: correct-horse-battery-staple\n")
    (tmp_path / "access.log").write_text('203.0.113.9 - - [25/Nov/2026:12:00:00 +0000] "POST / HTTP/1.1" 202 0\n')
    for example in blocks(page, "console"):
        for line in example.splitlines():
            program, *arguments = line.removeprefix("$ ").split()
            assert program == "tollbar", line
            cargo = ["cargo", "run", "--quiet", "--locked", "--package", "tollbar-cli", "--manifest-path"]
            command = [*cargo, str(ROOT / "Cargo.toml"), "--", *arguments]
            ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert ran.returncode == 0, ran.stderr


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx_accepts_its_examples(tmp_path: Path) -> None:
    for number, example in enumerate(blocks("docs/guide/behind-a-proxy.md", "nginx")):
        config = tmp_path / f"{number}.conf"
        config.write_text(
            f"error_log stderr; pid {tmp_path}/pid; events {{}} http {{ access_log off; server {{ {example} }} }}"
        )
        ran = subprocess.run(["nginx", "-t", "-c", str(config)], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr


DOCUMENTS = sorted(
    str(page.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md", "go/**/*.md", "python/*.md", "examples/**/*.md", "e2e/*.md", "fuzz/*.md")
    for page in ROOT.glob(pattern)
)
RUN_ELSEWHERE = {
    ("README.md", "rust"): "core/src/lib.rs",  # as a test of the documentation
    ("README.md", "c"): "ffi/tests/run.sh",
    ("README.md", "c++"): "ffi/tests/run.sh",
    ("README.md", "go"): "go/readme_test.go",
    ("go/README.md", "go"): "go/readme_test.go",
}
NOT_RUN = {
    (
        "README.md",
        "make run     # builds everything, starts the reference ingestor on 127.0.0.1:8200, and prints what to try",
    ): ("what CI does: the second command runs this test, the first one's program is tested in test_program.py"),
    ("CONTRIBUTING.md", "make test    # everything that CI checks, in every language; installs what is missing"): (
        "that is what runs this test"
    ),
    ("docs/ARCHITECTURE.md", "peer, headers, authorization            what is asked for"): "a drawing",
    (
        "docs/guide/quick-starts.md",
        "pip install tollbar",
    ): "installs from a registry; the wheel is tested in test_wheel.py",
    ("docs/guide/quick-starts.md", "cc example.c $(pkg-config --cflags --libs tollbar)"): (
        "ffi/tests/run.sh compiles the README's program by the same words"
    ),
    ("python/README.md", "python -m venv .venv && . .venv/bin/activate"): "make test does the same, by .venv/.wheel",
}
FENCE = re.compile(r"^[ >]*```([^\n`]*)\n(.*?)^[ >]*```", re.MULTILINE | re.DOTALL)


def test_every_example_is_run_or_there_is_a_reason_why_not() -> None:
    run_here = {"python", "yaml", "console"}
    excused = set()
    of_the_readme = {match.groups() for match in FENCE.finditer((ROOT / "README.md").read_text())}
    for page in DOCUMENTS:
        for match in FENCE.finditer((ROOT / page).read_text()):
            language, text = match.groups()
            if page in PAGES and language in run_here:
                continue
            if (page, language) == ("docs/guide/behind-a-proxy.md", "nginx") or (page, language) in RUN_ELSEWHERE:
                continue
            if (language, text) in of_the_readme and ("README.md", language) in RUN_ELSEWHERE:
                continue
            first = text.splitlines()[0]
            assert (page, first) in NOT_RUN, f"{page}: who runs this? {first}"
            excused.add((page, first))
    assert excused == set(NOT_RUN), "an excuse for nothing"


def test_the_examples_that_are_run_elsewhere_are() -> None:
    for (page, language), runner in RUN_ELSEWHERE.items():
        assert blocks(page, re.escape(language)), f"{page} has no {language}"
        text = (ROOT / runner).read_text()
        assert "README.md" in text, runner
        assert language == "rust" or f"```{language}" in text, runner


def test_the_guide_shows_the_quick_start_of_every_language() -> None:
    for language in ("rust", "python", "c", "c++", "go"):
        first = blocks("README.md", re.escape(language))[0]
        assert first in blocks("docs/guide/quick-starts.md", re.escape(language)), language
        assert len(first.splitlines()) <= 35, f"{language}: a quick start is short"
