"""README and docs hold together: links lead somewhere, commands exist, nothing is left to be filled in."""

import re
from pathlib import Path

import pytest

from apps.commands import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_shown_exist(page: Path) -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```|((?:^    .*\n)+)", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    code = "\n".join(part for block in blocks for part in block)
    shown = re.findall(r"^\s*nines ([a-z]+)", code, flags=re.MULTILINE)
    assert set(shown) <= COMMANDS.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_is_left_to_fill_in(page: Path) -> None:
    assert re.findall(r"@[A-Z_]+@|TODO|FIXME", page.read_text(encoding="utf-8")) == []
