"""The trainer: a run configuration in, a trained model out. It knows nothing of Kubernetes."""
