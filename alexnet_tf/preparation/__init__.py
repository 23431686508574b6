"""From archives of photographs to a sharded dataset of square images, as in the paper (§2).

In reading order. Modules marked * import TensorFlow; worker processes import none of these.

sources.py        sources of images: folders, TFDS datasets*; they tell where each image is stored
imagenet_tars.py  ILSVRC's archives as a source
plan.py           which example goes into which shard: a pure function of (seed, name)
resize.py         one image: bytes to a square JPEG, a pure function
tfrecord.py       records and their checksums
shards.py         the unit of work: one task to one shard, a pure function
workers.py        a pool of processes that make shards, and survives images that kill a process
directory.py*     the output directory: its lock, and a ledger of finished shards
metadata.py*      statistics, reports, and TFDS's description
run.py*           the whole preparation
"""
