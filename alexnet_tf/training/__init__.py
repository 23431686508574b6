"""The loop and what it needs.

sgd.py          the paper's update rule
schedules.py    when the rate is divided by ten
strategies.py   which devices
steps.py        one training step and one evaluation step on any strategy
loop.py         epochs, validation, checkpoints, logs
checkpoints.py  a model directory on disk
"""
