"""Knowledge distillation in NumPy."""
