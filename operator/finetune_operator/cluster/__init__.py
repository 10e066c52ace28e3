"""The only floor that talks to a cluster: it reads what `core` needs and carries out what `core` decided."""
