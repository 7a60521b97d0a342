"""What all classifying tasks share: loss, metrics, reports."""
