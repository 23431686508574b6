"""A stranger's files: what they are made from, how they are changed, and who watches them read."""
