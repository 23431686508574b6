"""Draws pictures into a folder, and the page that shows them all."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import tensorflow as tf

from alexnet_tf.figures.context import FigureContext
from alexnet_tf.figures.page import render_page
from alexnet_tf.figures.picture import Picture
from alexnet_tf.figures.registry import FIGURES, needs_images
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.progress import Progress

PAGE = "index.html"
_FAILURES = (UserError, OSError, tf.errors.OpError)  # that leave the other pictures as they are


def check_names(names: Sequence[str]) -> None:
    """Sees whether there are such pictures.

    Raises:
        UserError: there are not.
    """
    if unknown := set(names) - set(FIGURES):
        raise UserError(
            f"Expected pictures among {', '.join(FIGURES)}. Received: {', '.join(sorted(unknown))}"
        )


def make_folder(path: str) -> pathlib.Path:
    """A folder that can be written; this is seen before the work and not after it.

    Raises:
        UserError: it cannot.
    """
    folder = pathlib.Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".trial").touch()
        (folder / ".trial").unlink()
    except OSError as error:
        raise UserError(
            f"Expected --output to be a directory that can be written. Received: {folder} "
            f"({error.strerror})"
        ) from None
    return folder


def draw_report(
    subject: FigureContext, folder: pathlib.Path, names: Sequence[str] = (),
    facts: dict[str, object] | None = None,
) -> tuple[list[Picture], dict[str, str]]:  # fmt: skip
    """Draws and writes pictures; one that fails does not harm the others.

    Args:
        subject: what they are of.
        folder: which exists.
        names: of the pictures; empty for all, and then the page is written as well.
        facts: that stand on top of the page.

    Returns:
        The pictures, and of those that could not be drawn their names and why.

    Raises:
        UserError: the page cannot be written.
    """
    pictures: list[Picture] = []
    missing: dict[str, str] = {}
    try:
        _draw(subject, folder, names or list(FIGURES), pictures, missing)
    finally:  # whatever happens, what is there can be looked at
        if not names:
            facts = {**(facts or {}), **_seen(subject)}
            _write_page(folder, facts, pictures, missing)
    return pictures, missing


def _draw(
    subject: FigureContext, folder: pathlib.Path, names: Sequence[str], pictures: list[Picture],
    missing: dict[str, str],
) -> None:  # fmt: skip
    """Fills `pictures` and `missing`."""
    of_images = [name for name in names if needs_images(name, subject)]
    if of_images:
        try:
            _ = subject.survey  # at once, for it has a progress bar of its own
        except _FAILURES as error:
            missing.update(dict.fromkeys(of_images, _reason(error)))
    with Progress("drawing", len(names), "pictures") as progress:
        for name in names:
            if name not in missing:
                try:
                    picture = FIGURES[name](subject)
                    picture.save(folder)
                    pictures.append(picture)
                except _FAILURES as error:
                    missing[name] = _reason(error)
            progress.advance(1, name)


def _reason(error: Exception) -> str:
    """What went wrong, in one line."""
    if isinstance(error, OSError):
        return f"Expected to read and write freely. Received: {error.strerror or error}"
    lines = str(getattr(error, "message", error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _seen(subject: FigureContext) -> dict[str, object]:
    """How many images were looked at, if any were."""
    survey = vars(subject).get("survey")  # a picture may not have asked for it
    if survey is None:
        return {}
    unreadable = {"images that could not be decoded": survey.unreadable}
    return {"images looked at": len(survey.index), **(unreadable if survey.unreadable else {})}


def _write_page(
    folder: pathlib.Path, facts: dict[str, object], pictures: list[Picture], missing: dict[str, str]
) -> None:
    page = render_page("AlexNet, looked inside", facts, pictures, missing)
    try:
        (folder / PAGE).write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"Expected to be able to write {folder / PAGE}. Received: {error.strerror}"
        ) from None
