"""Policy gradients on token sequences: masking, KL, rewards, advantages, losses; pure functions with shapes."""
