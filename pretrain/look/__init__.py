"""Look inside an encoder: what its heads attend to, what it expects under a mask."""
