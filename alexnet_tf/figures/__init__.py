"""The figures of the paper and of the lecture, drawn from any model, for slides and notebooks.

    from alexnet_tf.figures.context import FigureContext
    from alexnet_tf.figures.registry import render

    context = FigureContext.from_model(alexnet_tf.AlexNet("tiny"), [open("cat.jpg", "rb").read()])
    render("attention", context)

A new figure is a function in a module of `plots/`, decorated with `registry.figure`; there is
nothing else to change. `report.py` writes figures to files, `python -m alexnet_tf.figures` is the
command. Figures need matplotlib and faiss: `pip install '.[figures]'`.
"""

from alexnet_tf.system.errors import UserError

try:
    import matplotlib  # noqa: F401
except ImportError as error:
    raise UserError(
        f"Figures need matplotlib: pip install '.[figures]'. The import failed with: {error}"
    ) from None
