"""What an encoder is for: classifying texts, tagging words, answering questions."""
