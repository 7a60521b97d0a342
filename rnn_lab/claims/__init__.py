"""Claims of the textbook as experiments: what is compared, and what follows from the runs."""
