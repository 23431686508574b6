"""Draws figures into a folder, and writes an HTML page that shows all and needs no other file."""

from __future__ import annotations

import base64
import html
import numbers
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.registry import FigureEntry, RenderedFigure
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import write_atomically
from alexnet_tf.system.paths import local_path
from alexnet_tf.system.progress import Progress

PAGE = "index.html"
_FAILURES = (UserError, OSError, tf.errors.OpError)  # of one figure; the others are still drawn
_CSS = """
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


def make_folder(path: str) -> pathlib.Path:
    """Makes a folder and tries to write to it, so that an error comes before the work.

    Raises:
        UserError: it cannot be made or written to.
    """
    folder = local_path(path, "--output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(
            f"Expected --output to be a directory that can be written to. Received: {folder} "
            f"({error.strerror})"
        ) from None
    return folder


def draw_report(
    context: FigureContext, folder: pathlib.Path, figures: Sequence[FigureEntry],
    facts: dict[str, object] | None = None, page: bool = True,
) -> tuple[list[RenderedFigure], dict[str, str]]:  # fmt: skip
    """Draws and writes figures; if one fails, the others are still drawn.

    Args:
        context: the model and its images.
        folder: must exist.
        figures: to draw, in this order.
        facts: about the model, for the top of the page.
        page: whether to write the page.

    Returns:
        The figures, and for each figure that could not be drawn its name and the reason.

    Raises:
        UserError: the page cannot be written.
    """
    drawn: list[RenderedFigure] = []
    missing: dict[str, str] = {}
    try:
        need_images = [each.name for each in figures if each.needs_dataset(context)]
        try:
            _ = need_images and context.activations  # first: it has a progress bar of its own
        except _FAILURES as error:
            missing.update(dict.fromkeys(need_images, _reason(error)))
        with Progress("drawing", len(figures), "figures") as progress:
            for each in figures:
                try:
                    if each.name not in missing:
                        rendered = each.render(context)
                        rendered.save(folder)
                        drawn.append(rendered)
                except _FAILURES as error:
                    missing[each.name] = _reason(error)
                progress.advance(1, each.name)
    finally:  # after an error or Ctrl-C as well, the page shows the figures drawn so far
        if page:
            facts = {**(facts or {}), **_image_counts(context)}
            html_text = render_page("Inside AlexNet", facts, drawn, missing)
            try:
                with write_atomically(folder / PAGE) as file:
                    file.write(html_text.encode(errors="backslashreplace"))
            except OSError as error:
                raise UserError(f"{folder / PAGE} could not be written: {error.strerror}") from None
    return drawn, missing


def _reason(error: Exception) -> str:
    """The cause of an error in one line."""
    if isinstance(error, OSError):
        return f"a file could not be read or written: {error.strerror or error}"
    lines = str(getattr(error, "message", error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _image_counts(context: FigureContext) -> dict[str, object]:
    """How many images were used, if any were."""
    activations = vars(context).get("activations")  # reading it would compute it
    if activations is None:
        return {}
    counts = {"images used": len(activations.index)}
    if activations.unreadable:
        counts["images that could not be decoded"] = activations.unreadable
    return counts


def render_page(
    title: str, facts: dict[str, Any], figures: list[RenderedFigure], missing: dict[str, str]
) -> str:  # fmt: skip
    """The HTML page.

    Args:
        title: of the page.
        facts: about the model.
        figures: in their order.
        missing: names of figures that could not be drawn, with the reasons.
    """
    links = "".join(f'<li><a href="#{_e(f.name)}">{_e(f.title)}</a></li>' for f in figures)
    body = "".join(map(_section, figures))
    for name, reason in missing.items():
        body += f'<p class="missing"><b>{_e(name)}</b> could not be drawn: {_e(reason)}</p>'
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<link rel="icon" href="data:,">'
        f"<title>{_e(title)}</title><style>{_CSS}</style></head><body>"
        f"<h1>{_e(title)}</h1>{_table(facts)}<nav><ol>{links}</ol></nav>{body}</body></html>\n"
    )


def _section(figure: RenderedFigure) -> str:
    data, title = base64.b64encode(figure.png).decode(), _e(figure.title)
    text = "".join(  # every second part stood between backquotes
        f"<code>{_e(part)}</code>" if i % 2 else _e(part)
        for i, part in enumerate(figure.caption.split("`"))
    )
    table = _table(figure.numbers)
    details = f"<details><summary>Numbers</summary>{table}</details>" if figure.numbers else ""
    return (
        f'<h2 id="{_e(figure.name)}">{title}</h2><figure><img alt="{title}" '
        f'src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>{details}'
    )


def _table(values: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{_e(str(key))}</th><td>{_cell(value)}</td></tr>" for key, value in values.items()
    )
    return f"<table>{rows}</table>"


def _rows(values: list[dict[str, Any]]) -> str:
    """A table with a row for each dictionary; the keys of the first are its head."""
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
