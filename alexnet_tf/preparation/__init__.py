"""From archives of photographs to a sharded dataset of squares, as the paper prepared them (§2).

In reading order; what is marked * imports TensorFlow, and no worker process does:

picture.py        what encoded bytes are, and whether it is safe to decode them
transform.py      one picture: bytes to a square JPEG; a pure function
fast.py           the common case of it by libraries that use vector instructions
inputs.py         what a source of pictures is; tars.py, folders.py and tfds_input.py* are three
plan.py           which example goes into which shard, a pure function of (seed, name)
moments.py        exact sums, of which the mean image and the covariance are made
chunks.py         some pictures at a time: read, transformed, added up
workers.py        a pool of processes that does so, whatever single pictures do to it
shards.py*        TFRecord files, never half-written
journal.py        which shards are finished, so that a killed preparation goes on
directory.py      whose the output directory is, and what is in it
assembly.py*      chunks out, results in, shards written
report.py         what became of every example, for people and for programs
finish.py*        statistics, and what TFDS wants to know
run.py*           all of it together
"""
