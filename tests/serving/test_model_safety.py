"""SavedModels of strangers: what is not loaded, and that nothing of it runs."""

import os
import shutil

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.trackable.resource import TrackableResource

from alexnet_tf.serving import model_safety
from alexnet_tf.serving.loaded_model import LoadedModel
from alexnet_tf.serving.model_safety import UnsafeModelError, check_saved_model
from alexnet_tf.system.errors import UserError
from tests import commands


class Attack(TrackableResource):
    """Writes a file when its SavedModel is loaded."""

    def __init__(self, path):
        super().__init__()
        self.path = str(path)

    def _create_resource(self):
        return tf.raw_ops.MutableHashTableV2(key_dtype=tf.string, value_dtype=tf.int64)

    def _initialize(self):
        tf.io.write_file(self.path, "attacked")


@pytest.fixture(scope="module")
def attack(exported, tmp_path_factory):
    """A SavedModel with our labels that writes a file, and that file."""
    folder = tmp_path_factory.mktemp("attack")
    module = tf.Module()
    module.attack = Attack(folder / "written")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serving_default(image_bytes):
        return {
            "probabilities": tf.zeros([1, 7]),
            "handle": tf.shape(module.attack.resource_handle),
        }

    tf.saved_model.save(module, str(folder / "model"), {"serving_default": serving_default})
    (folder / "written").unlink(missing_ok=True)
    shutil.copytree(exported / "assets", folder / "model" / "assets", dirs_exist_ok=True)
    return folder / "model", folder / "written"


def test_nothing_runs_unless_the_model_is_trusted(attack):
    model, written = attack
    with pytest.raises(UnsafeModelError, match="WriteFile.*add --trust_model"):
        LoadedModel(model)
    assert not written.exists()
    assert LoadedModel(model, trust=True).labels
    assert written.read_text() == "attacked"
    written.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["predict", "serve"])
def test_the_commands_refuse_it(attack, command, tmp_path):
    model, written = attack
    files = [str(tmp_path)] if command == "predict" else ["--port=0"]
    done = commands.run(f"alexnet_tf.{command}", f"--saved_model={model}", *files)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "WriteFile" in done.stderr and not written.exists()


def served_function(graph):
    """The function of the graph's default signature."""
    name = next(n for n in graph.object_graph_def.concrete_functions if "signature_wrapper" in n)
    return next(f for f in graph.graph_def.library.function if f.signature.name == name)


def saver_function(graph):
    library = graph.graph_def.library.function
    return next(f.signature.name for f in library if "traced_save" in f.signature.name)


def call(graph, function):
    node = served_function(graph).node_def.add(name="extra", op="PartitionedCall")
    node.attr["f"].func.name = function


def constant(graph, dtype, *shape):
    tensor = served_function(graph).node_def.add(name="extra", op="Const").attr["value"].tensor
    tensor.dtype = dtype
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)


def large_variable(graph):
    shape = next(n for n in graph.object_graph_def.nodes if n.HasField("variable")).variable.shape
    shape.dim.add(size=2**40)


def own_gradient(graph):
    graph.graph_def.library.gradient.add(function_name="f", gradient_func="g")


def saver_as_object(graph):
    node = next(n for n in graph.object_graph_def.nodes if n.HasField("function"))
    node.function.concrete_functions.append(saver_function(graph))


CHANGES = {
    "'ReadFile'": lambda graph: graph.graph_def.node.add(name="x", op="ReadFile"),
    "'EagerPyFunc'": lambda graph: served_function(graph).node_def.add(op="EagerPyFunc"),
    "'PyFunc'": lambda graph: graph.graph_def.library.function.add().node_def.add(op="PyFunc"),
    "'SaveV2'": lambda graph: served_function(graph).node_def.add(op="SaveV2"),
    "'RestoreV2'": lambda graph: graph.graph_def.node.add(op="RestoreV2"),
    "'AssignVariableOp'": lambda graph: served_function(graph).node_def.add(op="AssignVariableOp"),
    "'Unregistered'": lambda graph: graph.graph_def.node.add(op="Unregistered"),
    "saves or restores files": lambda graph: call(graph, saver_function(graph)),
    "restores files when it is": saver_as_object,
    "'WriteFile', which it does not define": lambda graph: call(graph, "WriteFile"),
    "constants take more": lambda graph: constant(graph, 1, 2**20, 2**20),
    "constants take more than": lambda graph: constant(graph, tf.variant.as_datatype_enum),
    "weights take more": large_variable,
    "format of TensorFlow 1": lambda graph: graph.ClearField("object_graph_def"),
    "files of its own": lambda graph: graph.asset_file_def.add(filename="../../x"),
    "gradients": own_gradient,
    "same name": lambda graph: graph.graph_def.library.function.add().CopyFrom(
        served_function(graph)
    ),
    "kind 'resource'": lambda graph: graph.object_graph_def.nodes.add().resource.SetInParent(),
    "kind 'asset'": lambda graph: graph.object_graph_def.nodes.add().asset.SetInParent(),
    "type '_tf_keras_layer'": lambda graph: setattr(
        graph.object_graph_def.nodes.add().user_object, "identifier", "_tf_keras_layer"
    ),
    "type 'Custom>Layer'": lambda graph: setattr(
        graph.object_graph_def.nodes[1], "registered_name", "Custom>Layer"
    ),
    "restore themselves": lambda graph: (
        graph.object_graph_def.nodes[0].saveable_objects["x"].SetInParent()
    ),
    "more than 100,000 operations": lambda graph: [
        graph.graph_def.node.add(op="NoOp") for _ in range(100_001)
    ],
}


