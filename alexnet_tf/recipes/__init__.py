"""The points on which the sources of AlexNet disagree, and which source a run follows there."""
