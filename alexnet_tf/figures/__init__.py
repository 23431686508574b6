"""The figures of the paper and of the lecture, drawn from any model, for slides and notebooks.

`registry.render("attention", context)` draws one figure with its caption and the numbers behind it
from a `context.FigureContext`. The modules of `plots/` also have `draw_...` functions that take
arrays and return a matplotlib figure:

    from alexnet_tf.figures.plots.first_layer import draw_first_layer
    draw_first_layer(alexnet_tf.AlexNet("paper"))

A new figure is a function in a module of `plots/`, decorated with `registry.figure`.
Figures need matplotlib and faiss: `pip install '.[figures]'`.
"""

from alexnet_tf.system.errors import UserError

try:
    import matplotlib  # noqa: F401
except ImportError as error:
    raise UserError(
        f"Figures need matplotlib: pip install '.[figures]'. The import failed with: {error}"
    ) from None
