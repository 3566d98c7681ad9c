"""From raw text to a judged, exported model: all stages in one go."""
