"""What recurrent layers are made of: products, scans, gates, activations, padding, state."""
