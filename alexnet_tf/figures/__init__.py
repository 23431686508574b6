"""The pictures of the paper and of the lecture, drawn from any model, for slides and notebooks.

Each module has a `draw_...` function that returns a matplotlib figure, and a `picture` function
that draws it from a `FigureContext`, with a caption and the numbers behind it; `registry.py` lists
them, `report.py` writes them. `untrained.py` makes a `FigureContext` of a model of your own.
It needs matplotlib and faiss: `pip install '.[figures]'`.

    from alexnet_tf.figures.plots.first_layer import draw_first_layer
    draw_first_layer(alexnet_tf.AlexNet("paper"))
"""

from alexnet_tf.system.errors import UserError

try:
    import matplotlib  # noqa: F401
except ImportError as error:
    raise UserError(
        f"Expected matplotlib, for pictures: pip install '.[figures]'. Received: {error}"
    ) from None
