"""What stages are made of: resumable pieces of work on one stream."""
