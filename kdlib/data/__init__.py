"""The dataset artifact, and how its rows become inputs."""
