"""What happens before and after a network."""
