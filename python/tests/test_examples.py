"""Every example of the READMEs and the guide is run as it stands: Python, configurations, and commands."""

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
