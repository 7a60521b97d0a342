"""Forecasting: the next steps of one or many time series."""
