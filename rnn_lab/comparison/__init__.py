"""Comparison of runs by what their tests have saved: scores, differences with intervals, costs."""
