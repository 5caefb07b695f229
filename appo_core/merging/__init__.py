"""Sharded checkpoints to Hugging Face safetensors, verified."""
