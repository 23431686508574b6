"""From files to the network's input.

sources.py        where examples come from: by name, out of one of the next
tfds_builders.py  datasets of TFDS by name or directory; shapes.py renders the built-in one
tfds_source.py    examples out of their files
recorded.py       what `prepare` noted about these
folder.py         folders of images
split.py          what a dataset is to all that follows
order.py          the order of an epoch, and random_bits.py, of which it is made
augment.py        the random numbers of one training image, a pure function of its place
limits.py         what strangers' images may ask for, headers.py what they do ask for
decode.py         bytes to a square uint8 image, on the host
unreadable.py     which images could not be decoded, and why
pipeline.py       the tf.data graphs for training and evaluation
squares.py        a cache of decoded images
distribute.py     batches for several replicas and workers
statistics.py     mean image and RGB covariance of a training set
preprocess.py     crop, reflect, light and normalise, on the device

For the doctor: census.py (every image looked at), doubles.py (images in both splits), verdict.py
(what it means), synsets.py, contact_sheet.py (a batch to look at).
"""
