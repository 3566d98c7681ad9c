"""Raw corpora to clean, identified, deduplicated Arrow shards."""
