"""What a user already has, in small: a W&B server, a hub, nodes, a control plane."""
