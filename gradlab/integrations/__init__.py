"""`watch` inside other people's training loops: Lightning, transformers, and where their numbers go."""
