"""Case sync: a case's folder and the cloud kept the same."""
