"""README.md, BUILD.md and docs/: links, and the files and commands that they name, exist."""

import importlib.util
import re

import pytest

from tests.commands import ROOT

PAGES = sorted(
    str(path.relative_to(ROOT)) for pattern in ("*.md", "docs/*.md") for path in ROOT.glob(pattern)
)


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.exists(), f"{page}: no {link}"
        if anchor:
            assert anchor in anchors(target), f"{page}: no heading for {link}"


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page):
    for name in re.findall(r"`([\w./]+\.(?:py|flags|config|md))`", text_of(page)):
        places = (ROOT, ROOT / "alexnet_tf", ROOT / "configs", ROOT / "docs")
        found = "/" not in name or any((place / name).exists() for place in places)
        assert found, f"{page}: no {name}"


@pytest.mark.parametrize("page", PAGES)
def test_named_commands_exist(page):
    for name in set(re.findall(r"python3? -m ((?:alexnet_tf|tools)(?:\.\w+)*)", text_of(page))):
        assert importlib.util.find_spec(name), f"{page}: no {name}"


def test_the_readme_is_short_and_holds_the_two_commands_of_ci():
    text = text_of("README.md")
    assert len(text.splitlines()) <= 150
    block = text.partition("<!-- ci -->\n```sh\n")[2].partition("```")[0].splitlines()
    assert [line.split()[0] for line in block] == ["python3", ".venv/bin/pip"]
