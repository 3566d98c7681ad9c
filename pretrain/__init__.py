"""From token shards to a multilingual encoder: plan, batch, model, train, export."""
