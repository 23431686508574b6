"""From archives of photographs to a sharded dataset of squares, as the paper prepared them (§2).

In reading order; what is marked * imports TensorFlow, and no worker process does:

transform.py      one picture: bytes to a square JPEG, or to the reason why not; a pure function
resize.py         the part of it that costs most: antialiased resizing
inputs.py         what a source of pictures is; tars.py, folders.py and tfds_input.py* are three
plan.py           which example goes into which shard, a pure function of (seed, name)
moments.py        exact sums, of which the mean image and the covariance are made
workers.py        a pool of processes that maps `transform` over chunks of examples
shards.py*        TFRecord files, never half-written
journal.py        which shards are finished, so that a killed preparation goes on
report.py         what became of every example, for people and for programs
run.py*           all of it together
"""
