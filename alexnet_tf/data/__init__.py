"""From files to the network's input.

sources.py     where examples come from: TFDS, an image folder, the built-in `shapes`
decode.py      bytes to a square uint8 image, on the host
augment.py     the random numbers of one training image, a pure function of its place
pipeline.py    the tf.data graphs for training and evaluation
statistics.py  mean image and RGB covariance of a training set
preprocess.py  crop, reflect, light and normalise, on the device
"""
