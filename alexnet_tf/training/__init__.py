"""The loop and what it needs.

sgd.py          the paper's update rule
schedules.py    when the rate is divided by ten
strategies.py   which devices
steps.py        one training step on any strategy
loop.py         train, validate, save, and again
checkpoints.py  a model directory on disk
    logs.py         TensorBoard's curves, the figures of the progress bar
    interrupt.py    Ctrl-C and SIGTERM
    options.py      all that a run can be told
    run.py          from options to result
"""
