"""Ray Serve shells around the core: they own handles and decide nothing."""
