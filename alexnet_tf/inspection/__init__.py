"""Whether a dataset is fit to train on: statistics, duplicates and findings."""
