"""What is measured, and figures of it."""
