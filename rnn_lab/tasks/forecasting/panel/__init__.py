"""Panels: many time series in one flat array, read from tables, scaled and split by time."""
