"""What a run shows and leaves behind. Everything here reads results and nothing else."""
