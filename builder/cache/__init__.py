"""Cache records: which key was answered by which result."""
