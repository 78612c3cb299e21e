"""Models and spikes for other tools, and from them."""
