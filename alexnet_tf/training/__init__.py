"""Training.

In reading order:

run.py           `train`: from options to a result
trainer.py       the loop: train, validate, save
train_step.py    the compiled step
network.py       the model and its optimizer as the step sees them
optimizer.py     the paper's update rule
schedule.py      learning rates, validations, the end
checkpoints.py   saving and restoring
directory.py     the directory of a run
distributed.py   devices, batches, and what workers agree on
cluster.py       the meeting of the workers at the start
monitor.py       non-finite losses, and warnings
tensorboard.py   curves and profiles
callbacks.py     Keras callbacks
exporting.py     from a run to a SavedModel
options.py       everything that a run can be told
"""
