"""One HTML file with all pictures and the numbers behind them; it loads nothing from anywhere."""

from __future__ import annotations

import base64
import html
import numbers
from typing import Any

from alexnet_tf.figures.picture import Picture

_STYLE = """
body { font: 17px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1b1b; background: #fff; }
h2 { margin-top: 4rem; }
nav { columns: 20rem; }
img { width: 100%; height: auto; border: 1px solid #ddd; }
figure { margin: 0; }
figcaption { margin: .6rem 0; }
table { border-collapse: collapse; font-size: 15px; }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0;
  border-bottom: 1px solid #ddd; font-weight: normal; }
.missing { border-left: .3rem solid #D55E00; padding-left: .8rem; }
"""


def render_page(
    title: str, facts: dict[str, Any], pictures: list[Picture], missing: dict[str, str]
) -> str:  # fmt: skip
    """The page.

    Args:
        title: of it.
        facts: about the model.
        pictures: in their order.
        missing: of each picture that could not be drawn its name and why.
    """
    links = "".join(f'<li><a href="#{_e(p.name)}">{_e(p.title)}</a></li>' for p in pictures)
    body = "".join(map(_section, pictures))
    for name, reason in missing.items():
        body += f'<p class="missing"><b>{_e(name)}</b> could not be drawn. {_e(reason)}</p>'
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<link rel="icon" href="data:,">'
        f"<title>{_e(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{_e(title)}</h1>{_table(facts)}<nav><ol>{links}</ol></nav>{body}</body></html>\n"
    )


def _section(picture: Picture) -> str:
    data, title = base64.b64encode(picture.png).decode(), _e(picture.title)
    text = "".join(  # what stands between backquotes is code
        f"<code>{_e(part)}</code>" if i % 2 else _e(part)
        for i, part in enumerate(picture.caption.split("`"))
    )
    numbers = picture.numbers
    details = f"<details><summary>Numbers</summary>{_table(numbers)}</details>" if numbers else ""
    return (
        f'<h2 id="{_e(picture.name)}">{title}</h2><figure><img alt="{title}" '
        f'src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>{details}'
    )


def _table(values: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{_e(str(key))}</th><td>{_cell(value)}</td></tr>" for key, value in values.items()
    )
    return f"<table>{rows}</table>"


def _rows(values: list[dict[str, Any]]) -> str:
    """A table with a row for each, whose heads are the keys of the first."""
    head = "".join(f"<th><b>{_e(str(key))}</b></th>" for key in values[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(row.get(key))}</td>" for key in values[0]) + "</tr>"
        for row in values
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, dict):
        return _table(value)
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(item, dict) for item in value):
            return _rows(value)
        simple = not any(isinstance(item, (dict, list, tuple)) for item in value)
        return (", " if simple else "<br>").join(map(_cell, value))
    if isinstance(value, numbers.Integral):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, numbers.Real) else _e(str(value))


def _e(text: str) -> str:
    return html.escape(text)
