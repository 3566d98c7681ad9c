"""Make an encoder smaller: fewer layers, fewer pieces, fewer bits."""