@pytest.fixture(scope="module")
def saved_model(exported):
    return saved_model_pb2.SavedModel.FromString((exported / "saved_model.pb").read_bytes())


@pytest.mark.parametrize("reason", CHANGES)
def test_a_changed_graph_is_refused(saved_model, tmp_path, reason):
    changed = saved_model_pb2.SavedModel()
    changed.CopyFrom(saved_model)
    CHANGES[reason](changed.meta_graphs[0])
    (tmp_path / "saved_model.pb").write_bytes(changed.SerializeToString())
    with pytest.raises(UnsafeModelError, match=reason):
        check_saved_model(tmp_path)


def test_several_graphs_are_refused(saved_model, tmp_path):
    several = saved_model_pb2.SavedModel(meta_graphs=[saved_model.meta_graphs[0]] * 2)
    (tmp_path / "saved_model.pb").write_bytes(several.SerializeToString())
    with pytest.raises(UnsafeModelError, match="2 graphs in place of one"):
        check_saved_model(tmp_path)


def link_labels(model, secret):
    (model / "assets" / "labels.txt").unlink()
    (model / "assets" / "labels.txt").symlink_to(secret / "labels.txt")


def link_folder(model, secret):
    shutil.rmtree(model / "assets")
    (model / "assets").symlink_to(secret)


def fifo(model, secret):
    (model / "fingerprint.pb").unlink()
    os.mkfifo(model / "fingerprint.pb")


def large(name, size):
    def change(model, secret):
        (model / name).parent.mkdir(exist_ok=True)
        with open(model / name, "wb") as file:
            file.truncate(size)  # takes no room

    return change


@pytest.mark.parametrize(
    "change, reason",
    [
        (link_labels, "'assets/labels.txt' is a link"),
        (link_folder, "'assets' is a link"),
        (fifo, "'fingerprint.pb' is no regular file"),
        (large("saved_model.pb", 2**25), "too large"),
        (large("debug/saved_model_debug_info.pb", 2**27), "too large"),
        (large("assets.extra/tf_serving_warmup_requests", 2**27), "too large"),
        (large("variables/variables.data-00000-of-00001", 2**33), "weights are too large"),
        (large("saved_model.pbtxt", 0), "saved_model.pbtxt beside saved_model.pb"),
        (large("saved_model.cpb", 0), "saved_model.cpb"),
    ],
)
def test_strange_files_are_refused(exported, tmp_path, change, reason):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "labels.txt").write_text("secret\n")
    model = tmp_path / "model"
    shutil.copytree(exported, model)
    change(model, secret)
    with pytest.raises(UnsafeModelError, match=reason):
        LoadedModel(model)


def test_links_within_the_model_are_followed(exported, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(exported, model)
    (model / "assets" / "labels.txt").rename(model / "names")
    (model / "assets" / "labels.txt").symlink_to("../names")
    check_saved_model(model)


def test_a_damaged_graph_is_named(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(UserError, match="saved_model.pb is damaged"):
        check_saved_model(tmp_path)


def test_a_warm_up_request_that_expands_is_refused(exported, tmp_path, monkeypatch):
    """A few bytes of a TensorProto stand for many equal numbers."""
    from tensorflow_serving.apis import prediction_log_pb2

    model = tmp_path / "model"
    shutil.copytree(exported, model)
    log = prediction_log_pb2.PredictionLog()
    tensor = log.predict_log.request.inputs["images"]
    tensor.dtype = tf.uint8.as_datatype_enum
    for size in (2**20, 2**20):
        tensor.tensor_shape.dim.add(size=size)
    tensor.int_val.append(1)
    with tf.io.TFRecordWriter(str(model / "assets.extra/tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())
    with pytest.raises(UserError, match="warm-up requests .* are damaged"):
        LoadedModel(model).warm_up()
    assert model_safety.tensor_bytes(tensor) == 2**40
