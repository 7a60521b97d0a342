"""One folder for each task: batch, data, models, metrics, reports and predictor."""
