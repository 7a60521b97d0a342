"""Reports of runs as a single HTML file, from the files in their folders alone."""
