"""Reading and writing of files, without torch: downloads, records, tables, caches, digests."""
