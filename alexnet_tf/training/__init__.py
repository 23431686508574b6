"""The loop and what it needs.

sgd.py          the paper's update rule
schedules.py    when the rate is divided by ten
strategies.py   which devices
cluster.py      the workers of a run: who they are, and whether all have come
steps.py        training steps on any strategy
loop.py         train, validate, save, and again: the order of events
stretch.py      the training in it, call by call (pace.py says how many steps a call makes)
divergence.py   when figures are not finite
checkpoints.py  checkpoints that are whole or not there (manifest.py)
directory.py    a model directory on disk
    gear.py         all that the loop works with
    batches.py      the training batches of a run
    parts.py        model, optimizer and compiled step of a run
    watchdogs.py    what is probably wrong, in words
    logs.py         TensorBoard's curves, the figures of the progress bar
    interrupt.py    Ctrl-C, SIGTERM, a closed terminal
    options.py      all that a run can be told
    run.py          from options to result (result.py)
"""
