"""What is measured beside others, in one run, on one machine."""
