"""From a corpus to one shared vocabulary, and to the token shards that feed the loop."""
