"""From `params.yaml` to trained files: parameters, resumable trainings, workers, clusters, ranks, the audit."""
