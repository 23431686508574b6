"""The inspection of `alexnet_tf.doctor`: examines every image of a dataset and reports its faults.

dataset_report.py  the whole inspection
dataset_stats.py   statistics of every image
duplicates.py      images that are in both splits
findings.py        the text of the report, and the list of faults
"""
