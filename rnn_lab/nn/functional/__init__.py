"""Building blocks of recurrent layers: linear maps, scans, gates, activations, padding, state."""
