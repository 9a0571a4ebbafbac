"""Training, generation and scoring: a dataset folder and settings in, a run folder out."""
