"""File input and output without torch: downloads, records, tables, caches, hashes."""
