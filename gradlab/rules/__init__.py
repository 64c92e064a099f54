"""What a step does to its gradients: one definition each, used by every part that trains."""
