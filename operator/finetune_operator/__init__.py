"""The operator: FineTuneJobs in, pods and status out. It knows nothing of torch."""
