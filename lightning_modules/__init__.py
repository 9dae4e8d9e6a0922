"""What Lightning trains."""
