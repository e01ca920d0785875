"""Tables, their encoding as features, the dataset artifact, and how its rows become inputs."""
