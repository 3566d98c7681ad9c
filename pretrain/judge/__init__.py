"""How good an encoder is at tasks, language by language."""
