"""The points on which the sources of AlexNet disagree, and which of them a run follows."""
